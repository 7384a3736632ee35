"""nnU-Net's sliding-window predictor with the network of a trained model."""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from ..common.errors import UserError
from ..common.images.nnunet_readers import register_readers
from ..common.text import one_line
from ..trainers.paper_trainer import PaperTrainer
from ..trainers.precision import convert_weights, precision_name, prediction_dtype
from ..trainers.registry import TRAINER_CLASSES, register_trainers
from .trained_model import TrainedModel


class SlidingWindowPredictor(nnUNetPredictor):
    """nnU-Net's predictor, which tells how far it is, and computes in the precision that it is told.

    Attributes
    ----------
    autocast_dtype : torch.dtype or None
        Type of torch's autocast; float32 is full precision. ``None`` is nnU-Net's own choice: torch's default, float16,
        on a GPU, and float32 on a CPU.
    on_progress : callable
        Called after each tile with the share of the image's tiles that are done, above 0 and at most 1.
    """

    autocast_dtype: torch.dtype | None = None
    on_progress: Callable[[float], object] | None = None
    _tiles = _tiles_done = 0

    @property
    def n_channels(self) -> int:
        """Channels that an image must have."""
        return determine_num_input_channels(self.plans_manager, self.configuration_manager, self.dataset_json)

    @property
    def precision(self) -> str:
        """The type that the network computes in, ``"float32"`` for instance."""
        if self.device.type == "cuda" and self.autocast_dtype is None:
            return precision_name(torch.get_autocast_dtype("cuda"))
        return precision_name(self.autocast_dtype)

    def start_image(self) -> None:
        """Count tiles from 0 again."""
        self._tiles_done = 0

    def predict_sliding_window_return_logits(self, input_image: torch.Tensor) -> torch.Tensor | np.ndarray:
        on_gpu = self.device.type == "cuda"
        if self.autocast_dtype is None or (self.autocast_dtype is torch.float32 and not on_gpu):
            return super().predict_sliding_window_return_logits(input_image)
        # On a GPU nnU-Net's autocast is inside, and takes the type from the one around it.
        with torch.autocast(self.device.type, dtype=self.autocast_dtype):
            return super().predict_sliding_window_return_logits(input_image)

    def _internal_get_sliding_window_slicers(self, image_size: tuple[int, ...]) -> list[tuple]:
        slicers = super()._internal_get_sliding_window_slicers(image_size)
        self._tiles = len(slicers) * len(self.list_of_parameters)
        return slicers

    def _internal_maybe_mirror_and_predict(self, x: torch.Tensor) -> torch.Tensor:
        prediction = super()._internal_maybe_mirror_and_predict(x)
        self._tiles_done += 1
        if self.on_progress is not None:
            # More than all where nnU-Net starts again on the host because the device's memory did not do.
            self.on_progress(min(1.0, self._tiles_done / self._tiles))
        # nnU-Net weights and adds up tiles in the type that they come in.
        return prediction if self.device.type == "cuda" else prediction.float()


def load_predictor(
    model: TrainedModel,
    device: torch.device,
    *,
    mirroring: bool = False,
    step_size: float = 0.5,
    precision: str = "auto",
) -> SlidingWindowPredictor:
    """Build the network of a model and give it to nnU-Net's predictor.

    Parameters
    ----------
    model
        What `read_model` gave.
    device
        Where to predict. On a GPU the sum over tiles is kept there, or on the host where it does not fit.
    mirroring
        Average over the image and its mirror images (test-time augmentation); the paper does not.
    step_size
        Distance of neighbouring tiles as a share of the patch size, above 0 and at most 1.
    precision
        See `swin_umamba.trainers.precision.prediction_dtype`; for a trainer of nnU-Net's, auto is nnU-Net's choice.

    Raises
    ------
    UserError
        The trainer is unknown, the weights do not fit its network, or the model cannot be predicted with alone.
    """
    if mirroring and not model.mirroring_axes:
        raise UserError(f"--mirroring: {model.trainer_name} was trained without mirroring; leave it out")
    register_readers()
    with _explained(model):
        plans = PlansManager(model.plans)
        configuration = plans.get_configuration(model.configuration)
        previous_stage = configuration.previous_stage_name
        labels = plans.get_label_manager(model.dataset_json)
        n_channels = determine_num_input_channels(plans, configuration, model.dataset_json)
        _check_architecture(configuration)
    if previous_stage is not None:
        raise UserError(
            f"{model.files[0]} is the configuration {model.configuration} of a cascade, which starts from the "
            f"predictions of {previous_stage}; use nnUNetv2_predict"
        )
    trainer_class = _find_trainer(model)
    with _explained(model):
        network = trainer_class.build_network_architecture(
            plans, configuration, n_channels, labels.num_segmentation_heads, enable_deep_supervision=False
        )
    for file, weights in zip(model.files, model.weights, strict=True):
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines()]
            reason = one_line(" ".join(lines[1:2]), 100)
            raise UserError(
                f"the weights of {file} do not fit the network of {model.trainer_name}: {reason}"
            ) from error
    predictor = SlidingWindowPredictor(
        tile_step_size=step_size,
        use_mirroring=mirroring,
        perform_everything_on_device=device.type == "cuda",
        device=device,
        allow_tqdm=False,
    )
    if precision != "auto" or issubclass(trainer_class, PaperTrainer):
        is_mixed = getattr(trainer_class, "mixed_precision", True)
        predictor.autocast_dtype = prediction_dtype(precision, model.amp, device, is_mixed) or torch.float32
    if device.type == "cpu" and predictor.autocast_dtype is not None:
        convert_weights(network, predictor.autocast_dtype)
    with _explained(model):
        predictor.manual_initialization(
            network,
            plans,
            configuration,
            list(model.weights),
            model.dataset_json,
            model.trainer_name,
            model.mirroring_axes,
        )
        _use_plans(predictor)
    return predictor


@contextlib.contextmanager
def _explained(model: TrainedModel) -> Iterator[None]:
    """Plans are free-form JSON, which may have been edited: what is wrong shows as any error where it is used."""
    try:
        yield
    except Exception as error:
        reason = one_line(f"{type(error).__name__}: {error}", 120)
        raise UserError(f"cannot use the plans of {model.files[0]}: {reason}") from error


def _check_architecture(configuration: ConfigurationManager) -> None:
    """Plans name the class of a network, and classes of its layers, which nnU-Net imports and calls, whatever they are.

    ``torch.hub.load`` would run code of the file.
    """
    kwargs = configuration.network_arch_init_kwargs
    name = configuration.network_arch_class_name
    # Of a name that is no module nnU-Net looks for a class in dynamic_network_architectures.
    is_bare = name.isidentifier() and not hasattr(builtins, name) and find_spec(name) is None
    if not is_bare and not name.startswith("dynamic_network_architectures."):
        raise ValueError(f"{name} is no network of nnU-Net")
    for key in configuration.network_arch_init_kwargs_req_import:
        if kwargs[key] is not None and not kwargs[key].startswith(("torch.nn.", "dynamic_network_architectures.")):
            raise ValueError(f"{kwargs[key]} is no layer of PyTorch")


def _use_plans(predictor: SlidingWindowPredictor) -> None:
    """Look up all that a prediction takes of the plans, so that what is wrong is told before the first image."""
    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    sizes = [*configuration.patch_size, *configuration.spacing, *plans.transpose_forward, *plans.transpose_backward]
    if not all(isinstance(size, int | float) and size >= 0 for size in sizes):
        raise ValueError(f"sizes are {sizes}")
    _ = (
        plans.image_reader_writer_class,
        configuration.preprocessor_class,
        configuration.resampling_fn_data,
        configuration.resampling_fn_probabilities,
        predictor.dataset_json["file_ending"],
        predictor.n_channels,
    )


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
    FloatingPointError
        The network's output is not finite, as of weights that are not, or beyond the range of float16 on a GPU.
    """
    predictor.start_image()
    preprocessor = predictor.configuration_manager.preprocessor_class(verbose=False)
    data, _, properties = preprocessor.run_case_npy(
        image, None, properties, predictor.plans_manager, predictor.configuration_manager, predictor.dataset_json
    )
    tensor = torch.from_numpy(data).to(dtype=torch.float32, memory_format=torch.contiguous_format)
    logits = predictor.predict_logits_from_preprocessed_data(tensor)
    del data, tensor
    # nnU-Net looks for infinite values only; of NaN it would make the label 0.
    if not all(bool(torch.isfinite(output).all()) for output in logits):
        raise FloatingPointError("the output of the network holds NaN or infinite values")
    result = convert_predicted_logits_to_segmentation_with_correct_shape(
        logits,
        predictor.plans_manager,
        predictor.configuration_manager,
        predictor.label_manager,
        properties,
        return_probabilities=with_probabilities,
    )
    return result if with_probabilities else (result, None)


def _find_trainer(model: TrainedModel) -> type:
    register_trainers()
    try:
        found = recursive_find_trainer_class_by_name(model.trainer_name)
        if not issubclass(found, nnUNetTrainer):
            raise TypeError("it is no trainer")
        return found
    # The search imports modules of other packages, which raise whatever they like.
    except Exception as error:
        raise UserError(
            f"{model.files[0]} was trained by {one_line(model.trainer_name, 40)}, which is none of "
            f"{next(iter(TRAINER_CLASSES))}, …, and nnU-Net does not find it: {one_line(str(error), 60)}"
        ) from error
