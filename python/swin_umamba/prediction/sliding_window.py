"""The sliding window of nnU-Net with the networks of a trained model."""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.sliding_window_prediction import compute_gaussian
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn

from ..trainers.precision import precision_name
from .batch_size import choose_batch_size, is_out_of_memory
from .preprocessing import PreparedImage, label_type
from .tiles import ImageInTiles, Position


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
        return int(determine_num_input_channels(self.plans_manager, self.configuration_manager, self.dataset_json))

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
        assert output.logits is not None
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
        n_together = max(1, (self.batch_size or 1) // len(tiles))
        outputs: list[Tensor] = []
        with self.autocast():
            for network in self.networks:
                total: Tensor | None = None
                for first in range(0, len(mirrorings), n_together):
                    some = mirrorings[first : first + n_together]
                    mirrored = network(torch.cat([torch.flip(tiles, along) for along in some]) if axes else tiles)
                    # On a GPU nnU-Net adds up in the type that comes out of the network.
                    mirrored = mirrored if self.device.type == "cuda" else mirrored.float()
                    for along, output in zip(some, mirrored.split(len(tiles)), strict=True):
                        # The first is not mirrored.
                        total = output if total is None else total.add_(torch.flip(output, along))
                assert total is not None
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
        self._result: Any
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
        if isinstance(self._result, np.ndarray):
            return WindowOutput(self._image.properties, labels=self._result)
        return WindowOutput(self._image.properties, logits=self._result)
