"""Tensors in PyTorch's files, rebuilt from the bytes of their storages.

A tensor is written as a call of one of ``torch._utils._rebuild_*`` with its storage, offset, size and stride. The
builders here make the same tensor, on the CPU, without hooks and without a gradient; a parameter becomes a
tensor. Sparse, quantized and nested tensors, which no network of this package has, stay placeholders.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .pickle_data import CONTAINER_BUILDERS, Builders
from .placeholder import GlobalName, Placeholder, describe

_STORAGE_TYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "UntypedStorage": torch.uint8,
}


REPEATED_BYTES = 2**20
"""How large a tensor may be that repeats elements of a smaller storage, as ``expand`` makes them."""


class Storage:
    """The bytes that one or more tensors share.

    Parameters
    ----------
    dtype : torch.dtype
        The type of the elements, as far as the storage knows it.
    content : Tensor of shape (bytes,), uint8
    """

    def __init__(self, dtype: torch.dtype, content: Tensor) -> None:
        self.dtype = dtype
        self.content = content


def storage_type(name: Any) -> torch.dtype:
    """The type of the elements of a storage class, such as ``torch.FloatStorage``."""
    if isinstance(name, GlobalName) and name.module in ("torch", "torch.cuda", "torch.storage"):
        dtype = _STORAGE_TYPES.get(name.name)
        if dtype is not None:
            return dtype
    raise ValueError(f"a storage of the type {describe(name)}")


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    return _strided(storage, offset, size, stride, None)


def _rebuild_tensor_v2(
    storage: Any, offset: Any, size: Any, stride: Any, _requires_grad: Any, _hooks: Any, bits: Any = None
) -> Tensor:
    return _with_bits(_strided(storage, offset, size, stride, None), bits)


def _rebuild_tensor_v3(
    storage: Any, offset: Any, size: Any, stride: Any, _requires_grad: Any, _hooks: Any, dtype: Any, bits: Any = None
) -> Tensor:
    if not isinstance(dtype, torch.dtype):
        raise ValueError("a tensor has no type")
    return _with_bits(_strided(storage, offset, size, stride, dtype), bits)


def _rebuild_parameter(data: Any, *_gradient_and_hooks: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise ValueError("a parameter has no tensor")
    return data


def _rebuild_from_type(function: Any, _tensor_class: Any, arguments: Any, _state: Any) -> Tensor | Placeholder:
    """A tensor with attributes or of a subclass: the tensor alone."""
    builder = _TENSOR_BUILDERS.get(str(function)) if isinstance(function, GlobalName) else None
    if builder is None or builder is _rebuild_from_type or type(arguments) is not tuple:
        return Placeholder(str(function))
    tensor: Tensor | Placeholder = builder(*arguments)
    return tensor


def _with_bits(tensor: Tensor, bits: Any) -> Tensor:
    """The tensor whose numbers are the negative or conjugate of those in its storage, where ``bits`` say so."""
    if not bits:
        return tensor
    if type(bits) is not dict or not bits.keys() <= {"conj", "neg"} or not {*map(type, bits.values())} <= {bool}:
        raise ValueError("a tensor has attributes that are not known here")
    if bits.get("conj"):
        tensor = tensor.conj()
    if bits.get("neg"):
        # As a view, where torch has it; it is how the tensor was.
        tensor = getattr(torch, "_neg_view", torch.neg)(tensor)
    return tensor


def _strided(storage: Any, offset: Any, size: Any, stride: Any, dtype: torch.dtype | None) -> Tensor:
    if not isinstance(storage, Storage):
        raise ValueError("a tensor has no storage")
    dtype = dtype or storage.dtype
    size, stride = _sizes(size), _sizes(stride)
    if type(offset) is not int or offset < 0 or len(size) != len(stride):
        raise ValueError(f"a tensor has the size {size} and the stride {stride}, or a wrong offset")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    # Checked here in Python's unbounded integers; in torch's, a product of sizes can overflow.
    if 0 not in size and (last + 1) * dtype.itemsize > storage.content.numel():
        raise ValueError(f"a tensor of the size {size} is larger than its storage")
    if max((*size, *stride, offset), default=0) >= 2**63:
        raise ValueError(f"a tensor has the size {size}")
    if 0 in size:
        return torch.empty_strided(size, stride, dtype=dtype)
    n_bytes = math.prod(size) * dtype.itemsize
    if n_bytes > max(storage.content.numel(), REPEATED_BYTES):
        raise ValueError(f"a tensor of the size {size} claims more elements than its storage holds")
    elements = storage.content[: storage.content.numel() // dtype.itemsize * dtype.itemsize].view(dtype)
    return elements.as_strided(size, stride, offset)


def _sizes(sizes: Any) -> tuple[int, ...]:
    if not isinstance(sizes, tuple) or len(sizes) > 64 or not all(type(n) is int and n >= 0 for n in sizes):
        raise ValueError("a tensor has no size")
    return tuple(sizes)


def _size(sizes: Any) -> torch.Size:
    return torch.Size(_sizes(sizes))


def _device(kind: Any, index: Any = None) -> torch.device:
    if type(kind) is not str or not (index is None or type(index) is int):
        raise ValueError("a device has no name")
    return torch.device(kind) if index is None else torch.device(kind, index)


_TENSOR_BUILDERS: Builders = {
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor_v2,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _rebuild_parameter,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
}

TORCH_BUILDERS: Builders = {
    **CONTAINER_BUILDERS,
    **_TENSOR_BUILDERS,
    "torch.Size": _size,
    "torch.device": _device,
}

TORCH_CONSTANTS = {str(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)}
