"""The small models in checkpoints that prediction is tested with."""

from tests.prediction.conftest import make_checkpoint, tiny_trainer

__all__ = ["make_checkpoint", "tiny_trainer"]
