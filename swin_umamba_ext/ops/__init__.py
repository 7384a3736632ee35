"""The operators: argument checks, dtypes, autograd and fake tensors around the kernels."""

from .. import flops as flops  # counts their operations in PyTorch's FlopCounterMode
from .. import library as library  # loads the kernels
from .cross_scan import cross_merge, cross_scan
from .depthwise_conv_silu import depthwise_conv_silu
from .gated_layer_norm import gated_layer_norm
from .instance_norm import instance_norm
from .selective_scan import selective_scan
from .ss2d import ss2d

__all__ = [
    "cross_merge",
    "cross_scan",
    "depthwise_conv_silu",
    "gated_layer_norm",
    "instance_norm",
    "selective_scan",
    "ss2d",
]
