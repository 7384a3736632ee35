"""Settings, each declared once: a field of a dataclass that says what it may be, its option, help and words."""

from __future__ import annotations

from collections.abc import Mapping

from .errors import UserError, last_line
from .light_dataclass import dataclass
from .setting_kinds import Text, spell
from .text import one_line

TYPE_CHECKING = False  # typing has one too, but no help waits for that
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, ClassVar, TypeVar

    S = TypeVar("S", bound="CheckedSettings")

REQUIRED = object()
"""The default of a setting that must be said."""


@dataclass(frozen=True)
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
    value : object
        The default, or `REQUIRED`.
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
    value: Any = REQUIRED
    default: str = "{default}"
    unsaid: str | None = None
    title: str | None = None
    metavar: str | tuple[str, ...] | None = None
    without: str | None = None
    is_argument: bool = False
    is_later: bool = False
    is_shown: bool = False


def setting(kind: Text, help: str, value: Any = REQUIRED, **declared: Any) -> Any:
    """A field of `CheckedSettings` with the default ``value``; see `Setting` for the rest."""
    return Setting(kind, help, value, **declared)


class CheckedSettings:
    """Base of dataclasses whose fields are all made by `setting`; a wrong value is a `ValueError` that names it."""

    if TYPE_CHECKING:  # who asks for the types of the fields has no ClassVar
        declared: ClassVar[dict[str, Setting]]

    def __init_subclass__(cls) -> None:
        cls.declared = {name: value for name, value in vars(cls).items() if isinstance(value, Setting)}
        for name, declared in cls.declared.items():
            if declared.value is REQUIRED:
                delattr(cls, name)
            else:
                setattr(cls, name, declared.value)

    def __post_init__(self) -> None:
        for name, declared in self.declared.items():
            value = getattr(self, name)
            if value is None and declared.unsaid is not None:
                continue
            try:
                vars(self)[name] = declared.kind.check(value)
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
        for name, declared in cls.declared.items():
            if name not in values and not declared.is_later:
                raise ValueError(f"it has no {name!r}")
        for name in values:
            if name not in cls.declared:
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
            if value != (former := getattr(self, name)) and not self.declared[name].is_shown
        ]
        if changed:
            raise UserError(f"the settings differ ({'; '.join(changed)}); {advice}")

    @classmethod
    def title(cls, name: str) -> str:
        """A setting's name in words."""
        return cls.declared[name].title or name.replace("_", " ")

    @classmethod
    def in_words(cls, name: str, value: Any, between: str = " ") -> str:
        """A setting's value in words, see `spell`."""
        return spell(value, between) if value is not None else cls.declared[name].unsaid or "none"

    @classmethod
    def describe(cls, name: str, **examples: CheckedSettings) -> tuple[str, str]:
        """What a setting is, and what is taken where nobody says it; see `Setting`."""
        declared = cls.declared[name]
        values = {key: getattr(example, name) for key, example in examples.items()}
        values["default"] = declared.value
        words = {key: cls.in_words(name, value) for key, value in values.items()}
        return declared.help.format(**words), declared.default.format(**words)


def option_of(name: str) -> str:
    """The option of a setting."""
    return f"--{name.replace('_', '-')}"


def no_option_of(name: str) -> str:
    """The option that says that a setting is off."""
    return option_of(f"no_{name}")
