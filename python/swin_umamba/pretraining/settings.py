"""The settings of one pretraining run."""

from __future__ import annotations

from collections.abc import Mapping

from ..common.errors import UserError
from ..common.light_dataclass import dataclass, replace
from ..common.setting_kinds import Choice, Flag, Integer, Number, Several, Text
from ..common.settings import CheckedSettings, setting

TYPE_CHECKING = False  # typing has one too, but no help waits for that
if TYPE_CHECKING:
    from typing import Any

REFERENCE_BATCH_SIZE = 1024

AUGMENTATIONS = ("strong", "light", "none")
"""What `swin_umamba.pretraining.augmentation.training_transform` can do; kept here, where nothing imports torch."""


@dataclass(frozen=True)
class PretrainingSettings(CheckedSettings):
    """What decides the result of a run; stored with it, so that it can be resumed.

    The defaults are the recipe of VMamba (arXiv:2401.10166) and Swin Transformer (arXiv:2103.14030) for ImageNet.
    """

    data: str = setting(Text(), "the folder of images", default="", metavar="DIR", is_argument=True)
    image_size: int = setting(
        Integer(32, 4096, divisor=32), "height and width of the network's input, a multiple of 32", 224
    )
    epochs: int = setting(Integer(1, 100_000), "length of the training and of its learning-rate schedule", 300)
    warmup_epochs: float | None = setting(
        Number(0, 100_000, closed=True),
        "of linearly rising learning rate",
        None,
        unsaid="a fifteenth of the epochs",
        metavar="N",
    )
    batch_size: int = setting(Integer(1, 1_000_000), "images of one step, over all processes together", 128)
    learning_rate: float | None = setting(
        Number(0, 1),
        "the highest one",
        None,
        unsaid="0.001 for 1024 images of a step, in proportion for others",
        metavar="RATE",
    )
    weight_decay: float = setting(Number(0, 1, closed=True), "of all weights but biases, norms, A_logs and Ds", 0.05)
    label_smoothing: float = setting(
        Number(0, 1, closed=True), "part of the target that is spread over all classes", 0.1
    )
    drop_path: float = setting(Number(0, 1, closed=True), "stochastic depth of the last block", 0.1)
    ema_decay: float = setting(Number(0, 1, closed=True), "of the moving average of the weights", 0.9999)
    augmentation: str = setting(
        Choice(AUGMENTATIONS),
        "strong: random resized crop, flip, RandAugment, erasing; light: crop of at least half the area, flip; none: "
        "the middle of the image, as in validation",
        "strong",
    )
    mixing: bool = setting(Flag(), "mixup and CutMix", True, without="without mixup and CutMix")
    validation_fraction: float = setting(Number(0, 0.9), "part of each class that validates where DIR has no val", 0.1)
    embed_dim: int = setting(
        Integer(2, 4096, divisor=2),
        "channels of the first stage; the networks of the paper take weights of {default} only",
        96,
        default="",
    )
    depths: tuple[int, ...] = setting(
        Several(Integer(1, 100), 4),
        "blocks of the stages; the networks of the paper take weights of {default} only",
        (2, 2, 9, 2),
        default="",
    )
    amp: str = setting(
        Choice(("auto", "off", "bfloat16")),
        "mixed precision; auto is bfloat16 on a GPU or a CPU that has units for it, else off",
        "auto",
        title="mixed precision",
        is_later=True,
    )
    seed: int = setting(Integer(0, 2**32 - 1), "of the weights, the split, the order and the augmentation", 0)

    def completed(self) -> PretrainingSettings:
        """The same with the values that follow from others filled in."""
        warmup = self.epochs / 15 if self.warmup_epochs is None else self.warmup_epochs
        rate = 1e-3 * self.batch_size / REFERENCE_BATCH_SIZE if self.learning_rate is None else self.learning_rate
        return replace(self, warmup_epochs=warmup, learning_rate=rate)


def choose_settings(said: Mapping[str, Any], stored: PretrainingSettings | None) -> PretrainingSettings:
    """Complete what the user said by the stored settings of the run to resume, or by the defaults.

    Parameters
    ----------
    said
        Fields of `PretrainingSettings` that the user gave a value; ``data`` is among them.
    stored
        The settings of the run to resume, or ``None`` for a new run.

    Raises
    ------
    UserError
        A given value differs from the stored one, or the warm-up is longer than the training.
    """
    if stored is not None:
        if said["data"] != stored.data:
            raise UserError(f"the run to resume was trained on {stored.data}, not on {said['data']}")
        stored.check_unchanged(said, "leave it out, or start a new run with another --output")
        return stored
    settings = PretrainingSettings(**said).completed()
    if settings.warmup_epochs is not None and settings.warmup_epochs > settings.epochs:
        raise UserError(
            f"--warmup-epochs {settings.warmup_epochs:g} is longer than the training of {settings.epochs} epochs"
        )
    return settings
