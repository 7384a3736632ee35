"""The files that a run leaves for its user."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .folder import RunFolder


def describe_files(folder: RunFolder) -> list[tuple[Path, str]]:
    """Those that are there, and what each is."""
    files = (
        (folder.report, "all results on one page, to open in a browser"),
        (folder.metrics, "scores, settings, versions, timings"),
        (folder.loss_curve, "loss and Dice over the epochs"),
        (folder.panel, "image | reference | prediction"),
        (folder.predictions, "label images of the held-out cases"),
        (folder.evaluation_as_published, "scores of the paper's metric as published, by case"),
        (folder.evaluation, "scores of the paper's metric as defined, by case"),
        (folder.checkpoint, "the trained weights"),
        (folder.log, "the output of nnU-Net"),
    )
    return [(path, what) for path, what in files if path.exists()]


def checksum(path: Path) -> str:
    """SHA-256 of a file, as ``sha256sum`` prints it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
