"""Predict label images of new images by a trained model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.device import choose_device
from ..common.errors import RunError, UserError, full_disk
from ..common.processors import set_worker_defaults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..prediction.input_cases import InputCase
    from ..prediction.predictor import SlidingWindowPredictor
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
    mirroring: bool = False
    step_size: float = 0.5
    device: str = "auto"
    precision: str = "auto"


def predict(request: PredictionRequest) -> None:
    """Predict every image, and name those that could not be predicted.

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
    from ..prediction.input_cases import find_cases
    from ..prediction.output_folder import OutputFolder
    from ..prediction.prediction import predict_cases
    from ..prediction.predictor import load_predictor
    from ..prediction.trained_model import read_model

    source = request.input.expanduser()
    output = OutputFolder(request.output.expanduser(), request.probabilities, request.overlays)
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
        )
    record = _record(model, predictor, request)
    output.check(source, record, request.skip_existing)
    cases, incomplete = find_cases(source, predictor.n_channels)
    with output.locked(record, request.skip_existing), capture_output(output.log) as console:
        try:
            output.open(record, {"plans.json": model.plans, "dataset.json": model.dataset_json})
        except OSError as error:
            if full_disk(error):
                raise
            raise UserError(f"cannot write to OUTPUT {output.root}: {error.strerror}") from error
        console.announce(
            "predicting",
            f"with {model.trainer_name} of {model.files[0]} on {device} in {predictor.precision}, images: {len(cases)}",
        )
        with progress_bar(console) as bar:
            images, tiles = bar.add_task("images", total=len(cases)), bar.add_task("", total=100)
            predictor.on_progress = lambda share: bar.update(tiles, completed=round(100 * share))

            def show_progress() -> Iterator[InputCase]:
                for number, case in enumerate(cases, start=1):
                    bar.reset(tiles, description=case.identifier)
                    yield case
                    bar.advance(images)
                    if not console.is_terminal:
                        console.print(f"{number}/{len(cases)} {case.identifier}")

            outcome = predict_cases(predictor, show_progress(), output, skip_existing=request.skip_existing)
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
        for identifier, reason in failed.items():
            console.announce("failed", f"{identifier}: {reason}", style="red")
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
