"""Operators of state-space networks for vision, with C++ and CUDA kernels.

Functions
---------
cross_scan, cross_merge
    An image unrolled along four scan orders, and back.
selective_scan
    The selective scan of Mamba, with the arguments of mamba-ssm's ``selective_scan_fn``.
ss2d
    Cross-scan, projections, selective scan and merge of a channels-last image as one operator.
instance_norm
    Instance normalisation, scale and bias, residual connection and LeakyReLU as one operator.
depthwise_conv_silu
    Depthwise 3x3 convolution of a channels-last image and SiLU, as one operator on the CPU.
gated_layer_norm
    Layer normalisation times SiLU of a gate, as one operator on the CPU.

``swin_umamba_ext.reference`` has plain-PyTorch twins; ``python -m swin_umamba_ext`` tells what is installed and works.
"""

import sys as _sys
from importlib.machinery import PathFinder as _PathFinder
from pathlib import Path as _Path
from typing import NoReturn as _NoReturn

__all__ = [
    "cross_merge",
    "cross_scan",
    "depthwise_conv_silu",
    "gated_layer_norm",
    "instance_norm",
    "selective_scan",
    "ss2d",
]


def _compiled_elsewhere(here: _Path) -> list[str] | None:
    """Where another copy of this package is installed, if this folder is a checkout without a compiled library."""
    if list(here.glob("_C*.so")):
        return None
    others = [entry for entry in _sys.path if _Path(entry or ".").resolve() != here.parent]
    spec = _PathFinder.find_spec(__name__, others)
    return list(spec.submodule_search_locations) if spec and spec.submodule_search_locations else None


# `python train.py` puts the checkout first on the path; everything below must still come from the installed copy.
__path__[:] = _compiled_elsewhere(_Path(__file__).resolve().parent) or __path__

try:
    from .ops import (
        cross_merge,
        cross_scan,
        depthwise_conv_silu,
        gated_layer_norm,
        instance_norm,
        selective_scan,
        ss2d,
    )
except (ImportError, OSError, AttributeError) as _error:
    # `python -m swin_umamba_ext` must still be able to say what is wrong.
    _reason = str(_error)
    if isinstance(_error, AttributeError):
        if "'_OpNamespace'" not in _reason:
            raise
        _reason = f"the compiled library is older than the sources, run `pip install .` in the checkout ({_reason})"

    def __getattr__(name: str) -> _NoReturn:
        if name in __all__:
            raise ImportError(f"swin_umamba_ext.{name} is not available: {_reason}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
