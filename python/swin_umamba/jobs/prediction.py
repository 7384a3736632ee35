"""Predict label images of new images by a trained model."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.device import choose_device
from ..common.errors import RunError, UserError
from ..common.processors import set_worker_defaults
from ..common.summary import note

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..prediction.input_cases import InputCase
    from ..prediction.sliding_window import SlidingWindowPredictor
    from ..prediction.trained_model import TrainedModel


@dataclass(frozen=True)
class PredictionRequest:
    """What the user asks of ``swin-umamba predict``, whose help says what each field is."""

    input: Path
    output: Path
    checkpoint: Path
    skip_existing: bool = False
    probabilities: bool = False
    overlays: bool = False
    probability_images: bool = False
    uncertainty: bool = False
    statistics: bool = False
    mirroring: bool = False
    step_size: float = 0.5
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    part: str | None = None


def predict(request: PredictionRequest, find: Callable[[int], list[InputCase]] | None = None) -> None:
    """Predict every image, and name those that could not be predicted.

    Parameters
    ----------
    request : PredictionRequest
        What is predicted.
    find : callable, optional
        Gives the images in its ``input``, sorted, for a number of channels; else the names of the files tell them.

    Raises
    ------
    UserError
        Wrong input, found before any prediction.
    RunError
        Some images could not be predicted, or OUTPUT cannot be written to.
    """
    set_worker_defaults()

    from ..common.console import capture_output
    from ..common.progress import progress_bar
    from ..prediction.input_cases import find_cases, first_below, left_out
    from ..prediction.output_folder import OutputFolder
    from ..prediction.parts import read_part
    from ..prediction.prediction import predict_cases
    from ..prediction.predictor import load_predictor
    from ..prediction.trained_model import read_model

    source = request.input.expanduser()
    part = None if request.part is None else read_part(request.part, os.environ)
    output = OutputFolder(
        request.output.expanduser(),
        probabilities=request.probabilities,
        overlays=request.overlays,
        probability_images=request.probability_images,
        uncertainty=request.uncertainty,
        statistics=request.statistics,
        part=part,
    )
    if not source.exists():
        raise UserError(f"{source} does not exist; give a folder of images or one image as INPUT")
    model = read_model(request.checkpoint.expanduser())
    device = choose_device(request.device, needs_kernels=model.needs_kernels)
    with capture_output(None):
        predictor = load_predictor(
            model,
            device,
            mirroring=request.mirroring,
            step_size=request.step_size,
            precision=request.precision,
            batch_size=request.batch_size,
        )
    reader = predictor.plans_manager.image_reader_writer_class.__name__
    if (output.probability_images or output.uncertainty) and reader.endswith("WithReorient"):
        raise UserError(
            f"--probability-images and --uncertainty: the model was trained on volumes that {reader} has turned, which "
            f"would lie otherwise than their images; leave them out"
        )
    record = _record(model, predictor, request)
    output.check(source, record, request.skip_existing)
    below, unread = None, []
    if find is None:
        cases, incomplete = find_cases(source, predictor.n_channels)
        if source.is_dir():
            below, unread = first_below(source, but=output.root), left_out(source, cases)
    else:
        cases, incomplete = find(predictor.n_channels), {}
    if part is not None:
        cases = part.of(cases)
        incomplete = {identifier: incomplete[identifier] for identifier in part.of(sorted(incomplete))}
    descriptions = {"plans.json": model.plans, "dataset.json": model.dataset_json}
    with output.opened(record, descriptions, request.skip_existing), capture_output(output.log) as console:
        console.announce(
            "predicting",
            f"with {model.trainer_name} of {model.files[0]} on {device} in {predictor.precision}, "
            f"images: {len(cases)}{'' if part is None else f' of part {part}'}",
        )
        if below is not None:
            console.print(f"note: images in folders below {source} are left out, such as {below}", soft_wrap=True)
        if unread:
            console.print(
                f"note: {len(unread)} files of other formats are left out, such as {unread[0].name}; predict images of "
                f"one format at a time, and convert those that are not read to PNG, TIFF or NIfTI",
                soft_wrap=True,
            )
        with progress_bar(console) as bar:
            images, tiles = bar.add_task("images", total=len(cases)), bar.add_task("", total=100)
            predictor.on_progress = lambda share: bar.update(tiles, completed=round(100 * share))

            def show_progress(case: InputCase) -> None:
                bar.reset(tiles, description=case.identifier)
                bar.advance(images)
                if not console.is_terminal:
                    console.print(f"{next(numbers)}/{len(cases)} {case.identifier}")

            numbers = itertools.count(1)
            outcome = predict_cases(
                predictor, cases, output, skip_existing=request.skip_existing, on_done=show_progress
            )
            bar.update(tiles, visible=False)
        if output.statistics:
            output.gather_statistics()
        failed = {**incomplete, **outcome.failed}
        there = f", {len(outcome.skipped)} were there already" if outcome.skipped else ""
        console.print(f"predicted {len(outcome.predicted)}{there}; predictions in {output.root}")
        if outcome.lossy:
            console.announce(
                "caution",
                f"{len(outcome.lossy)} images are JPEG, whose pixels are not those that were recorded; predict the "
                f"originals where there are some",
                style="yellow",
            )
        if outcome.across:
            console.announce(
                "caution",
                f"{len(outcome.across)} volumes, such as {outcome.across[0]}, have thick slices along another axis of "
                f"the file than those of the training, and were cut across them; store their axes in the same order",
                style="yellow",
            )
        for identifier, reason in failed.items():
            console.announce("failed", f"{identifier}: {reason}", style="red")
        note(
            output=output.root,
            predicted=outcome.predicted,
            skipped=outcome.skipped,
            failed=failed,
            jpeg=outcome.lossy,
            cut_across=outcome.across,
            device=str(device),
            precision=predictor.precision,
        )
    if failed:
        raise RunError(
            f"{len(failed)} of {len(cases) + len(incomplete)} images could not be predicted: {', '.join(failed)} "
            f"(details in {output.log})"
        )


def _record(model: TrainedModel, predictor: SlidingWindowPredictor, request: PredictionRequest) -> dict[str, Any]:
    return {
        "settings": {
            "model": model.digest,
            "mirroring": request.mirroring,
            "step_size": request.step_size,
            "device": predictor.device.type,
            "precision": predictor.precision,
        },
        "checkpoints": [str(path.resolve()) for path in model.files],
        "trainer": model.trainer_name,
        "configuration": model.configuration,
    }
