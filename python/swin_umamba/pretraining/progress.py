"""What the user sees of a pretraining: a bar on a terminal, and one line for each epoch."""

from __future__ import annotations

from typing import Any

from ..common.progress import EpochProgress


class PretrainingProgress(EpochProgress):
    """Is told of every step and epoch."""

    def epoch_done(self, results: dict[str, Any]) -> None:
        """Show an entry of the history, see `swin_umamba.pretraining.run.execute_run`."""
        self.finish_epoch(
            results["epoch"],
            f"loss {results['train_loss']:.3f}  validation loss {results['validation_loss']:.3f}  "
            f"accuracy {results['accuracy']:.1%}, averaged weights {results['accuracy_ema']:.1%}",
        )
