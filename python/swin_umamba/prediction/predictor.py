"""From a trained model to a predictor: its plans checked, its networks built, its weights in them."""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..common.errors import UserError
from ..common.images.nnunet_readers import register_readers
from ..common.text import one_line
from ..networks.build import build_model
from ..paper.systems import find_system
from ..trainers.precision import convert_weights, prediction_dtype
from .sliding_window import SlidingWindowPredictor
from .trained_model import TrainedModel

if TYPE_CHECKING:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


def load_predictor(
    model: TrainedModel,
    device: torch.device,
    *,
    mirroring: bool = False,
    step_size: float = 0.5,
    precision: str = "auto",
    batch_size: int | None = None,
) -> SlidingWindowPredictor:
    """Build the network of a model and give it to the sliding window.

    Parameters
    ----------
    model
        What `read_model` gave. Its weights are not copied.
    device
        Where to predict.
    mirroring
        Average over the image and its mirror images (test-time augmentation); the paper does not.
    step_size
        Distance of neighbouring tiles as a share of the patch size, above 0 and at most 1.
    precision
        See `swin_umamba.trainers.precision.prediction_dtype`; for a trainer of nnU-Net's, auto is nnU-Net's choice.
    batch_size
        Tiles that go through the network at once; ``None`` chooses by their size and the memory of a GPU.

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
    system = find_system(model.trainer_name)
    trainer_class = _find_trainer(model) if system is None else None

    def build() -> nn.Module:
        network: nn.Module
        if trainer_class is not None:
            network = trainer_class.build_network_architecture(
                plans, configuration, n_channels, labels.num_segmentation_heads, enable_deep_supervision=False
            )
            return network
        assert system is not None
        with _NoRandomNumbers():
            patch_size = tuple(configuration.patch_size)
            return build_model(system.name, n_channels, labels.num_segmentation_heads, patch_size, False)

    networks = []
    for file, weights in zip(model.files, model.weights, strict=True):
        with _explained(model):
            network = build()
        try:
            network.load_state_dict(_laid_out(weights, network), assign=True)
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines()]
            reason = one_line(" ".join(lines[1:2]), 100)
            raise UserError(
                f"the weights of {file} do not fit the network of {model.trainer_name}: {reason}"
            ) from error
        networks.append(network)
    with _explained(model):
        predictor = SlidingWindowPredictor(
            networks,
            plans,
            configuration,
            model.dataset_json,
            model.trainer_name,
            device,
            mirroring_axes=model.mirroring_axes if mirroring else None,
            step_size=step_size,
            batch_size=batch_size,
        )
        _use_plans(predictor)
    mixed = system.mixed_precision if system is not None else _mixed_precision(trainer_class)
    if precision != "auto" or mixed is not None:
        predictor.autocast_dtype = prediction_dtype(precision, model.amp, device, mixed is not False) or torch.float32
    if device.type == "cpu" and predictor.autocast_dtype is not None:
        for network in networks:
            convert_weights(network, predictor.autocast_dtype)
    return predictor


class _NoRandomNumbers(TorchFunctionMode):
    """Zeros in the place of a new network's random numbers, which take as long as predicting some images.

    Zeros, since a loop that draws until all numbers lie in a range must end.
    """

    # Of tensors and of torch.nn.init, inside of which this is out of force.
    _RANDOM = ("uniform_", "normal_", "erfinv_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_")

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in self._RANDOM:
            tensor: Tensor = args[0] if args else kwargs["tensor"]
            tensor.detach().zero_()
            return tensor
        return func(*args, **kwargs)


def _laid_out(weights: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Weights in the types and memory formats of a network, as they are where these are the same."""
    result = dict(weights)
    for name, wanted in network.state_dict().items():
        given = weights.get(name)
        if given is None or given.shape != wanted.shape:
            continue  # load_state_dict says so
        if given.dtype != wanted.dtype or given.stride() != wanted.stride():
            given = torch.empty_strided(wanted.shape, wanted.stride(), dtype=wanted.dtype).copy_(given)
        result[name] = given
    return result


def _mixed_precision(trainer_class: type | None) -> bool | None:
    """Whether a trainer of this package computes in mixed precision; ``None`` of another, which is nnU-Net's choice."""
    from ..trainers.paper_trainer import PaperTrainer

    if trainer_class is None or not issubclass(trainer_class, PaperTrainer):
        return None
    return trainer_class.mixed_precision


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


def _find_trainer(model: TrainedModel) -> type[nnUNetTrainer]:
    # These load what a training needs, which takes seconds.
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    from ..trainers.registry import TRAINER_CLASSES, register_trainers

    register_trainers()
    try:
        found = recursive_find_trainer_class_by_name(model.trainer_name)
        if not issubclass(found, nnUNetTrainer):
            raise TypeError("it is no trainer")
        trainer: type[Any] = found
        return trainer
    # The search imports modules of other packages, which raise whatever they like.
    except Exception as error:
        raise UserError(
            f"{model.files[0]} was trained by {one_line(model.trainer_name, 40)}, which is none of "
            f"{next(iter(TRAINER_CLASSES))}, …, and nnU-Net does not find it: {one_line(str(error), 60)}"
        ) from error
