"""The labels of any nnU-Net data set, from its ``dataset.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..common.images.errors import EvaluationError


@dataclass(frozen=True)
class DatasetLabels:
    """Foreground labels by name (a region has several) and the label that marks pixels not to be scored."""

    labels: dict[str, int | tuple[int, ...]]
    ignore_label: int | None = None


def read_dataset_labels(path: Path) -> DatasetLabels:
    """Read the labels of nnU-Net's ``dataset.json``, without the background.

    Raises
    ------
    EvaluationError
        The file cannot be read or has no ``labels`` in nnU-Net's form.
    """
    try:
        labels = json.loads(path.read_text())["labels"]
        parsed = {
            name: tuple(map(int, value)) if isinstance(value, list) else int(value) for name, value in labels.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(
            f"{path} is no dataset.json of nnU-Net: its 'labels' must map names to whole numbers ({error})"
        ) from error
    ignore = parsed.pop("ignore", None)
    foreground = {name: value for name, value in parsed.items() if value not in (0, (0,))}
    if not foreground or isinstance(ignore, tuple):
        raise EvaluationError(f"{path} names no label beside the background, or a region to ignore: {labels}")
    return DatasetLabels(foreground, ignore)


def find_dataset_json(reference: Path) -> Path | None:
    """Return the ``dataset.json`` in the folder of references, or in the one above (nnU-Net's ``labelsTr``)."""
    folder = reference if reference.is_dir() else reference.parent
    return next((path for path in (folder / "dataset.json", folder.parent / "dataset.json") if path.is_file()), None)
