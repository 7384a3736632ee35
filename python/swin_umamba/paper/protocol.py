"""How the paper trains on each of its three data sets."""

from __future__ import annotations

import dataclasses

from .data_sets import ABDOMEN_MR, ENDOSCOPY, MICROSCOPY

RULES = {"evaluation_as_published": "as published", "evaluation": "as defined"}
"""The two ways to compute the paper's metric. The paper's tables were made by the first, with the released scripts; the
second is what the metric means. The keys are those of ``metrics.json``, and of the folders in `RunFolder`."""


@dataclasses.dataclass(frozen=True)
class PaperProtocol:
    """The paper's settings for one data set (Table 1, section 3.2, and the released scripts).

    Attributes
    ----------
    dataset : str
        Name of the nnU-Net raw data set, its id included.
    patch_size : tuple of int
        Height and width of the crop that is trained on.
    epochs : int
        Length of the training.
    checkpoint_epoch : int or None
        The epoch, counted from 0, whose checkpoint predicts the test cases; ``None`` for the last.
    metric : str
        The paper's metric, as `swin_umamba.evaluation.evaluate_folders` names it.
    deep_supervision : bool or None
        Whether the loss sees all scales; ``None`` leaves it to the trainer.
    fold : str
        nnU-Net's fold: every training case is trained on, the test cases are in ``imagesTs``.
    """

    dataset: str
    patch_size: tuple[int, int]
    epochs: int
    checkpoint_epoch: int | None
    metric: str
    deep_supervision: bool | None = None
    fold: str = "all"


_PROTOCOLS = {
    protocol.dataset: protocol
    for protocol in (
        PaperProtocol(ABDOMEN_MR.name, (320, 320), 100, 99, "abdomen"),
        PaperProtocol(ENDOSCOPY.name, (384, 640), 350, 249, "endoscopy"),
        PaperProtocol(MICROSCOPY.name, (512, 512), 450, 349, "cells"),
    )
}


def find_protocol(dataset: str, model: str | None = None, pretrained: bool = True) -> PaperProtocol | None:
    """The paper's protocol for a data set, or ``None`` if it is none of the paper's.

    Parameters
    ----------
    dataset
        Name of the nnU-Net raw data set. Id and name decide together: an id alone may be anyone's data.
    model
        Name on the command line. Swin-UMamba† without pretraining has a rule of its own on AbdomenMR: 200 epochs
        without deep supervision, of which the last predicts.
    pretrained
        Whether the encoder starts from ImageNet weights.
    """
    protocol = _PROTOCOLS.get(dataset)
    if protocol is not None and (dataset, model, pretrained) == (ABDOMEN_MR.name, "swin-umamba-d", False):
        return dataclasses.replace(protocol, epochs=200, checkpoint_epoch=None, deep_supervision=False)
    return protocol
