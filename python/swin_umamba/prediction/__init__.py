"""Prediction with a trained model: nnU-Net's sliding window over images of any size and of several formats.

The names are loaded on first use, so that the command line starts fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..common.lazy_names import lazy_names

if TYPE_CHECKING:
    from .arrays import predict_array, predict_arrays
    from .predictor import load_predictor
    from .sliding_window import SlidingWindowPredictor
    from .trained_model import TrainedModel, read_model

__all__ = ["SlidingWindowPredictor", "TrainedModel", "load_predictor", "predict_array", "predict_arrays", "read_model"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "SlidingWindowPredictor": "sliding_window",
        "TrainedModel": "trained_model",
        "load_predictor": "predictor",
        "predict_array": "arrays",
        "predict_arrays": "arrays",
        "read_model": "trained_model",
    },
)
