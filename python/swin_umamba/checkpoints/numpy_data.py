"""NumPy arrays and scalars in pickles, as nnU-Net's checkpoints have them in their logs.

Only arrays of numbers and strings are rebuilt, others stay placeholders. NumPy's own functions for pickles are
not safe for bytes of strangers: an array of objects holds anything, and a wrong description of a type can crash
the process.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from .placeholder import Placeholder, describe

_CODE = re.compile(r"\?|[biufc]\d{1,2}|[SU]\d{1,9}")


class ArrayType:
    """What a pickle says of a ``numpy.dtype``.

    Parameters
    ----------
    code : str
        Kind and size, such as ``f8``.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        self.byte_order = "="
        self.is_plain = isinstance(code, str) and _CODE.fullmatch(code) is not None

    def set_state(self, state: Any) -> None:
        """Take over the byte order; structured types are not plain."""
        _version, byte_order, base, fields, *_ = state
        if byte_order not in ("<", ">", "|", "="):
            raise ValueError(f"a NumPy type has the byte order {describe(byte_order)}")
        self.byte_order = byte_order
        self.is_plain = self.is_plain and base is None and fields is None

    def dtype(self) -> np.dtype:
        """The type itself, if it is plain: numbers or strings."""
        return np.dtype(self.byte_order + self.code)


class UnfilledArray:
    """``numpy._core.multiarray._reconstruct``: an array whose shape, type and content come later.

    Attributes
    ----------
    memo_keys : list of int
        Where the pickle's memo has it, and is to have the array.
    """

    def __init__(self, *_class_shape_and_code: Any) -> None:
        self.memo_keys: list[int] = []

    def fill(self, state: Any) -> np.ndarray | Placeholder:
        """The array."""
        _version, shape, array_type, is_fortran, content = state
        return make_array(content, array_type, shape, "F" if is_fortran else "C")


def make_type(code: Any, *_flags: Any) -> ArrayType:
    """``numpy.dtype``."""
    return ArrayType(code)


def make_scalar(array_type: Any, content: Any) -> np.generic | Placeholder:
    """``numpy._core.multiarray.scalar``: a value of the given type from its bytes."""
    array = make_array(content, array_type, (1,), "C")
    return array[0] if isinstance(array, np.ndarray) else array


def make_array(content: Any, array_type: Any, shape: Any, order: Any) -> np.ndarray | Placeholder:
    """``numpy._core.numeric._frombuffer``: what arrays are in pickles of protocol 5."""
    if not isinstance(array_type, ArrayType):
        raise ValueError("a NumPy array has no type")
    if not array_type.is_plain:
        return Placeholder(f"numpy.ndarray of {describe(array_type.code)}", (content, shape))
    if type(shape) is not tuple or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("a NumPy array has no shape")
    if order not in ("C", "F"):
        raise ValueError(f"a NumPy array has the order {describe(order)}")
    if isinstance(content, str):  # bytes, written by Python 2
        content = content.encode("latin1")
    dtype = array_type.dtype()
    if not isinstance(content, bytes | bytearray) or len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError("a NumPy array has more or less content than its shape and type say")
    if not content:
        return np.zeros(shape, dtype)
    return np.frombuffer(content, dtype).reshape(shape, order=order).copy(order)


_MODULES = ("numpy._core", "numpy.core")  # the latter before NumPy 2

NUMPY_BUILDERS: dict[str, Callable[..., Any]] = {
    "numpy.dtype": make_type,
    **{f"{module}.multiarray.scalar": make_scalar for module in _MODULES},
    **{f"{module}.multiarray._reconstruct": UnfilledArray for module in _MODULES},
    **{f"{module}.numeric._frombuffer": make_array for module in _MODULES},
}
