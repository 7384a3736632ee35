"""What lies beside an exported model as JSON: how its input is made, and what its output means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from ..common.versions import package_versions
from .graph import Sizes

STEP_SIZE = 0.5

# By nnU-Net's names: limits, what is subtracted, what it is divided by. Words are of the channel's own numbers.
_SCHEMES: dict[str, tuple[tuple[str, str] | None, str | float, str | float]] = {
    "ZScoreNormalization": (None, "mean", "std"),
    "CTNormalization": (("percentile_00_5", "percentile_99_5"), "mean", "std"),
    "RescaleTo01Normalization": (None, "min", "range"),
    "RGBTo01Normalization": (None, 0, 255),
    "NoNormalization": (None, 0, 1),
}


@dataclass(frozen=True)
class Training:
    """What a model was trained on and how, as nnU-Net has it."""

    trainer: str
    plans: PlansManager
    configuration: ConfigurationManager
    dataset_json: dict[str, Any]
    channels: int

    @property
    def is_for_plain_images(self) -> bool:
        """Whether an image is seen pixel by pixel, so that ``predict.py`` can do all that preprocessing does."""
        configuration = self.configuration
        return (
            self.plans.image_reader_writer_class.__name__ == "NaturalImage2DIO"
            and list(configuration.spacing) == [1, 1]
            and list(self.plans.transpose_forward) == [0, 1, 2]
            and not any(configuration.use_mask_for_norm)
            and all(scheme in _SCHEMES for scheme in configuration.normalization_schemes)
            and max(self.values) < 256
        )

    @property
    def outputs(self) -> list[str]:
        """What each output is called: the names of the labels or regions."""
        labels = self.plans.get_label_manager(self.dataset_json)
        names = {str(value): name for name, value in labels.label_dict.items()}
        return [names[str(value)] for value in (labels.foreground_regions if labels.has_regions else labels.all_labels)]

    @property
    def values(self) -> list[int]:
        """The label that each output stands for."""
        labels = self.plans.get_label_manager(self.dataset_json)
        return [int(value) for value in (labels.regions_class_order if labels.has_regions else labels.all_labels)]


def describe(training: Training, format_name: str, file: str, sizes: Sizes) -> dict[str, Any]:
    """The content of ``model.json``; docs/export.md has the meaning of each key."""
    labels = training.plans.get_label_manager(training.dataset_json)
    configuration, plans = training.configuration, training.plans
    batch = "any" if sizes.any_batch else 1
    image = (
        ["any" if n == 1 else f"a multiple of {n}" for n in sizes.multiple] if sizes.any_image else list(sizes.patch)
    )
    return {
        "format": format_name,
        "file": file,
        "trainer": training.trainer,
        "input": {"name": "image", "type": "float32", "shape": [batch, training.channels, *image]},
        "outputs": labels.num_segmentation_heads,
        "channels": list(training.dataset_json.get("channel_names", {}).values()) or [None] * training.channels,
        "labels": training.dataset_json["labels"],
        "regions": bool(labels.has_regions),
        "values": training.values,
        "normalization": [
            _normalization(plans, scheme, channel) for channel, scheme in enumerate(configuration.normalization_schemes)
        ],
        "use_mask_for_norm": list(configuration.use_mask_for_norm),
        "spacing": list(configuration.spacing),
        "transpose_forward": list(plans.transpose_forward),
        "patch_size": list(configuration.patch_size),
        "tile_size": list(sizes.patch),
        "step_size": STEP_SIZE,
        "versions": package_versions("swin-umamba", "torch", "onnx"),
    }


def _normalization(plans: PlansManager, scheme: str, channel: int) -> dict[str, Any]:
    if scheme not in _SCHEMES:
        return {"scheme": scheme}
    limits, subtract, divide = _SCHEMES[scheme]
    rule: dict[str, Any] = {"scheme": scheme, "clip": None, "subtract": subtract, "divide": divide}
    if limits is not None:
        known = plans.foreground_intensity_properties_per_channel[str(channel)]
        rule.update(
            clip=[float(known[name]) for name in limits], subtract=float(known["mean"]), divide=float(known["std"])
        )
    return rule
