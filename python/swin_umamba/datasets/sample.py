"""The sample data set: axial slices of the MNI ICBM152 brain with grey and white matter.

The template and its tissue probability maps come inside the package nilearn, so nothing is
downloaded. It is one averaged brain: neighbouring slices are almost the same image, so whole
slabs are held out, with a gap on both sides.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..common.files import write_json
from .sample_cells import CELLS_NAME, write_cells

SAMPLE_NAME = "Dataset152_MNITissue"
LABELS = {"background": 0, "grey matter": 1, "white matter": 2}


@dataclass(frozen=True)
class Slab:
    """Axial slices ``first`` to ``last`` (both included, 1 mm apart) that serve one purpose."""

    first: int
    last: int
    role: str

    @property
    def slices(self) -> range:
        return range(self.first, self.last + 1)


# Five slices are left out between two slabs. The held-out slabs lie in the temporal lobes and the
# brainstem, at the basal ganglia, and below the vertex.
SLABS = (
    Slab(20, 39, "training"),
    Slab(45, 50, "held-out"),
    Slab(56, 69, "training"),
    Slab(75, 80, "held-out"),
    Slab(86, 99, "training"),
    Slab(105, 110, "validation"),
    Slab(116, 127, "training"),
    Slab(133, 138, "held-out"),
    Slab(144, 149, "training"),
)


SAMPLE_NAMES = {"brain": SAMPLE_NAME, "cells": CELLS_NAME}
"""The samples, and the names of their data sets."""


def prepare_sample(raw_folder: Path, sample: str = "brain") -> Path:
    """Write a sample data set as an nnU-Net raw data set of PNG images.

    Parameters
    ----------
    raw_folder
        The folder that stands for ``nnUNet_raw``; made if needed.
    sample
        A key of `SAMPLE_NAMES`.

    Returns
    -------
    Path
        ``raw_folder`` with the sample's name. A data set that is already there is kept: it appears under
        that name only once it is complete.

    Notes
    -----
    Of the brain, each pixel takes the most probable of grey matter, white matter and the rest. Training and
    validation slices are in ``imagesTr``, told apart by ``splits_final.json``; the held-out
    slices are in ``imagesTs`` and ``labelsTs``.
    """
    folder = raw_folder / SAMPLE_NAMES[sample]
    if folder.exists():
        return folder
    raw_folder.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=raw_folder))
    try:
        (_write_sample if sample == "brain" else write_cells)(unfinished)
        unfinished.chmod(0o755)
        os.rename(unfinished, folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return folder


def _write_sample(folder: Path) -> None:
    # Imported here because they take seconds, which `--help` should not.
    from nilearn.datasets import load_mni152_gm_template, load_mni152_template, load_mni152_wm_template
    from nilearn.image import get_data
    from skimage.io import imsave

    t1, grey, white = (
        np.asarray(get_data(load(resolution=1)), dtype=np.float32)
        for load in (load_mni152_template, load_mni152_gm_template, load_mni152_wm_template)
    )
    image = np.round(255 * t1 / t1.max()).astype(np.uint8)
    label = np.argmax(np.stack([1 - grey - white, grey, white]), axis=0).astype(np.uint8)

    for name in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        (folder / name).mkdir()
    cases: dict[str, list[str]] = {"training": [], "validation": [], "held-out": []}
    for slab in SLABS:
        part = "Ts" if slab.role == "held-out" else "Tr"
        for z in slab.slices:
            case = f"mni152_z{z:03d}"
            cases[slab.role].append(case)
            # Anterior is up and the subject's left is left (neurological convention).
            for array, kind, suffix in ((image, "images", "_0000"), (label, "labels", "")):
                imsave(folder / f"{kind}{part}" / f"{case}{suffix}.png", array[:, ::-1, z].T, check_contrast=False)
    write_json(folder / "splits_final.json", [{"train": cases["training"], "val": cases["validation"]}])
    write_json(
        folder / "dataset.json",
        {
            "name": SAMPLE_NAME,
            "description": "Axial slices of the MNI ICBM152 T1 template (2009a, 1 mm) with tissue labels",
            "reference": "Fonov et al., NeuroImage 54 (2011) 313-327; template and maps as packaged by nilearn",
            "channel_names": {"0": "T1"},
            "labels": LABELS,
            "numTraining": len(cases["training"]) + len(cases["validation"]),
            "file_ending": ".png",
        },
    )
