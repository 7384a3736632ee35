"""Pickles read as data: plain containers, and what a fixed list of builders makes; never code.

A pickle is a program for a small stack machine, and two of its instructions, "look up this name" and "call
it", are why reading one can run anything. This module has that machine without the two: a name stays a
`GlobalName`, and calling one means asking a table that this package wrote. What the table does not have
becomes a `Placeholder`. Nothing is ever imported, looked up with ``getattr`` or called because a file
says so.

``torch.load(weights_only=True)`` guards its machine with a list of allowed classes instead. It refuses files
with any other class in them, as the released VMamba and nnU-Net checkpoints have; classes can only be allowed
for the whole process, then are really built, and cannot be subclasses of dict or list such as yacs'
``CfgNode``. Splitting a pickle into instructions is left to the standard library's pickletools, which knows
all protocols.
"""

from __future__ import annotations

import pickletools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from .numpy_data import NUMPY_BUILDERS, ArrayType, UnfilledArray
from .placeholder import GlobalName, Placeholder, describe


class PickleDataError(ValueError):
    """The bytes are no whole pickle, or one that no program would write."""


INSTRUCTIONS = 2_000_000
"""What a pickle may have at most, which is read in about 5 s. An epoch in nnU-Net's log of 14 classes has 300."""
COPIED_BYTES = 2**28
"""What builders may copy for a small pickle; a large one may have four times its size more."""

# The names that Python 3 writes into pickles of protocol 2, which is what torch.save uses.
_PYTHON_2_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}

_BYTES = {"latin1", "latin-1"}
_KEYS = (str, bytes, int, float, type(None), np.integer, np.floating, np.bool_, GlobalName, Placeholder)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """What bytes are in protocol 2."""
    if encoding not in _BYTES:
        raise PickleDataError(f"bytes are encoded as {describe(encoding)}")
    return text.encode("latin1")


def _bytearray(content: str | bytes = b"", encoding: str = "latin1") -> bytearray:
    return bytearray(_encode(content, encoding) if isinstance(content, str) else _instance(content, bytes))


def _complex(real: float, imaginary: float) -> complex:
    return complex(_instance(real, float), _instance(imaginary, float))


def _instance(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise PickleDataError(f"{type(value).__name__} found where {kind.__name__} belongs")
    return value


def _dict(*arguments: Any) -> dict[Any, Any]:
    """A plain dict for those of `collections`, whose only argument of interest is a dict."""
    items = arguments[-1] if arguments else None
    return {_key(key): value for key, value in items.items()} if type(items) is dict else {}


def _ordered_dict(items: Any = ()) -> OrderedDict[Any, Any]:
    """An empty one that is filled by further instructions, or (before Python 3) one with a list of pairs."""
    if type(items) not in (list, tuple):
        raise PickleDataError(f"an OrderedDict is made of {type(items).__name__}")
    return OrderedDict((_key(key), value) for key, value in items)


def _set(elements: Any = ()) -> set[Any]:
    return {_key(element) for element in _instance(elements, list)}


def _reconstructed(class_name: Any, _base: Any, content: Any) -> Placeholder:
    """An object in protocols 0 and 1."""
    placeholder = Placeholder(describe(class_name))
    if type(content) is dict:
        placeholder.mapping = content
    elif type(content) is list:
        placeholder.sequence = content
    return placeholder


Builders = Mapping[str, Callable[..., Any]]

CONTAINER_BUILDERS: Builders = {
    "_codecs.encode": _encode,
    "builtins.bytes": lambda: b"",
    "builtins.bytearray": _bytearray,
    "builtins.complex": _complex,
    "builtins.set": _set,
    "builtins.frozenset": lambda elements=(): frozenset(_set(elements)),
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _dict,
    "collections.Counter": _dict,
    "copyreg._reconstructor": _reconstructed,
    **NUMPY_BUILDERS,
}


def _key(key: Any) -> Any:
    """Refuse keys other than scalars and short flat tuples of them.

    Hashing a tuple of tuples can take forever; and among complex numbers, and integers of any size, many have the
    same hash.
    """
    items = key if type(key) is tuple and len(key) <= 16 else (key,)
    for item in items:
        if not isinstance(item, _KEYS) or (type(item) is int and item.bit_length() > 64):
            raise PickleDataError(f"a dict or set has a key of type {type(key).__name__}")
    return key


def _cost(value: Any) -> int:
    """About the bytes that a copy takes."""
    if isinstance(value, str | bytes | bytearray):
        return len(value)
    return 64 * len(value) if isinstance(value, list | tuple | dict | set) else 0


class PickleReader:
    """Reads one pickle from a file.

    Parameters
    ----------
    file
        Positioned at the start of the pickle; afterwards, behind its end.
    builders
        By full name, what the pickle may call, with arguments from the pickle: nothing in the table may do more
        than make an object.
    constants
        By full name, what the pickle may refer to.
    persistent_load
        Makes an object of an id; PyTorch writes its storages that way.
    """

    def __init__(
        self,
        file: BinaryIO,
        builders: Builders,
        constants: Mapping[str, Any],
        persistent_load: Callable[[Any], Any],
    ) -> None:
        self._file = file
        self._builders = builders
        self._constants = constants
        self._persistent_load = persistent_load
        self._stack: list[Any] = []
        self._outer_stacks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._copied = 0

    def read(self) -> Any:
        """Return the pickled object.

        Raises
        ------
        PickleDataError
            The bytes are no whole pickle, or have something in them that no program writes, or make far more of it
            than they are.
        """
        try:
            for count, (opcode, argument, position) in enumerate(pickletools.genops(self._file)):
                self._execute(opcode.name, argument)
                if count > INSTRUCTIONS:
                    raise PickleDataError(f"it has more than {INSTRUCTIONS} values beside its tensors")
                if self._copied > COPIED_BYTES + 4 * (position or 0):
                    raise PickleDataError("the values beside its tensors are much larger than the file")
            return self._stack.pop()
        except PickleDataError:
            raise
        # pickletools and the builders meet anything in a file.
        except Exception as error:
            raise PickleDataError(str(error) or type(error).__name__) from None

    def _execute(self, operation: str, argument: Any) -> None:
        stack = self._stack
        match operation:
            # Memo
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                self._remember(argument)
            case "MEMOIZE":
                self._remember(len(self._memo))
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(self._memo[argument])
            # Scalars, which pickletools has decoded
            case "BININT" | "BININT1" | "BININT2" | "INT" | "LONG" | "LONG1" | "LONG4" | "FLOAT" | "BINFLOAT":
                stack.append(argument)
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8" | "UNICODE":
                stack.append(argument)
            case "STRING" | "BINSTRING" | "SHORT_BINSTRING" | "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8":
                stack.append(argument)
            case "BYTEARRAY8":
                stack.append(bytearray(argument))
            case "NONE":
                stack.append(None)
            case "NEWTRUE":
                stack.append(True)
            case "NEWFALSE":
                stack.append(False)
            # Stack
            case "MARK":
                self._outer_stacks.append(stack)
                self._stack = []
            case "POP":
                if stack:
                    stack.pop()
                else:
                    self._pop_mark()
            case "POP_MARK":
                self._pop_mark()
            case "DUP":
                stack.append(stack[-1])
            # Containers
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(operation[-1])
                if len(stack) < count:
                    raise PickleDataError("the stack is empty")
                stack[-count:] = [tuple(stack[-count:])]
            case "TUPLE":
                self._push(tuple(self._pop_mark()))
            case "EMPTY_LIST":
                stack.append([])
            case "LIST":
                self._push(self._pop_mark())
            case "EMPTY_DICT":
                stack.append({})
            case "DICT":
                items = self._pop_mark()
                self._push({})
                self._set_items(items)
            case "EMPTY_SET":
                stack.append(set())
            case "FROZENSET":
                self._push(frozenset(_set(self._pop_mark())))
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self._set_items([key, value])
            case "SETITEMS":
                self._set_items(self._pop_mark())
            case "APPEND":
                element = stack.pop()
                self._extend([element])
            case "APPENDS":
                self._extend(self._pop_mark())
            case "ADDITEMS":
                self._add(self._pop_mark())
            # Objects
            case "GLOBAL":
                self._push_name(*argument.split(" ", 1))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                self._push_name(module, name)
            case "REDUCE" | "NEWOBJ":
                arguments, callee = stack.pop(), stack.pop()
                self._call(callee, arguments)
            case "NEWOBJ_EX":
                _keywords, arguments, callee = stack.pop(), stack.pop(), stack.pop()
                self._call(callee, arguments)
            case "OBJ":
                callee, *arguments = self._pop_mark()
                self._call(callee, tuple(arguments))
            case "INST":
                arguments = self._pop_mark()
                self._push_name(*argument.split(" ", 1))
                self._call(self._stack.pop(), tuple(arguments))
            case "BUILD":
                state = stack.pop()
                self._set_state(stack[-1], state)
            case "PERSID":
                stack.append(self._persistent_load(argument))
            case "BINPERSID":
                stack.append(self._persistent_load(stack.pop()))
            case "PROTO" | "FRAME" | "STOP":
                pass
            # EXT*: numbers for names that programs agree on; *_BUFFER: data outside of the pickle.
            case _:
                raise PickleDataError(f"the instruction {operation} has no place in a checkpoint")

    def _remember(self, key: int) -> None:
        self._memo[key] = value = self._stack[-1]
        if isinstance(value, UnfilledArray):
            value.memo_keys.append(key)

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop_mark(self) -> list[Any]:
        items = self._stack
        self._stack = self._outer_stacks.pop()
        return items

    def _push_name(self, module: Any, name: Any) -> None:
        module = _instance(module, str)
        full_name = GlobalName(_PYTHON_2_MODULES.get(module, module), _instance(name, str))
        self._push(self._constants.get(str(full_name), full_name))

    def _call(self, callee: Any, arguments: Any) -> None:
        arguments = _instance(arguments, tuple)
        self._copied += _cost(arguments) + sum(map(_cost, arguments))
        builder = self._builders.get(str(callee)) if isinstance(callee, GlobalName) else None
        if builder is not None:
            self._push(builder(*arguments))
        else:
            self._push(Placeholder(describe(callee), arguments))

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        mapping = target.mapping if isinstance(target, Placeholder) else target
        if type(mapping) not in (dict, OrderedDict):
            raise PickleDataError(f"items are given to {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            mapping[_key(key)] = value

    def _extend(self, elements: list[Any]) -> None:
        target = self._stack[-1]
        sequence = target.sequence if isinstance(target, Placeholder) else target
        _instance(sequence, list).extend(elements)

    def _add(self, elements: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, Placeholder):
            target.sequence.extend(elements)
        else:
            _instance(target, set).update(_set(elements))

    def _set_state(self, target: Any, state: Any) -> None:
        if isinstance(target, Placeholder):
            target.state = state
        elif isinstance(target, ArrayType):
            self._copied += _cost(state)
            target.set_state(state)
        elif isinstance(target, UnfilledArray):
            self._copied += _cost(state) + sum(map(_cost, _instance(state, tuple)))
            self._stack[-1] = array = target.fill(state)
            for key in target.memo_keys:
                if self._memo[key] is target:
                    self._memo[key] = array
        elif type(target) is OrderedDict:
            # The versions of a state dict's modules, which load_state_dict looks at.
            if isinstance(state, dict) and "_metadata" in state:
                target._metadata = state["_metadata"]  # type: ignore[attr-defined] # as Module.state_dict does
        else:
            raise PickleDataError(f"attributes are given to {type(target).__name__}")
