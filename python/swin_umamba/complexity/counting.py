"""Counting of parameters and operations, once as the paper does and once as PyTorch does."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ..common.errors import UserError

SCAN = "selective scan"


@dataclass(frozen=True)
class Complexity:
    """Size and cost of a network for one image, forward.

    Attributes
    ----------
    parameters : int
        All parameters, frozen ones included.
    multiply_accumulates : int
        As fvcore counts: convolutions, matrix products and attention by multiply-accumulates, normalisation
        and interpolation by their operations, activations and sums not at all. Selective scans are included.
    scan : int
        The part of it in selective scans, 9·B·L·D·N + B·L·D each.
    flops : int
        As ``torch.utils.flop_counter.FlopCounterMode`` counts: two for a multiply-accumulate, nothing for
        normalisation and interpolation, and the scans as above.
    """

    parameters: int
    multiply_accumulates: int
    scan: int
    flops: int


def count_complexity(network: Any, in_channels: int, size: tuple[int, int]) -> Complexity:
    """Count the parameters of a network and its operations on one image.

    Parameters
    ----------
    network : torch.nn.Module
        On the CPU. It runs once, in evaluation mode; its mode and its outputs' number stay as they were.
    in_channels : int
        Number of channels of the image.
    size : (int, int)
        Height and width of the image.

    Raises
    ------
    UserError
        If fvcore is not installed.
    """
    import torch

    training = network.training
    try:
        network.eval()
        with torch.no_grad():
            counts = _multiply_accumulates(network, torch.zeros(1, in_channels, *size))
            flops = _flops(network, torch.empty(1, in_channels, *size, device="meta"))
    finally:
        network.train(training)
    return Complexity(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        multiply_accumulates=int(sum(counts.values())),
        scan=int(counts[SCAN]),
        flops=flops,
    )


def _multiply_accumulates(network: Any, image: Any) -> Counter[str]:
    """Multiply-accumulates by kind of operator."""
    try:
        from fvcore.nn import FlopCountAnalysis
    except ImportError as error:
        raise UserError(f"counting operations needs the package fvcore ({error}); pip install fvcore") from error
    analysis = FlopCountAnalysis(network, image).set_op_handle(
        **{
            "aten::scaled_dot_product_attention": _attention,
            "swin_umamba::selective_scan": _selective_scan,
            "swin_umamba::ss2d": _ss2d,
        }
    )
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    counts: Counter[str] = analysis.by_operator()
    return counts


def _flops(network: Any, image: Any) -> int:
    """What ``FlopCounterMode`` counts, on the meta device, where nothing is computed."""
    from torch.func import functional_call
    from torch.utils.flop_counter import FlopCounterMode

    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    with FlopCounterMode(display=False) as counter:
        functional_call(network, {name: tensor.to("meta") for name, tensor in tensors.items()}, (image,))
    return int(counter.get_total_flops())


def _shape(value: Any) -> tuple[int, ...]:
    """Shape of a tensor in fvcore's trace."""
    return tuple(value.type().sizes())


def _attention(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    query, key, value = (_shape(argument) for argument in inputs[:3])
    return Counter(attention=math.prod(query) * key[-2] + math.prod(query[:-1]) * key[-2] * value[-1])


def _selective_scan(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    from swin_umamba_ext import flops

    u, _, A, _, _, D, *_ = inputs
    skip = _shape(D) if D.type().kind() == "TensorType" else None
    return Counter({SCAN: flops.selective_scan_operations(_shape(u), _shape(A), skip)})


def _ss2d(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    from swin_umamba_ext import flops

    x, x_proj_weight, dt_projs_weight, _, A_logs, *_ = (_shape(argument) for argument in inputs[:5])
    return Counter(
        {
            SCAN: flops.ss2d_scan_operations(x, A_logs),
            "projection": flops.ss2d_projection_multiply_accumulates(x, x_proj_weight, dt_projs_weight),
        }
    )
