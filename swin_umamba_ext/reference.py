"""The operators in plain PyTorch: the definition that every kernel is tested against.

The functions have the names and signatures of the fast ones in `swin_umamba_ext`,
run on any device, and are differentiated by PyTorch's own autograd. They are slow and
hold what the kernels avoid holding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from . import checks


def _compute_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def cross_scan(x: Tensor) -> Tensor:
    """Unroll an image along four scan orders (Eq. 1, *scan expand*).

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W)

    Returns
    -------
    Tensor of shape (B, 4, C, H*W), dtype of ``x``
        Directions: row-major, column-major, reversed row-major, reversed column-major.
    """
    checks.check_cross_scan(x)
    rows = x.flatten(2)
    columns = x.transpose(2, 3).flatten(2)
    forward = torch.stack([rows, columns], dim=1)
    return torch.cat([forward, forward.flip(-1)], dim=1)


def cross_merge(y: Tensor, height: int, width: int) -> Tensor:
    """Put four scanned sequences back in place and add them (Eq. 3, *scan merge*).

    Parameters
    ----------
    y : Tensor of shape (B, 4, C, height*width)
    height, width : int

    Returns
    -------
    Tensor of shape (B, C, height, width), dtype of ``y``
    """
    checks.check_cross_merge(y, height, width)
    y, dtype = y.to(_compute_dtype(y)), y.dtype
    folded = y[:, :2] + y[:, 2:].flip(-1)
    rows = folded[:, 0].unflatten(-1, (height, width))
    columns = folded[:, 1].unflatten(-1, (width, height)).transpose(2, 3)
    merged: Tensor = (rows + columns).to(dtype)
    return merged.contiguous()


def _expand_input_matrix(value: Tensor, batch: int, dim: int, length: int) -> Tensor:
    """(D, N), (B, N, L) or (B, G, N, L) -> (B, D, N, L)."""
    if value.dim() == 2:
        return value[None, :, :, None].expand(batch, -1, -1, length)
    if value.dim() == 3:
        return value[:, None].expand(-1, dim, -1, -1)
    return value.repeat_interleave(dim // value.shape[1], dim=1)


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Selective scan (S6, Eq. 2), step by step as in Algorithm 2 of the Mamba paper.

    With ``dt = softplus(delta + delta_bias)`` and the state ``h`` of size N per channel:

        h_t = exp(dt_t * A) * h_{t-1} + dt_t * B_t * u_t
        y_t = <C_t, h_t> + D * u_t
        out = y * silu(z)

    Parameters
    ----------
    u, delta : Tensor of shape (B, D, L)
    A : Tensor of shape (D, N), real
    B, C : Tensor of shape (D, N), (B, N, L) or (B, G, N, L)
    D, delta_bias : Tensor of shape (D,), optional
    z : Tensor of shape (B, D, L), optional
    delta_softplus : bool
        Apply softplus to ``delta + delta_bias``.
    return_last_state : bool
        Also return the state after the last step, (B, D, N).

    Returns
    -------
    out : Tensor of shape (B, D, L), dtype of ``u``
    last_state : Tensor of shape (B, D, N), float32 (float64 for float64 input)
    """
    checks.check_selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state)
    dtype = _compute_dtype(u)
    batch, dim, length = u.shape
    x, dt, A = u.to(dtype), delta.to(dtype), A.to(dtype)
    if delta_bias is not None:
        dt = dt + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        dt = F.softplus(dt)
    B = _expand_input_matrix(B.to(dtype), batch, dim, length)
    C = _expand_input_matrix(C.to(dtype), batch, dim, length)

    h = torch.zeros(batch, dim, A.shape[1], dtype=dtype, device=u.device)
    steps = []
    # unbind, not indexing: the gradient of x[..., t] is as large as x, and there are L of them
    for dt_t, x_t, B_t, C_t in zip(dt.unbind(-1), x.unbind(-1), B.unbind(-1), C.unbind(-1), strict=True):
        h = torch.exp(dt_t[..., None] * A) * h + (dt_t * x_t)[..., None] * B_t
        steps.append((h * C_t).sum(-1))
    y = torch.stack(steps, dim=-1)
    if D is not None:
        y = y + D.to(dtype)[:, None] * x
    if z is not None:
        y = y * F.silu(z.to(dtype))
    out = y.to(u.dtype)
    return (out, h) if return_last_state else out


def ss2d(
    x: Tensor,
    x_proj_weight: Tensor,
    dt_projs_weight: Tensor,
    dt_projs_bias: Tensor,
    A_logs: Tensor,
    Ds: Tensor,
) -> Tensor:
    """2-D selective scan (SS2D, Eqs. 1-3) of a channels-last image.

    Cross-scan, projections of every pixel to dt, B and C, softplus, selective scan with
    ``A = -exp(A_logs)``, and the merge of the four directions.

    Parameters
    ----------
    x : Tensor of shape (B, H, W, D)
    x_proj_weight : Tensor of shape (4, R+2N, D)
        Rows: R for dt, N for B, N for C.
    dt_projs_weight : Tensor of shape (4, D, R)
    dt_projs_bias : Tensor of shape (4, D)
    A_logs : Tensor of shape (4*D, N)
    Ds : Tensor of shape (4*D,)

    Returns
    -------
    Tensor of shape (B, H, W, D), float32 (float64 for float64 input)
    """
    checks.check_ss2d(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds)
    dtype = _compute_dtype(x)
    _, height, width, _ = x.shape
    rank, state = dt_projs_weight.shape[2], A_logs.shape[1]

    xs = cross_scan(x.to(dtype).permute(0, 3, 1, 2))
    projected = torch.einsum("bkdl,kcd->bkcl", xs, x_proj_weight.to(dtype))
    dt, B, C = projected.split([rank, state, state], dim=2)
    delta = torch.einsum("bkrl,kdr->bkdl", dt, dt_projs_weight.to(dtype))
    ys = selective_scan(
        xs.flatten(1, 2),
        delta.flatten(1, 2),
        -torch.exp(A_logs.to(dtype)),
        B,
        C,
        Ds,
        delta_bias=dt_projs_bias.flatten(),
        delta_softplus=True,
    )
    assert isinstance(ys, Tensor)  # as no last state was asked for
    y = cross_merge(ys.unflatten(1, (4, -1)), height, width)
    return y.permute(0, 2, 3, 1).contiguous()


def instance_norm(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    eps: float = 1e-5,
    negative_slope: float = 1.0,
) -> Tensor:
    """Instance normalisation (arXiv:1607.08022), a residual connection and LeakyReLU.

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W)
    weight, bias : Tensor of shape (C,), optional
    residual : Tensor of shape (B, C, H, W), optional
    eps : float
        Added to the variance.
    negative_slope : float
        Of LeakyReLU; 1 is no activation.

    Returns
    -------
    Tensor of shape (B, C, H, W), dtype of ``x``
    """
    checks.check_instance_norm(x, weight, bias, residual, eps, negative_slope)
    dtype = _compute_dtype(x)
    centred = x.to(dtype) - x.to(dtype).mean((2, 3), keepdim=True)
    y = centred / torch.sqrt(centred.square().mean((2, 3), keepdim=True) + eps)
    if weight is not None:
        y = y * weight.to(dtype)[:, None, None]
    if bias is not None:
        y = y + bias.to(dtype)[:, None, None]
    if residual is not None:
        y = y + residual.to(dtype)
    return torch.where(y > 0, y, negative_slope * y).to(x.dtype)


def depthwise_conv_silu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """3x3 convolution of each channel with weights of its own, zeros around the image, and SiLU.

    Parameters
    ----------
    x : Tensor of shape (B, H, W, D)
    weight : Tensor of shape (D, 1, 3, 3)
    bias : Tensor of shape (D,)

    Returns
    -------
    Tensor of shape (B, H, W, D), dtype of ``x``
    """
    checks.check_depthwise_conv_silu(x, weight, bias)
    dtype, (height, width) = _compute_dtype(x), x.shape[1:3]
    padded = F.pad(x.to(dtype), (0, 0, 1, 1, 1, 1))
    y = bias.to(dtype)
    for i in range(3):
        for j in range(3):
            y = y + weight[:, 0, i, j].to(dtype) * padded[:, i : i + height, j : j + width]
    return (y * torch.sigmoid(y)).to(x.dtype)


def gated_layer_norm(y: Tensor, z: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Layer normalisation (arXiv:1607.06450) of the last dimension, times SiLU of a gate.

    Parameters
    ----------
    y, z : Tensor of shape (..., D)
    weight, bias : Tensor of shape (D,)
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor of shape (..., D), dtype of ``z``
    """
    checks.check_gated_layer_norm(y, z, weight, bias, eps)
    dtype = _compute_dtype(z)
    centred = y.to(dtype) - y.to(dtype).mean(-1, keepdim=True)
    normed = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps)
    gate = z.to(dtype) * torch.sigmoid(z.to(dtype))
    return ((normed * weight.to(dtype) + bias.to(dtype)) * gate).to(z.dtype)
