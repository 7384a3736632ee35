"""The sliding window of nnU-Net with the network of a trained model."""

from __future__ import annotations

import builtins
import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nnunetv2.inference.sliding_window_prediction import compute_gaussian
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..common.errors import UserError
from ..common.images.nnunet_readers import register_readers
from ..common.text import one_line
from ..networks.build import build_model
from ..paper.systems import find_system
from ..trainers.precision import convert_weights, precision_name, prediction_dtype
from .batch_size import choose_batch_size, is_out_of_memory
from .preprocessing import PreparedImage, label_type, prepare, restore_labels, restore_logits
from .tiles import ImageInTiles, Position
from .trained_model import TrainedModel

if TYPE_CHECKING:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


@dataclass(frozen=True)
class WindowOutput:
    """What the sliding window says about an image, on the grid of the network.

    Attributes
    ----------
    properties : dict
        Those of the image.
    labels : numpy.ndarray or None
        Integer (Z, H, W), where nothing else was wanted.
    logits : torch.Tensor or None
        float16 (classes, Z, H, W) otherwise.
    error : Exception or None
        Why there is neither.
    """

    properties: dict[str, Any]
    labels: np.ndarray | None = None
    logits: Tensor | None = None
    error: Exception | None = None


class SlidingWindowPredictor:
    """nnU-Net's sliding window: the same tiles, weights and sums, with several tiles at once, of several images.

    Parameters
    ----------
    networks
        One for each fold, whose outputs are averaged.
    plans_manager, configuration_manager, dataset_json, trainer_name
        nnU-Net's, of the training.
    device
        Where to predict.
    mirroring_axes
        Of the image, 0 for rows; the outputs for the image mirrored along every combination of them are averaged.
    step_size
        Distance of neighbouring tiles as a share of the patch size, above 0 and at most 1.
    batch_size
        Tiles that go through the network at once; ``None`` chooses. Less where memory does not do.

    Attributes
    ----------
    autocast_dtype : torch.dtype or None
        Type of torch's autocast; float32 is full precision. ``None`` is nnU-Net's own choice: torch's default, float16,
        on a GPU, and float32 on a CPU.
    on_progress : callable
        Called after each tile with the share of the image's tiles that are done, above 0 and at most 1.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        dataset_json: dict[str, Any],
        trainer_name: str,
        device: torch.device,
        *,
        mirroring_axes: Sequence[int] | None = None,
        step_size: float = 0.5,
        batch_size: int | None = None,
    ) -> None:
        self.networks = list(networks)
        self.plans_manager = plans_manager
        self.configuration_manager = configuration_manager
        self.dataset_json = dataset_json
        self.trainer_name = trainer_name
        self.device = device
        self.label_manager = plans_manager.get_label_manager(dataset_json)
        self.mirroring_axes = tuple(mirroring_axes or ())
        self.step_size = step_size
        self.batch_size = batch_size
        self.autocast_dtype: torch.dtype | None = None
        self.on_progress: Callable[[float], object] | None = None
        n_axes = len(configuration_manager.patch_size)
        if self.mirroring_axes and max(self.mirroring_axes) >= n_axes:
            raise ValueError(f"mirroring along the axes {self.mirroring_axes} of patches of {n_axes} axes")

    @property
    def n_channels(self) -> int:
        """Channels that an image must have."""
        return determine_num_input_channels(self.plans_manager, self.configuration_manager, self.dataset_json)

    @property
    def label_values(self) -> dict[str, int | list[int]]:
        """From the name of each label to its value, or to those of a region; without background and what is ignored."""
        labels = self.dataset_json["labels"]
        return {name: value for name, value in labels.items() if name not in ("background", "ignore")}

    @property
    def channel_names(self) -> dict[str, str]:
        """From the number of each channel to its name."""
        named = self.dataset_json.get("channel_names") or self.dataset_json.get("modality") or {}
        return {str(number): named.get(str(number), str(number)) for number in range(self.n_channels)}

    @property
    def precision(self) -> str:
        """The type that the network computes in, ``"float32"`` for instance."""
        if self.device.type == "cuda" and self.autocast_dtype is None:
            return precision_name(torch.get_autocast_dtype("cuda"))
        return precision_name(self.autocast_dtype)

    def predict(self, images: Iterable[PreparedImage], *, with_logits: bool = False) -> Iterator[WindowOutput]:
        """Predict images in their order; an error with one of them is told in its output.

        The tiles of one image, or of the parts of one, go through the network together, those of others never: what is
        predicted does not depend on what else is.

        Parameters
        ----------
        images
            One is asked for when those before it are done.
        with_logits
            Whether to give logits of every image; else of those alone that must be resampled.

        Yields
        ------
        WindowOutput
            Of each image, in their order.
        """
        patch_size = tuple(self.configuration_manager.patch_size)
        self.networks = [network.to(self.device).eval() for network in self.networks]
        self.batch_size = self.batch_size or choose_batch_size(patch_size, self.device)
        weight = compute_gaussian(patch_size, sigma_scale=1.0 / 8, value_scaling_factor=10, device=self.device)
        waiting: deque[_Underway] = deque()
        batch: list[tuple[_Underway, Position]] = []
        for image in images:
            number, count = image.part
            if number == 0:
                self._predict_tiles(batch)
            underway = _Underway(self, image, weight, with_logits or image.is_resampled)
            waiting.append(underway)
            for position in underway.tiles.positions:
                batch.append((underway, position))
                if len(batch) >= self.batch_size:
                    self._predict_tiles(batch)
            if number == count - 1:
                self._predict_tiles(batch)
            del image, underway  # the next one may need their memory
            while waiting and waiting[0].tiles.is_done:
                yield waiting.popleft().output()
        self._predict_tiles(batch)
        yield from (underway.output() for underway in waiting)

    def predict_logits(self, data: Tensor) -> Tensor:
        """Predict one preprocessed image: from float32 (C, Z, H, W) to float16 logits (classes, Z, H, W)."""
        (output,) = self.predict([PreparedImage(data, {}, False)], with_logits=True)
        if output.error is not None:
            raise output.error
        return output.logits

    def _predict_tiles(self, batch: list[tuple[_Underway, Position]]) -> None:
        """Predict tiles, add what comes out to their images, and empty the list."""
        tiles = [item for item in batch if item[0].tiles.error is None]
        batch.clear()
        if not tiles:
            return
        try:
            outputs = self._outputs(torch.stack([underway.tiles.tile(position) for underway, position in tiles]))
        # Too little memory, or whatever the network of another package raises.
        except Exception as error:
            if len(tiles) == 1:
                tiles[0][0].tiles.error = error
                return
            half = (len(tiles) + 1) // 2
            if is_out_of_memory(error):
                self.batch_size = half
            del error
            self._predict_tiles(tiles[:half])
            self._predict_tiles(tiles[half:])
            return
        for number, (underway, position) in enumerate(tiles):
            underway.add(position, [output[number] for output in outputs])

    @torch.inference_mode()
    def _outputs(self, tiles: Tensor) -> list[Tensor]:
        """The outputs of all folds for tiles (B, C, ...), averaged over mirror images as nnU-Net does."""
        tiles = tiles.to(self.device)
        axes = [axis + 2 for axis in self.mirroring_axes]
        mirrorings = [some for n in range(len(axes) + 1) for some in itertools.combinations(axes, n)]
        n_together = max(1, self.batch_size // len(tiles))
        outputs = []
        with self.autocast():
            for network in self.networks:
                total = None
                for first in range(0, len(mirrorings), n_together):
                    some = mirrorings[first : first + n_together]
                    mirrored = network(torch.cat([torch.flip(tiles, along) for along in some]) if axes else tiles)
                    # On a GPU nnU-Net adds up in the type that comes out of the network.
                    mirrored = mirrored if self.device.type == "cuda" else mirrored.float()
                    for along, output in zip(some, mirrored.split(len(tiles)), strict=True):
                        # The first is not mirrored.
                        total = output if total is None else total.add_(torch.flip(output, along))
                if axes:
                    total /= len(mirrorings)
                outputs.append(total)
        return outputs

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """A context in which the networks compute in their precision."""
        on_gpu = self.device.type == "cuda"
        if not on_gpu and self.autocast_dtype in (None, torch.float32):
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.autocast_dtype)


class _Underway:
    """An image, its tiles, and what they give."""

    def __init__(
        self, predictor: SlidingWindowPredictor, image: PreparedImage, weight: Tensor, with_logits: bool
    ) -> None:
        self._predictor, self._image = predictor, image
        n_classes = predictor.label_manager.num_segmentation_heads
        self.tiles = ImageInTiles(
            image.data,
            predictor.configuration_manager.patch_size,
            predictor.step_size,
            weight,
            n_classes,
            len(predictor.networks),
            self._keep_logits if with_logits else self._keep_labels,
        )
        if with_logits:
            self._result = torch.empty((n_classes, *image.data.shape[1:]), dtype=torch.half)
        else:
            self._result = np.empty(image.data.shape[1:], dtype=label_type(predictor))

    def _keep_logits(self, region: tuple[slice | int, ...], logits: Tensor) -> None:
        self._result[(slice(None), *region)] = logits.cpu()

    def _keep_labels(self, region: tuple[slice | int, ...], logits: Tensor) -> None:
        manager = self._predictor.label_manager
        # Of equal ones the first, as nnU-Net's by numpy.
        labels = manager.convert_logits_to_segmentation(logits) if manager.has_regions else logits.float().argmax(dim=0)
        self._result[region] = labels.cpu().numpy()

    def add(self, position: Position, outputs: list[Tensor]) -> None:
        if self.tiles.error is not None:
            return
        try:
            with torch.inference_mode():
                self.tiles.add(position, outputs)
        except Exception as error:
            self.tiles.error = error
            return
        if self._predictor.on_progress is not None:
            number, count = self._image.part
            self._predictor.on_progress((number + self.tiles.share) / count)

    def output(self) -> WindowOutput:
        if self.tiles.error is not None:
            return WindowOutput(self._image.properties, error=self.tiles.error)
        is_labels = isinstance(self._result, np.ndarray)
        return WindowOutput(self._image.properties, **{"labels" if is_labels else "logits": self._result})


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
        if system is None:
            return trainer_class.build_network_architecture(
                plans, configuration, n_channels, labels.num_segmentation_heads, enable_deep_supervision=False
            )
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
    mixed = _mixed_precision(trainer_class) if system is None else system.mixed_precision
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


def _mixed_precision(trainer_class: type) -> bool | None:
    """Whether a trainer of this package computes in mixed precision; ``None`` of another, which is nnU-Net's choice."""
    from ..trainers.paper_trainer import PaperTrainer

    return trainer_class.mixed_precision if issubclass(trainer_class, PaperTrainer) else None


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
        An image has another shape or number of channels, or values that are not finite.
    FloatingPointError
        The network's output is not finite.
    """
    arrays = [np.array(image if np.ndim(image) != 2 else image[None], dtype=np.float32) for image in images]
    for number, array in enumerate(arrays):
        if array.ndim != 3 or len(array) != predictor.n_channels or array.size == 0:
            raise ValueError(
                f"image {number} has the shape {np.shape(array)}; ({predictor.n_channels}, height, width) is wanted"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"image {number} holds NaN or infinite values")
    parts = (
        prepare(predictor, array[:, None], {"spacing": (999, 1, 1)}, part=(number, len(arrays)))
        for number, array in enumerate(arrays)
    )
    return [restore(predictor, output)[0][0] for output in predictor.predict(parts)]


def restore(
    predictor: SlidingWindowPredictor, output: WindowOutput, *, with_probabilities: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Bring what the sliding window gave back to the grid of the image; see `predict_array`."""
    if output.error is not None:
        raise output.error
    if output.logits is None:
        return restore_labels(predictor, output.labels, output.properties), None
    return restore_logits(predictor, output.logits, output.properties, with_probabilities=with_probabilities)


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
        return found
    # The search imports modules of other packages, which raise whatever they like.
    except Exception as error:
        raise UserError(
            f"{model.files[0]} was trained by {one_line(model.trainer_name, 40)}, which is none of "
            f"{next(iter(TRAINER_CLASSES))}, …, and nnU-Net does not find it: {one_line(str(error), 60)}"
        ) from error
