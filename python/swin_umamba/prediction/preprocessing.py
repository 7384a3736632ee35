"""From an image to what the network sees, and from its output back to the grid of the image; both as nnU-Net does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import (
    bounding_box_to_slice,
    get_bbox_from_mask,
    insert_crop_into_image,
)
from nnunetv2.preprocessing.cropping.cropping import create_nonzero_mask
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape

if TYPE_CHECKING:
    from .sliding_window import SlidingWindowPredictor, WindowOutput


@dataclass(frozen=True)
class PreparedImage:
    """An image as the network sees it.

    Attributes
    ----------
    data : torch.Tensor
        float32 (C, Z, H, W): normalised, cropped to what is not 0, and resampled.
    properties : dict
        nnU-Net's, of the image and of what preprocessing did.
    is_resampled : bool
        Whether the grid of the network is another one than that of the (cropped) image.
    part : (int, int)
        Of which this is the first, of how many, where one image is predicted in parts; for showing progress.
    """

    data: torch.Tensor
    properties: dict[str, Any] = field(repr=False)
    is_resampled: bool
    part: tuple[int, int] = (0, 1)


def prepare(
    predictor: SlidingWindowPredictor, image: np.ndarray, properties: dict[str, Any], part: tuple[int, int] = (0, 1)
) -> PreparedImage:
    """Preprocess an image as in training.

    Parameters
    ----------
    predictor
        What `load_predictor` gave.
    image
        float32 (C, Z, H, W), which is written over: a copy of a large one takes as much memory as all the rest.
    properties
        Has ``spacing``, of Z, H and W. What preprocessing did is added.
    part
        See `PreparedImage`.
    """
    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    preprocessor = configuration.preprocessor_class(verbose=False)
    if type(preprocessor).run_case_npy is DefaultPreprocessor.run_case_npy:
        data = _run_default(preprocessor, predictor, image, properties)
    else:
        data, _, properties = preprocessor.run_case_npy(
            image, None, properties, plans, configuration, predictor.dataset_json
        )
    is_resampled = tuple(data.shape[1:]) != tuple(properties["shape_after_cropping_and_before_resampling"])
    return PreparedImage(torch.from_numpy(data).to(torch.float32), properties, is_resampled, part)


def _run_default(
    preprocessor: DefaultPreprocessor, predictor: SlidingWindowPredictor, data: np.ndarray, properties: dict[str, Any]
) -> np.ndarray:
    """What ``DefaultPreprocessor.run_case_npy`` does, without a copy of the image and masks that nothing reads."""
    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    data = data.transpose([0, *(axis + 1 for axis in plans.transpose_forward)])
    spacing = [properties["spacing"][axis] for axis in plans.transpose_forward]
    properties["shape_before_cropping"] = data.shape[1:]
    inside = None
    if any(configuration.use_mask_for_norm):
        mask = create_nonzero_mask(data)
        inside = np.where(mask, np.int8(0), np.int8(-1))
    else:
        # Filling its holes, which takes longer than all the rest, moves no edge of the box.
        mask = data[0] != 0
        for channel in data[1:]:
            mask |= channel != 0
    box = get_bbox_from_mask(mask)
    del mask
    properties["bbox_used_for_cropping"] = box
    crop = bounding_box_to_slice(box)
    data = data[(slice(None), *crop)]
    properties["shape_after_cropping_and_before_resampling"] = data.shape[1:]
    target = list(configuration.spacing)
    if len(target) < 3:
        target = [spacing[0], *target]
    shape = compute_new_shape(data.shape[1:], spacing, target)
    data = preprocessor._normalize(
        data,
        [None if inside is None else inside[crop]],
        configuration,
        plans.foreground_intensity_properties_per_channel,
    )
    resampled: np.ndarray = configuration.resampling_fn_data(data, shape, spacing, target)
    return resampled


_THICK = 2
"""Times the other sides of a voxel, from which on it is that of slices."""


def cuts_across(predictor: SlidingWindowPredictor, spacing: Sequence[float]) -> bool:
    """Whether the training saw thick slices as they were acquired, and an image is stored so that they are cut across.

    Parameters
    ----------
    predictor
        What `load_predictor` gave.
    spacing
        Of Z, H and W.
    """
    plans = predictor.plans_manager
    usual = plans.plans.get("original_median_spacing_after_transp") or (1, 1, 1)
    depth, *within = (spacing[axis] for axis in plans.transpose_forward)
    return bool(usual[0] >= _THICK * max(usual[1:]) and max(within) >= _THICK * depth)


def label_type(predictor: SlidingWindowPredictor) -> type[np.generic]:
    """The type of label images, as nnU-Net chooses it."""
    return np.uint8 if len(predictor.label_manager.foreground_labels) < 255 else np.uint16


def restore(
    predictor: SlidingWindowPredictor, output: WindowOutput, *, with_probabilities: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Bring what the sliding window gave back to the grid of the image; see `predict_array`."""
    if output.error is not None:
        raise output.error
    if output.labels is not None:
        return restore_labels(predictor, output.labels, output.properties), None
    assert output.logits is not None
    return restore_logits(predictor, output.logits, output.properties, with_probabilities=with_probabilities)


def restore_labels(predictor: SlidingWindowPredictor, labels: np.ndarray, properties: dict[str, Any]) -> np.ndarray:
    """Bring labels of a cropped image, (Z, H, W) in the network's order of axes, to the grid of the image."""
    whole = labels
    if labels.shape != tuple(properties["shape_before_cropping"]):
        whole = np.zeros(properties["shape_before_cropping"], dtype=label_type(predictor))
        whole = insert_crop_into_image(whole, labels, properties["bbox_used_for_cropping"])
    return whole.astype(label_type(predictor), copy=False).transpose(predictor.plans_manager.transpose_backward)


def restore_logits(
    predictor: SlidingWindowPredictor, logits: torch.Tensor, properties: dict[str, Any], *, with_probabilities: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Make labels, and on request probabilities, of logits (classes, Z, H, W) on the grid of the network.

    Returns
    -------
    labels : numpy.ndarray
        Integer (Z, H, W), on the grid of the image.
    probabilities : numpy.ndarray or None
        float32 (classes, Z, H, W), on the same grid.
    """
    plans, manager = predictor.plans_manager, predictor.label_manager
    shape = properties["shape_after_cropping_and_before_resampling"]
    spacing = [properties["spacing"][axis] for axis in plans.transpose_forward]
    current = list(predictor.configuration_manager.spacing)
    if len(current) != len(shape):
        current = [spacing[0], *current]
    logits = predictor.configuration_manager.resampling_fn_probabilities(logits, shape, current, spacing)
    if not with_probabilities:
        return restore_labels(predictor, np.asarray(manager.convert_logits_to_segmentation(logits)), properties), None
    probabilities = manager.apply_inference_nonlin(logits)
    labels = restore_labels(
        predictor, np.asarray(manager.convert_probabilities_to_segmentation(probabilities)), properties
    )
    whole = manager.revert_cropping_on_probabilities(
        probabilities, properties["bbox_used_for_cropping"], properties["shape_before_cropping"]
    )
    return labels, np.asarray(whole).transpose([0, *(axis + 1 for axis in plans.transpose_backward)])
