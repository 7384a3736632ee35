"""The settings of one training run, and the defaults of the sample, the paper's and other data sets."""

from __future__ import annotations

from collections.abc import Mapping

from ..common.errors import UserError
from ..common.light_dataclass import dataclass, replace
from ..common.setting_kinds import Choice, Flag, Integer, IntegerOr, Number, Several, Text
from ..common.settings import CheckedSettings, option_of, setting
from ..evaluation.measure_names import MEASURES_HELP, Measures, parse_measures
from ..paper.encoder import RELEASED_FILE, USUAL_PLACE
from ..paper.systems import SYSTEMS

TYPE_CHECKING = False  # typing has one too, but no help waits for that
if TYPE_CHECKING:
    from typing import Any

# Names on the command line and the classes of `swin_umamba.trainers.registry`; kept apart from the
# classes because importing those takes seconds, which `--help` should not.
TRAINERS = {name: system.trainer for name, system in SYSTEMS.items()}

PRETRAINABLE = ("swin-umamba", "swin-umamba-d")
"""The models whose encoder takes ImageNet weights; without them they have trainers named ``...Scratch``."""

AMP_CHOICES = ("auto", "off", "bfloat16", "float16")
INPUT_CHANNELS_CHOICES = ("skip", "sum", "mean")

OF_PRETRAINED = ("input_channels", "freeze_epochs")
"""The fields of `Settings` that say what becomes of pretrained weights."""


@dataclass(frozen=True)
class Settings(CheckedSettings):
    """What decides the result of a run; stored with it, so that it can be resumed."""

    dataset: str | None = setting(
        Text(),
        "an nnU-Net raw data set: a folder DatasetXXX_Name with dataset.json, imagesTr and labelsTr, or an id (702) or "
        "name (AbdomenMR) below the folder nnUNet_raw, which the environment variable of that name can say. Held-out "
        "cases are imagesTs with labelsTs where both are there, else the validation cases of the fold",
        default="the sample",
        unsaid="the sample",
        title="data set",
        metavar="DATASET",
        is_argument=True,
    )
    model: str = setting(
        Choice(tuple(SYSTEMS), "model"),
        f"the network: {', '.join(SYSTEMS)}",
        "swin-umamba-d",
        metavar="MODEL",
    )
    pretrained: str | None = setting(
        Text(),
        "ImageNet weights of VMamba-Tiny for the encoder of Swin-UMamba and Swin-UMamba†, or a checkpoint of the same "
        "network",
        None,
        default="for the paper's data sets the file that the environment variable SWIN_UMAMBA_PRETRAINED names, or "
        f"else {USUAL_PLACE}/{RELEASED_FILE}; for others none",
        unsaid="none",
        title="pretrained weights",
        metavar="FILE",
        without="start from random weights",
        is_later=True,
    )
    input_channels: str = setting(
        Choice(INPUT_CHANNELS_CHOICES),
        "what becomes of the pretrained patch embedding where the images have other channels: left out, or its kernels "
        "summed or averaged over the channels",
        "skip",
        is_later=True,
    )
    freeze_epochs: int = setting(
        Integer(0, 100_000),
        "epochs for which the pretrained encoder, except its patch embedding, stays as it is",
        10,
        is_later=True,
    )
    epochs: int = setting(
        Integer(1, 100_000),
        "length of the training and of its learning-rate schedule",
        100,
        default="{default}, or that of the paper on its data sets; for the sample {sample}",
    )
    iterations: int = setting(
        Integer(1, 1_000_000),
        "training iterations of one epoch; a fifth as many validation iterations follow",
        250,
        default="{default}; for the sample {sample}",
    )
    batch_size: int | None = setting(
        Integer(1, 4096),
        "images of one iteration, of all devices together",
        None,
        default="by nnU-Net; for the sample {sample}",
        unsaid="left to nnU-Net",
    )
    patch_size: tuple[int, int] | None = setting(
        Several(Integer(16, 4096), 2),
        "height and width of the training patches and of the sliding window, best a multiple of 32",
        None,
        default="by nnU-Net, or that of the paper on its data sets; for the sample {sample}",
        unsaid="left to nnU-Net",
        metavar=("H", "W"),
    )
    fold: int | str = setting(
        IntegerOr(Integer(0, 999), "all"),
        "fold of nnU-Net's cross-validation, or all to train on every case",
        0,
        default="{default}, or all on the paper's data sets",
        metavar="F",
    )
    group_by: str | None = setting(
        Text(),
        "which cases belong together, such as those of one patient: FILE.csv:COLUMN, a table whose first column has "
        "the cases; or a regular expression over their names, whose first group, or else whole match, counts; or "
        "prepared, the data set's own groups.csv. Folds are made by group, and statistics are over groups",
        None,
        default="every case by itself",
        unsaid="every case by itself",
        metavar="HOW",
        is_later=True,
    )
    nsd_tolerance: float = setting(
        Number(0, 1000),
        "tolerance of the normalized surface distance, in the unit of the image spacing: mm, or pixels for PNG",
        1.0,
        title="NSD tolerance",
        metavar="D",
    )
    amp: str = setting(
        Choice(AMP_CHOICES),
        "mixed precision; auto is bfloat16 on a GPU or a CPU that has units for it, float16 with a gradient scaler on "
        "other GPUs, and off on other CPUs and for SegResNet, UNETR and SwinUNETR, as in the paper",
        "auto",
        title="mixed precision",
        is_later=True,
    )
    seed: int = setting(Integer(0, 2**32 - 1), "of the initial weights, the sampling and the augmentation", 0)
    learning_rate: float | None = setting(
        Number(0, 1),
        "of the first epoch; the model's schedule takes it down from there, for Swin-UMamba a cosine to 1e-6",
        None,
        default="of the model, for Swin-UMamba 1e-4 and on the sample {sample}",
        unsaid="left to the model",
        metavar="RATE",
    )
    checkpoint_epoch: int | None = setting(
        Integer(0, 99_999),
        "epoch, counted from 0, whose weights predict the held-out cases",
        None,
        default="{default}; for the paper's data sets the paper's",
        unsaid="the last",
        is_later=True,
    )
    deep_supervision: bool | None = setting(
        Flag(),
        "let the loss see all scales",
        None,
        default="as in the paper",
        unsaid="left to the model",
        is_later=True,
    )
    sample: str = setting(
        Choice(("brain", "cells"), "sample"),
        "which sample is trained on where no data set is named: slices of a brain with grey and white matter, or drawn "
        "cells, scored by F1 as well",
        "brain",
        is_later=True,
    )
    metrics: str | None = setting(
        Measures(),
        f"the scores that table and page show, separated by commas, of {MEASURES_HELP}; all are computed, and others "
        "may be said of a finished run, whose page is then written again",
        None,
        default="dsc,nsd, and on the page a table of the others",
        unsaid="DSC and NSD, and a table of the others",
        metavar="A,B,...",
        is_later=True,
        is_shown=True,
    )

    @property
    def measures(self) -> tuple[str, ...] | None:
        """Keys of ``metrics``."""
        return None if self.metrics is None else parse_measures(self.metrics)

    @property
    def trainer(self) -> str:
        """Name of the trainer's class."""
        scratch = self.model in PRETRAINABLE and self.pretrained is None
        return TRAINERS[self.model] + ("Scratch" if scratch else "")


# Chosen for two processor cores and some minutes, from random initialisation.
SAMPLE_SETTINGS = Settings(
    dataset=None, epochs=10, iterations=20, batch_size=4, patch_size=(128, 128), learning_rate=1e-3
)


def default_settings(dataset: str | None, model: str, pretrained: str | None) -> Settings:
    """The settings of a run about which nothing else was said.

    Parameters
    ----------
    dataset
        Folder of the raw data set; ``None`` for the sample. The paper's data sets have the paper's settings.
    model
        A key of `TRAINERS`.
    pretrained
        File of the encoder's ImageNet weights, or ``None``.
    """
    # Imported late: no help needs them.
    from pathlib import Path

    from ..paper.protocol import find_protocol

    # A network without scans is trained as the one with them.
    trained_as = SYSTEMS[model].twin_of or model
    if dataset is None:
        # The rate of the sample suits AdamW on the Swin-UMambas; the others keep their own.
        rate = SAMPLE_SETTINGS.learning_rate if trained_as in PRETRAINABLE else None
        return replace(SAMPLE_SETTINGS, learning_rate=rate, model=model, pretrained=pretrained)
    settings = Settings(dataset=dataset, model=model, pretrained=pretrained)
    protocol = find_protocol(Path(dataset).name, trained_as, pretrained is not None)
    if protocol is None:
        return settings
    return replace(
        settings,
        epochs=protocol.epochs,
        patch_size=protocol.patch_size,
        checkpoint_epoch=protocol.checkpoint_epoch,
        deep_supervision=protocol.deep_supervision,
        fold=protocol.fold,
    )


def choose_settings(said: Mapping[str, Any], defaults: Settings) -> Settings:
    """Complete what the user said by the defaults.

    Parameters
    ----------
    said
        Fields of `Settings` that the user gave a value.
    defaults
        See `default_settings`.

    Raises
    ------
    UserError
        ``checkpoint_epoch`` is not among the epochs, or the model has no deep supervision.
    """
    settings = replace(defaults, **said)
    if settings.deep_supervision and not SYSTEMS[settings.model].deep_supervision:
        raise UserError(f"--deep-supervision: {settings.model} has one output and no deep supervision; leave it out")
    if "checkpoint_epoch" in said:
        if said["checkpoint_epoch"] >= settings.epochs:
            raise UserError(
                f"--checkpoint-epoch {said['checkpoint_epoch']}: the {settings.epochs} epochs are counted from 0 to "
                f"{settings.epochs - 1}"
            )
    elif settings.epochs != defaults.epochs:
        # The paper's checkpoint means something only in a training of the paper's length.
        settings = replace(settings, checkpoint_epoch=None)
    return settings


def check_scratch(said: Mapping[str, Any]) -> None:
    """Raise `UserError` if the user said what becomes of pretrained weights, for a training without any."""
    for name in OF_PRETRAINED:
        if name in said:
            raise UserError(f"{option_of(name)} {said[name]}: this training starts from random weights; leave it out")
