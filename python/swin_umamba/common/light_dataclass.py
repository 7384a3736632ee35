"""`dataclass` and `replace` for what helps are made from: Python's own take a third of the time of a help to load."""

from __future__ import annotations

TYPE_CHECKING = False  # typing has one too, but no help waits for that
if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
    from dataclasses import replace as replace
else:

    def dataclass(*, frozen):
        """`dataclasses.dataclass` of a class that inherits no fields, and whose defaults are plain values.

        Those who ask `dataclasses` find nothing else than one of its own.
        """
        assert frozen
        return _completed

    def replace(instance, **changes):
        """`dataclasses.replace`."""
        return type(instance)(**{**vars(instance), **changes})


def _completed(cls: type) -> type:
    for method in (__init__, __eq__, __hash__, __repr__, __setattr__, __delattr__):
        setattr(cls, method.__name__, method)
    cls.__dataclass_fields__ = _Fields()  # type: ignore[attr-defined]
    return cls


def __init__(self: object, *values: object, **named: object) -> None:
    cls = type(self)
    names = cls.__annotations__
    if len(values) > len(names):
        raise TypeError(f"{cls.__name__} has {len(names)} fields, got {len(values)}")
    for name, value in zip(names, values, strict=False):
        if name in named:
            raise TypeError(f"{cls.__name__} got {name!r} twice")
        named[name] = value
    if unknown := named.keys() - names:
        raise TypeError(f"{cls.__name__} has no field {min(unknown)!r}")
    for name in names:
        if name not in named and not hasattr(cls, name):
            raise TypeError(f"{cls.__name__} needs {name!r}")
        vars(self)[name] = named[name] if name in named else getattr(cls, name)
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def __eq__(self: object, other: object) -> bool:
    return vars(self) == vars(other) if type(other) is type(self) else NotImplemented


def __hash__(self: object) -> int:
    return hash(tuple(vars(self).values()))


def __repr__(self: object) -> str:
    return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


def __setattr__(self: object, name: str, value: object) -> None:
    raise AttributeError(f"cannot assign to {name!r} of {type(self).__name__}")


def __delattr__(self: object, name: str) -> None:
    raise AttributeError(f"cannot delete {name!r} of {type(self).__name__}")


class _Fields:
    """What `dataclasses.fields`, `asdict` and others ask a dataclass for: those of a real one."""

    def __get__(self, instance: object, cls: type) -> object:
        from dataclasses import MISSING, field, fields, make_dataclass

        declared = [
            (name, kind, field(default=getattr(cls, name, MISSING))) for name, kind in cls.__annotations__.items()
        ]
        found = {field.name: field for field in fields(make_dataclass(cls.__name__, declared))}
        cls.__dataclass_fields__ = found  # type: ignore[attr-defined]
        return found
