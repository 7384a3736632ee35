"""The labels of any data set: from nnU-Net's ``dataset.json``, or those that its references hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..common.errors import UserError, last_line
from ..common.images.label_files import read_label_image
from ..common.typed_json import load_json, shown
from ..datasets.description import refuse_former_form, whole_numbers
from .rules import Rule


def with_dataset_labels(rule: Rule, path: Path) -> Rule:
    """Return a rule with the labels of nnU-Net's ``dataset.json``, without the background.

    Raises
    ------
    UserError
        The file cannot be read or has no ``labels`` in nnU-Net's form.
    """
    try:
        description = load_json(path)
        if isinstance(description, dict):
            refuse_former_form(description, path)
        labels = description["labels"]
        parsed = {name: tuple(v) if isinstance(v, list) else v for name, v in whole_numbers(labels).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is no dataset.json of nnU-Net: its 'labels' must map names to whole numbers ({last_line(error)})"
        ) from error
    ignore = parsed.pop("ignore", None)
    foreground = {name: value for name, value in parsed.items() if value not in (0, (0,))}
    if not foreground or isinstance(ignore, tuple):
        raise UserError(f"{path} names no label beside the background, or a region to ignore: {shown(labels)}")
    reader = str(description.get("overwrite_image_reader_writer"))
    return replace(rule, labels=foreground, ignore_label=ignore, reoriented=reader.endswith("WithReorient"))


def find_dataset_json(reference: Path) -> Path | None:
    """Return the ``dataset.json`` in the folder of references, or in the one above (nnU-Net's ``labelsTr``)."""
    folder = reference if reference.is_dir() else reference.parent
    return next((path for path in (folder / "dataset.json", folder.parent / "dataset.json") if path.is_file()), None)


def with_labels_found(rule: Rule, references: Iterable[Path]) -> Rule:
    """Return a rule with the labels that references hold, named by their numbers.

    Raises
    ------
    UserError
        There is none, or there are too many to be classes.
    """
    found: set[int] = set()
    for path in references:
        found.update(np.unique(read_label_image(path).labels).tolist())
        if len(found) > 256:
            raise UserError(
                f"the references hold more than 256 labels ({path} among them), as instance masks do; "
                f"score instances with --metric cells"
            )
    found.discard(0)
    if not found:
        raise UserError("no reference holds a label beside 0; there is nothing to score")
    return replace(rule, labels={f"label {label}": label for label in sorted(found)})
