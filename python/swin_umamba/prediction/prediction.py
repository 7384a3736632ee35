"""Predicting many images, one at a time; one that cannot be predicted does not keep others from it."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from batchgenerators.utilities.file_and_folder_operations import save_pickle

from ..common.errors import RunError, full_disk
from ..common.images.formats import JPEG_ENDINGS
from ..figures import write_overlay
from .input_cases import CaseError, InputCase
from .input_images import InputImage, read_image
from .output_folder import OutputFolder
from .predictor import SlidingWindowPredictor, predict_array


@dataclass
class Outcome:
    """Identifiers of the cases by what became of them, and of the failed ones why; of which the images are JPEG."""

    predicted: list[str] = field(default_factory=list)
    lossy: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def predict_cases(
    predictor: SlidingWindowPredictor,
    cases: Iterable[InputCase],
    output: OutputFolder,
    *,
    skip_existing: bool = False,
) -> Outcome:
    """Predict each case and write what `OutputFolder` says; one case is in memory at a time.

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

    Raises
    ------
    RunError
        The folder cannot be written to.
    """
    outcome = Outcome()
    for case in cases:
        if skip_existing and output.is_done(case):
            outcome.skipped.append(case.identifier)
            continue
        try:
            image = read_image(case, predictor.plans_manager.image_reader_writer_class, predictor.n_channels)
            labels, probabilities = predict_image(predictor, image, with_probabilities=output.probabilities)
            # The axes in the order in which the network sees them.
            plane = (0, 1, 2) if image.slices_are_images else tuple(predictor.plans_manager.transpose_forward)
            _write(case, image, labels, probabilities, output, plane)
        except CaseError as error:
            outcome.failed[case.identifier] = str(error)
        except RunError:
            raise
        # Too little memory, a preprocessing step that refuses the intensities: of this image, not of the next.
        except Exception as error:
            traceback.print_exc()
            reason = " ".join(str(error).split()) or "no message"
            outcome.failed[case.identifier] = f"{type(error).__name__}: {reason}"
        else:
            outcome.predicted.append(case.identifier)
            if case.files[0].name.lower().endswith(JPEG_ENDINGS):
                outcome.lossy.append(case.identifier)
    return outcome


def predict_image(
    predictor: SlidingWindowPredictor, image: InputImage, *, with_probabilities: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Predict an image as `predict_array` does, or each slice of a volume by a model of plain images.

    Such a model counts in pixels and normalises the intensities of each image by themselves, so that a slice is to
    it what the images of its training were.
    """
    if not image.slices_are_images:
        return predict_array(predictor, image.array, image.properties, with_probabilities=with_probabilities)
    depth, report = image.array.shape[1], predictor.on_progress
    labels, probabilities = [], []
    try:
        for z in range(depth):
            if report is not None:
                predictor.on_progress = lambda share, z=z: report((z + share) / depth)
            # The spacing that nnU-Net's reader of plain images gives: no slices to resample between.
            pixels = {"spacing": (999, 1, 1)}
            result = predict_array(predictor, image.array[:, z : z + 1], pixels, with_probabilities=with_probabilities)
            labels.append(result[0])
            probabilities.append(result[1])
    finally:
        predictor.on_progress = report
    return np.concatenate(labels), np.concatenate(probabilities, axis=1) if with_probabilities else None


def _write(
    case: InputCase,
    image: InputImage,
    labels: np.ndarray,
    probabilities: np.ndarray | None,
    output: OutputFolder,
    plane: tuple[int, ...],
) -> None:
    try:
        with output.writing(case) as folder:
            if probabilities is not None:
                np.savez_compressed(folder / f"{case.identifier}.npz", probabilities=probabilities)
                save_pickle(image.properties, str(folder / f"{case.identifier}.pkl"))
            if output.overlays:
                (folder / "overlays").mkdir()
                write_overlay(folder / "overlays" / f"{case.identifier}.png", image.array, labels, plane)
            image.reader.write_seg(labels, str(folder / f"{case.identifier}{case.ending}"), image.properties)
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
