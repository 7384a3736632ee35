"""Paths as a page says them: a page is mailed, and names no home folder."""

from __future__ import annotations

import dataclasses
import os
import shlex
from pathlib import Path

from .settings import Settings

# Folders whose folders bear the names of people.
_OF_PEOPLE = ("home", "Users")


def path_from(start: Path, path: str) -> str:
    """A path as seen from a folder; its last name alone where they have no folder but those of a system in common."""
    if not os.path.isabs(path):
        return path
    try:
        common = Path(os.path.commonpath([start, path]))
    except ValueError:  # on different drives
        return Path(path).name
    if common == Path(common.anchor) or common.name in _OF_PEOPLE:
        return Path(path).name
    return Path(os.path.relpath(path, start)).as_posix()


def settings_from(start: Path, settings: Settings) -> Settings:
    """The settings of a run with the paths among them as seen from a folder."""
    dataset, pretrained, group_by = settings.dataset, settings.pretrained, settings.group_by
    if group_by is not None and ".csv:" in group_by:
        file, _, column = group_by.rpartition(":")
        group_by = f"{path_from(start, file)}:{column}"
    return dataclasses.replace(
        settings,
        dataset=None if dataset is None else path_from(start, dataset),
        pretrained=None if pretrained is None else path_from(start, pretrained),
        group_by=group_by,
    )


def command_from(start: Path, command: str) -> str:
    """A command for a shell whose whole paths are as seen from a folder; others stay as they are."""
    return shlex.join(path_from(start, word) for word in shlex.split(command))


def text_from(start: Path, text: str, *paths: Path) -> str:
    """A sentence in which some paths are as seen from a folder."""
    for path in sorted({*paths, start}, key=lambda path: -len(path.parts)):
        if path != start:
            text = text.replace(str(path), path_from(start, str(path)))
    return text.replace(f"{start}{os.sep}", "")
