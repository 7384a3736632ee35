"""What the paper's three data sets are: their ``dataset.json``, and the counts of the paper's Table 1."""

from __future__ import annotations

from dataclasses import dataclass, field

from .metrics import CELL_LABELS, INSTRUMENTS, ORGANS

INSTANCES = "labelsVal-instance-mask"
"""Folder of the numbered cells by which NeurIPSCell is scored."""

RGB = {"0": "R", "1": "G", "2": "B"}


@dataclass(frozen=True)
class DatasetDefinition:
    """One data set of the paper.

    Attributes
    ----------
    name : str
        Folder of the nnU-Net raw data set.
    channel_names, labels : dict
        As in ``dataset.json``; `labels` without the background.
    file_ending : str
        Of images and labels.
    table_1 : dict
        What the paper's Table 1 counts, by name.
    description, reference : str
        For ``dataset.json``.
    """

    name: str
    channel_names: dict[str, str]
    labels: dict[str, int]
    file_ending: str
    table_1: dict[str, int] = field(default_factory=dict)
    description: str = ""
    reference: str = ""

    def dataset_json(self, n_training: int) -> dict[str, object]:
        """Return the content of ``dataset.json`` for a number of training cases."""
        return {
            "name": self.name,
            "description": self.description,
            "reference": self.reference,
            "channel_names": self.channel_names,
            "labels": {"background": 0, **self.labels},
            "numTraining": n_training,
            "file_ending": self.file_ending,
        }


ABDOMEN_MR = DatasetDefinition(
    name="Dataset702_AbdomenMR",
    channel_names={"0": "MR"},
    labels=ORGANS,
    file_ending=".nii.gz",
    table_1={"training scans": 60, "training slices": 5615, "test scans": 50, "test slices": 3357},
    description="MR scans of AMOS22 with 13 abdominal organs in the label order of U-Mamba",
    reference="Ji et al., AMOS: a large-scale abdominal multi-organ benchmark, NeurIPS 2022",
)

ENDOSCOPY = DatasetDefinition(
    name="Dataset704_Endovis17",
    channel_names=RGB,
    labels=INSTRUMENTS,
    file_ending=".png",
    table_1={"training images": 1800, "test images": 1200},
    description="Frames of the EndoVis 2017 robotic instrument segmentation challenge with instrument types",
    reference="Allan et al., 2017 robotic instrument segmentation challenge, arXiv:1902.06426",
)

MICROSCOPY = DatasetDefinition(
    name="Dataset703_NeurIPSCell",
    channel_names=RGB,
    labels=CELL_LABELS,
    file_ending=".png",
    table_1={"training images": 1000, "test images": 101},
    description="Images of the NeurIPS 2022 cell segmentation challenge, cells as interior and boundary",
    reference="Ma et al., The multi-modality cell segmentation challenge, Nature Methods 2024",
)
