"""Prediction with a trained model: nnU-Net's sliding window over images of any size and of several formats.

The names are loaded on first use, so that the command line starts fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .predictor import SlidingWindowPredictor, load_predictor, predict_array
    from .trained_model import TrainedModel, read_model

_MODULES = {
    "SlidingWindowPredictor": "predictor",
    "TrainedModel": "trained_model",
    "load_predictor": "predictor",
    "predict_array": "predictor",
    "read_model": "trained_model",
}

__all__ = ["SlidingWindowPredictor", "TrainedModel", "load_predictor", "predict_array", "read_model"]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
