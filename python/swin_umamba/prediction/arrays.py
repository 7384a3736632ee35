"""Prediction of images that are arrays, without files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..common.images.stored import unusable_values
from .preprocessing import prepare, restore
from .sliding_window import SlidingWindowPredictor


def predict_array(
    predictor: SlidingWindowPredictor,
    image: np.ndarray,
    properties: dict[str, Any],
    *,
    with_probabilities: bool = False,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Preprocess one image as in training, predict it, and bring the result back to its grid.

    Parameters
    ----------
    predictor
        What `load_predictor` gave.
    image
        Float (C, Z, H, W), as nnU-Net's readers give it; Z is 1 for a 2-D image. Slices are predicted one by one
        by a 2-D configuration.
    properties
        Has ``spacing``, of Z, H and W in the unit of the training data. What preprocessing did is added.
    with_probabilities
        Whether to return these too.

    Returns
    -------
    labels : numpy.ndarray
        Integer (Z, H, W).
    probabilities : numpy.ndarray or None
        float32 (classes, Z, H, W): softmax, or sigmoid for regions.

    Raises
    ------
    ValueError
        It has values that are not finite, or too far from each other or too close to be normalised in float32.
    FloatingPointError
        The network's output is not finite, as of weights that are not, or beyond the range of float16 on a GPU.
    """
    if unusable := unusable_values(np.asarray(image), list(predictor.channel_names.values())):
        raise ValueError(f"the image holds {unusable}")
    image = np.array(image, dtype=np.float32)
    (output,) = predictor.predict([prepare(predictor, image, properties)], with_logits=with_probabilities)
    return restore(predictor, output, with_probabilities=with_probabilities)


def predict_arrays(predictor: SlidingWindowPredictor, images: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Predict 2-D images without a size in mm, of one size or several, together.

    Parameters
    ----------
    predictor
        What `load_predictor` gave, of a model that was trained on such images.
    images
        Each (C, H, W), of any real type, or (H, W) for a model of one channel.

    Returns
    -------
    list of numpy.ndarray
        Integer labels (H, W).

    Raises
    ------
    ValueError
        An image has another shape or number of channels, or values that are not finite, or too far from each other or
        too close to be normalised.
    FloatingPointError
        The network's output is not finite.
    """
    arrays = [np.asarray(image if np.ndim(image) != 2 else image[None]) for image in images]
    for number, array in enumerate(arrays):
        if array.ndim != 3 or len(array) != predictor.n_channels or array.size == 0:
            raise ValueError(
                f"image {number} has the shape {np.shape(array)}; ({predictor.n_channels}, height, width) is wanted"
            )
        if unusable := unusable_values(array, list(predictor.channel_names.values())):
            raise ValueError(f"image {number} holds {unusable}")
    parts = (
        prepare(predictor, array[:, None].astype(np.float32), {"spacing": (999, 1, 1)}, part=(number, len(arrays)))
        for number, array in enumerate(arrays)
    )
    return [restore(predictor, output)[0][0] for output in predictor.predict(parts)]
