"""Selective-scan operators for vision, with C++ and CUDA kernels.

Functions
---------
cross_scan, cross_merge
    An image unrolled along four scan orders, and back.
selective_scan
    The selective scan of Mamba, with the arguments of mamba-ssm's ``selective_scan_fn``.
ss2d
    Cross-scan, projections, selective scan and merge of a channels-last image as one operator.

``swin_umamba_ext.reference`` has plain-PyTorch twins; ``python -m swin_umamba_ext`` tells what is installed and works.
"""

import sys as _sys
from importlib.machinery import PathFinder as _PathFinder
from pathlib import Path as _Path

if not list(_Path(__file__).parent.glob("_C*.so")):
    # Imported from a checkout (`python train.py` puts its folder first on the path), while the compiled
    # package is installed elsewhere: everything below comes from there.
    _here = _Path(__file__).resolve().parent
    _elsewhere = [entry for entry in _sys.path if _Path(entry or ".").resolve() != _here.parent]
    _spec = _PathFinder.find_spec(__name__, _elsewhere)
    if _spec is None or not _spec.submodule_search_locations:
        raise ImportError(
            f"swin_umamba_ext is not compiled: {_here} has no library _C, and no other copy is installed. "
            f"Run `pip install .` in {_here.parent}."
        )
    __path__[:] = list(_spec.submodule_search_locations)

from .ops import cross_merge, cross_scan, selective_scan, ss2d

__all__ = ["cross_merge", "cross_scan", "selective_scan", "ss2d"]
