"""Predicting many images; one that cannot be predicted does not keep others from it.

While the network computes, one thread reads the images to come and another writes what has been predicted.
"""

from __future__ import annotations

import pickle
import shutil
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter

from ..common.errors import RunError, full_disk
from ..common.images.formats import JPEG_ENDINGS
from .input_cases import CaseError, InputCase
from .input_images import read_image
from .maps import map_ending, uncertainty, write_map
from .output_folder import OutputFolder
from .preprocessing import PreparedImage, cuts_across, prepare, restore
from .sliding_window import SlidingWindowPredictor, WindowOutput
from .statistics import measure_labels, write_rows

_AHEAD = 2
"""Images that are read before their turn, and predictions that wait to be written."""

LARGE = 2**23
"""Values of an image above which it is alone in memory: no other is read before it is written."""

_PIXELS = {"spacing": (999, 1, 1)}
"""What nnU-Net's reader of plain images gives: no slices to resample between."""


@dataclass
class Outcome:
    """Identifiers of the cases by what became of them, and of the failed ones why.

    Of those that were predicted, ``lossy`` are JPEG, and ``across`` were cut across their slices (`cuts_across`).
    """

    predicted: list[str] = field(default_factory=list)
    lossy: list[str] = field(default_factory=list)
    across: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def predict_cases(
    predictor: SlidingWindowPredictor,
    cases: Sequence[InputCase],
    output: OutputFolder,
    *,
    skip_existing: bool = False,
    on_done: Callable[[InputCase], object] | None = None,
) -> Outcome:
    """Predict each case and write what `OutputFolder` says.

    Parameters
    ----------
    predictor
        What `load_predictor` gave.
    cases
        What to predict.
    output
        Where to write; it is open.
    skip_existing
        Leave out the cases whose predictions are there.
    on_done
        Called after each case, in their order.

    Raises
    ------
    RunError
        The folder cannot be written to.
    """
    with _Line(predictor, cases, output, skip_existing, on_done) as line:
        return line.run()


@dataclass
class _Loaded:
    """A case that has been read, and what the network has said about it so far.

    Attributes
    ----------
    case : InputCase
    reader : BaseReaderWriter
        nnU-Net's class that read it and writes its labels.
    properties : dict
        What the reader wants back, and with which nnU-Net goes on.
    plane : tuple of int
        The axes in the order in which the network sees them.
    size : int
        Number of its values.
    parts : list of PreparedImage
        What the network is to see: the image, unless ``slices`` are images of their own to it.
    slices : numpy.ndarray or None
        float32 (C, Z, H, W).
    pixels : numpy.ndarray or None
        The same of any image, where it is wanted for more than the network.
    outputs : list of WindowOutput
        By part.
    n_parts : int
    error : Exception or None
        Why it cannot be predicted.
    """

    case: InputCase
    reader: BaseReaderWriter
    properties: dict[str, Any]
    plane: tuple[int, ...]
    size: int
    parts: list[PreparedImage]
    slices: np.ndarray | None
    pixels: np.ndarray | None
    n_parts: int
    outputs: list[WindowOutput] = field(default_factory=list)
    error: Exception | None = None

    @property
    def is_complete(self) -> bool:
        return len(self.outputs) == self.n_parts


class _Line:
    """Cases on their way: read, predicted, written, settled."""

    def __init__(
        self,
        predictor: SlidingWindowPredictor,
        cases: Sequence[InputCase],
        output: OutputFolder,
        skip_existing: bool,
        on_done: Callable[[InputCase], object] | None,
    ) -> None:
        self._predictor, self._cases, self._output = predictor, cases, output
        self._skip_existing, self._on_done = skip_existing, on_done
        self._reader, self._writer = ThreadPoolExecutor(1, "read"), ThreadPoolExecutor(1, "write")
        self._stop = threading.Event()
        self._underway: deque[_Loaded] = deque()
        self._written: deque[tuple[InputCase, Future[None]]] = deque()
        self._reasons: dict[str, str | None] = {}
        self._skipped: set[str] = set()
        self._across: set[str] = set()
        self._n_told = 0

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for pool in (self._reader, self._writer):
            pool.shutdown(wait=True, cancel_futures=True)

    def run(self) -> Outcome:
        for output in self._predictor.predict(self._parts(), with_logits=self._output.wants_probabilities):
            self._underway[0].outputs.append(output)
            self._pass_on()
        self._wait_for_writer(0)
        outcome = Outcome()
        for case in self._cases:
            reason = self._reasons[case.identifier]
            if case.identifier in self._skipped:
                outcome.skipped.append(case.identifier)
            elif reason is not None:
                outcome.failed[case.identifier] = reason
            else:
                outcome.predicted.append(case.identifier)
                if case.files[0].name.lower().endswith(JPEG_ENDINGS):
                    outcome.lossy.append(case.identifier)
                if case.identifier in self._across:
                    outcome.across.append(case.identifier)
        return outcome

    def _parts(self) -> Iterator[PreparedImage]:
        """What the network is to see, in order; of the next cases one is read at a time, by the reader's thread."""
        ahead: deque[tuple[InputCase, Future[_Loaded | None]]] = deque()
        coming, n_ahead = iter(self._cases), 1
        while True:
            while len(ahead) < n_ahead and (case := next(coming, None)) is not None:
                ahead.append((case, self._reader.submit(self._load, case)))
            if not ahead:
                return
            case, future = ahead.popleft()
            try:
                loaded = future.result()
            except Exception as error:
                self._settle(case, _reason(error))
                continue
            finally:
                del future
            if loaded is None:
                self._skipped.add(case.identifier)
                self._settle(case, None)
                continue
            # One that is large is alone in memory.
            is_large = loaded.size > LARGE
            if is_large:
                self._wait_for_writer(0)
            self._underway.append(loaded)
            yield from self._parts_of(loaded)
            del loaded
            if is_large:
                self._wait_for_writer(0)
            n_ahead = 1 if is_large else _AHEAD

    def _load(self, case: InputCase) -> _Loaded | None:
        """Read and preprocess a case, or return ``None`` if there is nothing left to do."""
        if self._skip_existing and self._output.is_done(case):
            return None
        plans = self._predictor.plans_manager
        names = [name.lower() for name in self._predictor.channel_names.values()]
        image = read_image(
            case,
            plans.image_reader_writer_class,
            self._predictor.n_channels,
            names,
        )
        if not image.slices_are_images and cuts_across(self._predictor, image.properties["spacing"]):
            self._across.add(case.identifier)
        array, pixels = image.array, None
        if self._output.wants_pixels:
            pixels = array if image.slices_are_images else array.copy()
        return _Loaded(
            case,
            image.reader,
            image.properties,
            (0, 1, 2) if image.slices_are_images else tuple(plans.transpose_forward),
            array.size,
            [] if image.slices_are_images else [prepare(self._predictor, array, image.properties)],
            array if image.slices_are_images else None,
            pixels,
            array.shape[1] if image.slices_are_images else 1,
        )

    def _parts_of(self, loaded: _Loaded) -> Iterator[PreparedImage]:
        if loaded.slices is None:
            yield loaded.parts.pop()
            return
        for z in range(loaded.n_parts):
            try:
                # A model of plain images normalises the intensities of each by themselves, and counts in pixels.
                part = prepare(
                    self._predictor, loaded.slices[:, z : z + 1].copy(), dict(_PIXELS), part=(z, loaded.n_parts)
                )
            except Exception as error:
                loaded.error, loaded.n_parts = error, z
                self._pass_on()
                return
            yield part

    def _pass_on(self) -> None:
        """Give what the network is done with to the writer's thread."""
        while self._underway and self._underway[0].is_complete:
            loaded = self._underway.popleft()
            self._written.append((loaded.case, self._writer.submit(self._finish, loaded)))
        while self._written and self._written[0][1].done():
            self._wait_for_writer(len(self._written) - 1)
        self._wait_for_writer(_AHEAD)

    def _finish(self, loaded: _Loaded) -> None:
        """Bring the outputs to the grid of the image, and write them."""
        if self._stop.is_set():
            return
        if loaded.error is not None:
            raise loaded.error
        with_probabilities = self._output.wants_probabilities
        results = [restore(self._predictor, part, with_probabilities=with_probabilities) for part in loaded.outputs]
        loaded.outputs = []
        labels, probabilities = results[0]
        if len(results) > 1:
            labels = np.concatenate([part for part, _ in results])
            if with_probabilities:
                probabilities = np.concatenate([part for _, part in results], axis=1)
        del results
        try:
            _write(self._predictor, loaded, labels, probabilities, self._output)
        except RunError:
            self._stop.set()
            raise

    def _wait_for_writer(self, n_left: int) -> None:
        while len(self._written) > n_left:
            case, future = self._written.popleft()
            try:
                future.result()
            except RunError:
                raise
            except Exception as error:
                self._settle(case, _reason(error))
            else:
                self._settle(case, None)

    def _settle(self, case: InputCase, reason: str | None) -> None:
        """Note what became of a case, and tell of those whose turn it is."""
        self._reasons[case.identifier] = reason
        while self._n_told < len(self._cases) and self._cases[self._n_told].identifier in self._reasons:
            if self._on_done is not None:
                self._on_done(self._cases[self._n_told])
            self._n_told += 1


def _reason(error: Exception) -> str:
    """Why a case failed, in a line; the details go to the log."""
    if isinstance(error, CaseError):
        return str(error)
    traceback.print_exception(error)
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"


def _write(
    predictor: SlidingWindowPredictor,
    loaded: _Loaded,
    labels: np.ndarray,
    probabilities: np.ndarray | None,
    output: OutputFolder,
) -> None:
    case = loaded.case
    try:
        with output.writing(case) as folder:
            if output.probabilities:
                assert probabilities is not None
                np.savez_compressed(folder / f"{case.identifier}.npz", probabilities=probabilities)
                with open(folder / f"{case.identifier}.pkl", "wb") as file:
                    pickle.dump(loaded.properties, file)
            if output.probability_images or output.uncertainty:
                assert probabilities is not None
                _write_maps(predictor, loaded, probabilities, output, folder)
            if output.statistics:
                assert loaded.pixels is not None  # see OutputFolder.wants_pixels
                rows = measure_labels(
                    case.identifier,
                    labels,
                    loaded.pixels,
                    loaded.properties,
                    predictor.label_values,
                    predictor.channel_names,
                )
                (folder / "statistics").mkdir()
                write_rows(folder / "statistics" / f"{case.identifier}.csv", rows)
            if output.overlays:
                assert loaded.pixels is not None
                # Loads matplotlib.
                from ..figures import write_overlay

                (folder / "overlays").mkdir()
                write_overlay(folder / "overlays" / f"{case.identifier}.png", loaded.pixels, labels, loaded.plane)
            loaded.reader.write_seg(labels, str(folder / f"{case.identifier}{case.ending}"), loaded.properties)
    except Exception as error:
        # A full disk: of the next image too. ITK does not say why it cannot write.
        if full_disk(error) or shutil.disk_usage(output.root).free < labels.nbytes:
            # The writer's file, which cannot be flushed, is closed now, and not with a word on the terminal later.
            traceback.clear_frames(error.__traceback__)
            raise RunError(
                f"cannot write the prediction of {case.identifier} into {output.root}: the disk is full; make room, "
                f"and go on with the same command and --skip-existing"
            ) from error
        if not isinstance(error, OSError):
            raise
        raise RunError(f"cannot write the prediction of {case.identifier} into {output.root}: {error}") from error


def _write_maps(
    predictor: SlidingWindowPredictor, loaded: _Loaded, probabilities: np.ndarray, output: OutputFolder, folder: Path
) -> None:
    name = f"{loaded.case.identifier}{map_ending(loaded.properties)}"
    if output.probability_images:
        (folder / "probability_images").mkdir()
        write_map(folder / "probability_images" / name, probabilities, loaded.properties)
    if output.uncertainty:
        (folder / "uncertainty").mkdir()
        entropy = uncertainty(probabilities, predictor.label_manager.has_regions)
        write_map(folder / "uncertainty" / name, entropy, loaded.properties)
