"""Prediction with a trained model: nnU-Net's sliding window over images of any size and of several formats.

The names are loaded on first use, so that the command line starts fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..common.lazy_names import lazy_names

if TYPE_CHECKING:
    from .predictor import SlidingWindowPredictor, load_predictor, predict_array, predict_arrays
    from .trained_model import TrainedModel, read_model

__all__ = ["SlidingWindowPredictor", "TrainedModel", "load_predictor", "predict_array", "predict_arrays", "read_model"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "SlidingWindowPredictor": "predictor",
        "TrainedModel": "trained_model",
        "load_predictor": "predictor",
        "predict_array": "predictor",
        "predict_arrays": "predictor",
        "read_model": "trained_model",
    },
)
