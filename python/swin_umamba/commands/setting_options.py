"""Options for the settings of a run."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping

from ..common.setting_kinds import Choice, Flag, Integer, Several
from ..common.settings import CheckedSettings, no_option_of, option_of
from .parsing import one_of

TYPE_CHECKING = False  # typing has one too, but no help waits for that
if TYPE_CHECKING:
    from typing import Any


def add_settings(
    parser: argparse.ArgumentParser,
    settings: type[CheckedSettings],
    names: Collection[str] | None = None,
    types: Mapping[str, Callable[[str], Any]] | None = None,
    **examples: CheckedSettings,
) -> None:
    """Declare an option for each setting; `said_settings` gives those that the user says.

    Parameters
    ----------
    parser
        Gets the options.
    settings
        Declares them.
    names
        Those that get an option; all if ``None``.
    types
        By name, the argparse types of those whose option takes more than their kind.
    **examples
        Whose values the help names beside the defaults; see `Setting`.
    """
    for name, declared in settings.declared.items():
        if names is not None and name not in names:
            continue
        kind, option = declared.kind, option_of(name)
        meaning, default = settings.describe(name, **examples)
        # What the user does not say is left out of the result.
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": f"{meaning} (default: {default})".strip()}
        if not default:
            options["help"] = meaning
        without: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS, "help": declared.without}
        if isinstance(kind, Choice):
            options["choices"] = kind.values
            options["metavar"] = declared.metavar
        elif not isinstance(kind, Flag):
            item = kind.item if isinstance(kind, Several) else kind
            options["type"] = (types or {}).get(name) or one_of(item)
            options["metavar"] = declared.metavar or ("N" if isinstance(item, Integer) else "X")
        if isinstance(kind, Several):
            options["nargs"] = kind.count
        if declared.is_argument:
            parser.add_argument(name, nargs=None if declared.unsaid is None else "?", **options)
        elif isinstance(kind, Flag) and declared.without is not None:
            parser.add_argument(no_option_of(name), action="store_false", **without)
        elif isinstance(kind, Flag):
            parser.add_argument(option, action=argparse.BooleanOptionalAction, **options)
        elif declared.without is not None:
            group = parser.add_mutually_exclusive_group()
            group.add_argument(option, **options)
            group.add_argument(no_option_of(name), action="store_const", const=None, **without)
        else:
            parser.add_argument(option, **options)


def said_settings(args: argparse.Namespace, settings: type[CheckedSettings]) -> dict[str, Any]:
    """The settings that the user has given a value."""
    said = {name: getattr(args, name) for name in settings.declared if hasattr(args, name)}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
