"""Argument checks shared by the operators and by their reference twins.

Every public function checks its arguments here before any kernel runs, so that a wrong
call is a ``ValueError`` or ``TypeError`` which names the argument, what was seen and what
is wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import numpy as np
import torch
from torch import Tensor

DATA_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
N_DIRECTIONS = 4


def check_tensor(name: str, value: object, dtypes: tuple[torch.dtype, ...] = DATA_DTYPES) -> None:
    """Raise ``TypeError`` unless ``value`` is a dense tensor of one of ``dtypes``."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if value.is_complex():
        raise TypeError(f"{name} must be real, got {value.dtype}")
    if value.dtype not in dtypes:
        wanted = ", ".join(str(d).removeprefix("torch.") for d in dtypes)
        raise TypeError(f"{name} must have one of the dtypes {wanted}, got {value.dtype}")
    if value.is_nested:
        raise TypeError(
            f"{name} must not be nested: call the operator for each of its tensors, or pad them to one shape"
        )
    if value.layout != torch.strided:
        raise TypeError(f"{name} must be a dense (strided) tensor, got layout {value.layout}")


def check_shape(name: str, value: Tensor, wanted: tuple[int | None, ...], letters: str) -> None:
    """Raise ``ValueError`` unless ``value.shape`` is ``wanted``; ``None`` stands for any size >= 1."""
    shape = tuple(value.shape)
    if len(shape) != len(wanted):
        raise ValueError(f"{name} must have shape ({letters}), {len(wanted)} dimensions, got {shape}")
    for size, want in zip(shape, wanted, strict=True):
        if size != want if want is not None else size < 1:
            numbers = ", ".join("≥1" if w is None else str(w) for w in wanted)
            raise ValueError(f"{name} must have shape ({letters}) = ({numbers}), got {shape}")


def check_same_device(**tensors: Tensor | None) -> None:
    """Raise ``ValueError`` unless all given tensors live on one device."""
    first_name, first = next((n, t) for n, t in tensors.items() if t is not None)
    for name, tensor in tensors.items():
        if tensor is not None and tensor.device != first.device:
            raise ValueError(
                f"{name} is on {tensor.device} but {first_name} is on {first.device}; move all arguments to one device"
            )


def check_double_together(**tensors: Tensor | None) -> None:
    """float64 is for gradient checks: it must be all tensors or none."""
    seen = {n: t.dtype for n, t in tensors.items() if t is not None}
    double = [n for n, d in seen.items() if d == torch.float64]
    if double and len(double) != len(seen):
        other = next(n for n in seen if n not in double)
        raise TypeError(
            f"float64 must be used for all arguments or none, got {double[0]} float64 and "
            f"{other} {str(seen[other]).removeprefix('torch.')}"
        )


def check_cross_scan(x: Tensor) -> None:
    check_tensor("x", x)
    check_shape("x", x, (None, None, None, None), "B, C, H, W")


def check_cross_merge(y: Tensor, height: int, width: int) -> None:
    check_tensor("y", y)
    for name, value in (("height", height), ("width", width)):
        if isinstance(value, bool) or not isinstance(value, (int, torch.SymInt)):
            raise TypeError(f"{name} must be an int, got {type(value).__name__}")
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    check_shape("y", y, (None, N_DIRECTIONS, None, height * width), "B, 4, C, height*width")


def _check_input_matrix(name: str, value: Tensor, batch: int, dim: int, state: int, length: int) -> None:
    check_tensor(name, value)
    if value.dim() == 2:
        check_shape(name, value, (dim, state), "D, N")
    elif value.dim() == 3:
        check_shape(name, value, (batch, state, length), "B, N, L")
    elif value.dim() == 4:
        check_shape(name, value, (batch, None, state, length), "B, G, N, L")
        if dim % value.shape[1]:
            raise ValueError(
                f"{name} has {value.shape[1]} groups, which do not divide the {dim} channels of u; "
                f"got shape {tuple(value.shape)}"
            )
    else:
        raise ValueError(f"{name} must have shape (D, N), (B, N, L) or (B, G, N, L), got {tuple(value.shape)}")


def check_selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    return_last_state: bool,
) -> None:
    check_tensor("u", u)
    check_shape("u", u, (None, None, None), "B, D, L")
    batch, dim, length = u.shape
    check_tensor("delta", delta)
    check_shape("delta", delta, (batch, dim, length), "B, D, L")
    check_tensor("A", A)
    check_shape("A", A, (dim, None), "D, N")
    _check_input_matrix("B", B, batch, dim, A.shape[1], length)
    _check_input_matrix("C", C, batch, dim, A.shape[1], length)
    for name, value in (("D", D), ("delta_bias", delta_bias)):
        if value is not None:
            check_tensor(name, value)
            check_shape(name, value, (dim,), "D")
    if z is not None:
        check_tensor("z", z)
        check_shape("z", z, (batch, dim, length), "B, D, L")
    for name, flag in (("delta_softplus", delta_softplus), ("return_last_state", return_last_state)):
        if not isinstance(flag, (int, np.bool_)):
            raise TypeError(f"{name} must be a bool, got {type(flag).__name__}")
    tensors = dict(u=u, delta=delta, A=A, B=B, C=C, D=D, z=z, delta_bias=delta_bias)
    check_same_device(**tensors)
    check_double_together(**tensors)


def check_ss2d(
    x: Tensor,
    x_proj_weight: Tensor,
    dt_projs_weight: Tensor,
    dt_projs_bias: Tensor,
    A_logs: Tensor,
    Ds: Tensor,
) -> None:
    check_tensor("x", x)
    check_shape("x", x, (None, None, None, None), "B, H, W, D")
    dim = x.shape[3]
    check_tensor("dt_projs_weight", dt_projs_weight)
    check_shape("dt_projs_weight", dt_projs_weight, (N_DIRECTIONS, dim, None), "4, D, R")
    check_tensor("A_logs", A_logs)
    check_shape("A_logs", A_logs, (N_DIRECTIONS * dim, None), "4*D, N")
    rank, state = dt_projs_weight.shape[2], A_logs.shape[1]
    check_tensor("x_proj_weight", x_proj_weight)
    check_shape("x_proj_weight", x_proj_weight, (N_DIRECTIONS, rank + 2 * state, dim), "4, R+2N, D")
    check_tensor("dt_projs_bias", dt_projs_bias)
    check_shape("dt_projs_bias", dt_projs_bias, (N_DIRECTIONS, dim), "4, D")
    check_tensor("Ds", Ds)
    check_shape("Ds", Ds, (N_DIRECTIONS * dim,), "4*D")
    tensors = dict(
        x=x,
        x_proj_weight=x_proj_weight,
        dt_projs_weight=dt_projs_weight,
        dt_projs_bias=dt_projs_bias,
        A_logs=A_logs,
        Ds=Ds,
    )
    check_same_device(**tensors)
    check_double_together(**tensors)


def _check_number(name: str, value: object, wanted: str, allowed: Callable[[float], bool]) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    if not allowed(value):
        raise ValueError(f"{name} must be {wanted}, got {value}")


def check_instance_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    eps: float,
    negative_slope: float,
) -> None:
    check_tensor("x", x)
    check_shape("x", x, (None, None, None, None), "B, C, H, W")
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None:
            check_tensor(name, value)
            check_shape(name, value, (x.shape[1],), "C")
    if residual is not None:
        check_tensor("residual", residual)
        check_shape("residual", residual, tuple(x.shape), "B, C, H, W")
    _check_number("eps", eps, "above 0", lambda value: 0 < value < inf)
    _check_number("negative_slope", negative_slope, "at least 0", lambda value: 0 <= value < inf)
    tensors = dict(x=x, weight=weight, bias=bias, residual=residual)
    check_same_device(**tensors)
    check_double_together(**tensors)


def check_depthwise_conv_silu(x: Tensor, weight: Tensor, bias: Tensor) -> None:
    check_tensor("x", x)
    check_shape("x", x, (None, None, None, None), "B, H, W, D")
    check_tensor("weight", weight)
    check_shape("weight", weight, (x.shape[3], 1, 3, 3), "D, 1, 3, 3")
    check_tensor("bias", bias)
    check_shape("bias", bias, (x.shape[3],), "D")
    tensors = dict(x=x, weight=weight, bias=bias)
    check_same_device(**tensors)
    check_double_together(**tensors)


def check_gated_layer_norm(y: Tensor, z: Tensor, weight: Tensor, bias: Tensor, eps: float) -> None:
    check_tensor("z", z)
    if z.dim() < 1 or z.numel() < 1:
        raise ValueError(f"z must have at least one dimension and not be empty, got shape {tuple(z.shape)}")
    check_tensor("y", y)
    if y.shape != z.shape:
        raise ValueError(f"y must have the shape of z, {tuple(z.shape)}, got {tuple(y.shape)}")
    for name, value in (("weight", weight), ("bias", bias)):
        check_tensor(name, value)
        check_shape(name, value, (z.shape[-1],), "D")
    _check_number("eps", eps, "above 0", lambda value: 0 < value < inf)
    tensors = dict(y=y, z=z, weight=weight, bias=bias)
    check_same_device(**tensors)
    check_double_together(**tensors)
