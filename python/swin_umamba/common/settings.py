"""Settings, each declared once: a field of a dataclass that says what it may be, its option, help and words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from .errors import UserError, last_line
from .setting_kinds import Text, spell
from .text import one_line

_KEY = "setting"

S = TypeVar("S", bound="CheckedSettings")


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a field of `CheckedSettings` declares of itself.

    In ``help`` and ``default``, ``{default}`` stands for the default in words, other names in braces for the values of
    other examples of the settings.

    Attributes
    ----------
    kind : Text
        What it may be.
    help : str
        What it is: for the help of its option, and for the documentation.
    default : str
        What is taken where nobody says it; empty if ``help`` says that, or it must be said.
    unsaid : str or None
        What ``None`` stands for; a setting without it has always a value.
    title : str or None
        Its name in messages and on pages, if that is not the name of the field.
    metavar : str, tuple of str or None
        What stands for the value in the help.
    without : str or None
        Help of ``--no-NAME``, which says ``None`` for a value, and ``False`` for a flag that is on by default.
    is_argument : bool
        Whether it has a place on the command line instead of an option.
    is_later : bool
        Whether former versions wrote files without it.
    is_shown : bool
        Whether it decides what is shown of the results alone, so that a former run may have another.
    """

    kind: Text
    help: str
    default: str = "{default}"
    unsaid: str | None = None
    title: str | None = None
    metavar: str | tuple[str, ...] | None = None
    without: str | None = None
    is_argument: bool = False
    is_later: bool = False
    is_shown: bool = False


def setting(kind: Text, help: str, value: Any = dataclasses.MISSING, **declared: Any) -> Any:
    """A field of `CheckedSettings` with the default ``value``; see `Setting` for the rest."""
    return dataclasses.field(default=value, metadata={_KEY: Setting(kind, help, **declared)})


@dataclasses.dataclass(frozen=True)
class CheckedSettings:
    """Base of dataclasses whose fields are all made by `setting`; a wrong value is a `ValueError` that names it."""

    def __post_init__(self) -> None:
        for name, declared in declarations(type(self)).items():
            value = getattr(self, name)
            if value is None and declared.unsaid is not None:
                continue
            try:
                object.__setattr__(self, name, declared.kind.check(value))
            except ValueError as error:
                raise ValueError(f"{name} {error}") from None

    def as_json(self) -> dict[str, Any]:
        """What a JSON file holds of them; `from_json` reads it."""
        values = vars(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls: type[S], values: Any) -> S:
        """Make of what a JSON file holds; raise `ValueError`, of one line, where that is wrong."""
        if not isinstance(values, dict):
            raise ValueError(f"it must hold one JSON object, got {type(values).__name__}")
        declared = declarations(cls)
        for name in declared:
            if name not in values and not declared[name].is_later:
                raise ValueError(f"it has no {name!r}")
        for name in values:
            if name not in declared:
                raise ValueError(f"there is no setting {name!r}")
        return cls(**values)

    @classmethod
    def read(cls: type[S], path: Path) -> S:
        """Read the settings of a former run from a file; raise `UserError` if it holds something else."""
        from .typed_json import load_json  # late: no help needs it

        try:
            return cls.from_json(load_json(path, with_nan=True))
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read the settings of the former run in {path}: {last_line(error)}") from error

    def check_unchanged(self, said: Mapping[str, Any], advice: str) -> None:
        """Raise `UserError` if the user said anything that these settings, of a former run, have otherwise.

        Parameters
        ----------
        said
            Fields that the user gave a value.
        advice
            The end of the message.
        """
        changed = [
            f"{self.title(name)}: {self.in_words(name, value)} now, "
            f"{one_line(self.in_words(name, former), 100)} in the former run"
            for name, value in said.items()
            if value != (former := getattr(self, name)) and not declarations(type(self))[name].is_shown
        ]
        if changed:
            raise UserError(f"the settings differ ({'; '.join(changed)}); {advice}")

    @classmethod
    def title(cls, name: str) -> str:
        """A setting's name in words."""
        return declarations(cls)[name].title or name.replace("_", " ")

    @classmethod
    def in_words(cls, name: str, value: Any, between: str = " ") -> str:
        """A setting's value in words, see `spell`."""
        return spell(value, between) if value is not None else declarations(cls)[name].unsaid or "none"

    @classmethod
    def describe(cls, name: str, **examples: CheckedSettings) -> tuple[str, str]:
        """What a setting is, and what is taken where nobody says it; see `Setting`."""
        declared = declarations(cls)[name]
        values = {key: getattr(example, name) for key, example in examples.items()}
        values["default"] = next(field.default for field in dataclasses.fields(cls) if field.name == name)
        words = {key: cls.in_words(name, value) for key, value in values.items()}
        return declared.help.format(**words), declared.default.format(**words)


def declarations(cls: type[CheckedSettings]) -> dict[str, Setting]:
    """What the fields declare, by name."""
    return {field.name: field.metadata[_KEY] for field in dataclasses.fields(cls)}


def option_of(name: str) -> str:
    """The option of a setting."""
    return f"--{name.replace('_', '-')}"


def no_option_of(name: str) -> str:
    """The option that says that a setting is off."""
    return option_of(f"no_{name}")
