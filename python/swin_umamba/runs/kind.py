"""Which command has made a results folder; trainings and pretrainings name their files alike."""

from __future__ import annotations

from pathlib import Path

from ..common.errors import UserError
from ..common.text import one_line
from ..common.typed_json import load_json

# A setting that the runs of one command alone have.
_MARKS = {"train": "iterations", "pretrain": "image_size"}


def want_run_of(command: str, root: Path) -> None:
    """Raise `UserError` if a folder holds a run of the other command.

    A ``settings.json`` that is not there, or damaged, tells nothing and passes.

    Parameters
    ----------
    command : str
        ``"train"`` or ``"pretrain"``.
    root : pathlib.Path
        The results folder.
    """
    try:
        settings = load_json(root / "settings.json")
    except (OSError, ValueError):
        return
    (other,) = set(_MARKS) - {command}
    if not isinstance(settings, dict) or _MARKS[command] in settings or _MARKS[other] not in settings:
        return
    data = f"{one_line(str(settings.get('data', 'DIR')), 120)} " if other == "pretrain" else ""
    raise UserError(
        f"{root} holds a run of swin-umamba {other}, and not one of swin-umamba {command}; give another folder, or go "
        f"on with that run by: swin-umamba {other} {data}--resume --output {root}"
    )
