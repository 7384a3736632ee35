"""``swin-umamba predict``: label images of new images, by a trained model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.device import DEVICE_HELP, choose_device
from ..common.errors import RunError, UserError
from ..common.setting_kinds import Number
from .parsing import one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..prediction.input_cases import InputCase
    from ..prediction.predictor import SlidingWindowPredictor
    from ..prediction.trained_model import TrainedModel

SUMMARY = "predict label images with a trained model, by nnU-Net's sliding window"

EPILOG = """\
Images are PNG, TIFF, BMP, NIfTI, NRRD, MetaImage or GIPL files, CASE.ending or CASE_0000.ending, CASE_0001.ending ...
with one channel each. OUTPUT gets CASE.ending, the label image on the same grid, and predict.log.

Exit codes: 0 done, 1 some images could not be predicted and are named, 2 wrong input (nothing was predicted),
130 interrupted.

examples:
  swin-umamba predict images predictions --checkpoint results/Dataset152_MNITissue-swin-umamba-d/checkpoint.pth
  swin-umamba predict scan.nii.gz predictions --checkpoint checkpoint.pth --probabilities --overlays --device cuda
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("input", type=Path, metavar="INPUT", help="folder of images, or one image")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder of the predictions; new or empty")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="FILE",
        help="checkpoint.pth of a run; or a checkpoint of nnU-Net, or its folder of a trained model, whose folds are "
        "averaged",
    )
    parser.add_argument(
        "--skip-existing",
        action="store_true",
        help="go on with former predictions in OUTPUT, of the same model with the same settings",
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="also write CASE.npz and CASE.pkl, as nnU-Net's --save_probabilities",
    )
    parser.add_argument("--overlays", action="store_true", help="also write overlays/CASE.png, labels over the image")
    parser.add_argument(
        "--mirroring",
        action="store_true",
        help="average over mirror images as well, which takes four times as long (default: as the paper, not)",
    )
    parser.add_argument(
        "--step-size",
        type=one_of(Number(0, 1)),
        default=0.5,
        metavar="S",
        help="distance of neighbouring tiles as a share of the patch size (default: 0.5)",
    )
    parser.add_argument("--device", default="auto", metavar="DEVICE", help=DEVICE_HELP)


def run(args: argparse.Namespace) -> None:
    """Predict every image, and name those that could not be predicted.

    Raises
    ------
    UserError
        Wrong input, found before any prediction.
    RunError
        Some images could not be predicted, or OUTPUT cannot be written to.
    """
    from ..common.processors import set_worker_defaults

    set_worker_defaults()
    from rich.markup import escape

    from ..common.console import capture_output
    from ..common.progress import progress_bar
    from ..prediction.input_cases import find_cases
    from ..prediction.output_folder import OutputFolder
    from ..prediction.prediction import predict_cases
    from ..prediction.predictor import load_predictor
    from ..prediction.trained_model import read_model

    source, output = args.input.expanduser(), OutputFolder(args.output.expanduser(), args.probabilities, args.overlays)
    if not source.exists():
        raise UserError(f"{source} does not exist; give a folder of images or one image as INPUT")
    model = read_model(args.checkpoint.expanduser())
    device = choose_device(args.device, needs_kernels=model.needs_kernels)
    with capture_output(None):
        predictor = load_predictor(model, device, mirroring=args.mirroring, step_size=args.step_size)
    record = _record(model, predictor, args)
    output.check(source, record, args.skip_existing)
    cases, incomplete = find_cases(source, predictor.n_channels)
    with output.locked(record, args.skip_existing), capture_output(output.log) as console:
        try:
            output.open(record, {"plans.json": model.plans, "dataset.json": model.dataset_json})
        except OSError as error:
            raise UserError(f"cannot write to OUTPUT {output.root}: {error.strerror}") from error
        console.print(
            f"[bold]predicting[/bold] with {model.trainer_name} of {escape(str(model.files[0]))} on {device}, "
            f"images: {len(cases)}"
        )
        with progress_bar(console) as bar:
            images, tiles = bar.add_task("images", total=len(cases)), bar.add_task("", total=100)
            predictor.on_progress = lambda share: bar.update(tiles, completed=round(100 * share))

            def show_progress() -> Iterator[InputCase]:
                for number, case in enumerate(cases, start=1):
                    bar.reset(tiles, description=escape(case.identifier))
                    yield case
                    bar.advance(images)
                    if not console.is_terminal:
                        console.print(f"{number}/{len(cases)} {escape(case.identifier)}")

            outcome = predict_cases(predictor, show_progress(), output, skip_existing=args.skip_existing)
        failed = {**incomplete, **outcome.failed}
        there = f", {len(outcome.skipped)} were there already" if outcome.skipped else ""
        console.print(f"predicted {len(outcome.predicted)}{there}; predictions in {escape(str(output.root))}")
        for identifier, reason in failed.items():
            console.print(f"[red]failed[/red] {escape(identifier)}: {escape(reason)}")
    if failed:
        raise RunError(
            f"{len(failed)} of {len(cases) + len(incomplete)} images could not be predicted: {', '.join(failed)} "
            f"(details in {output.log})"
        )


def _record(model: TrainedModel, predictor: SlidingWindowPredictor, args: argparse.Namespace) -> dict:
    return {
        "settings": {
            "model": model.digest,
            "mirroring": args.mirroring,
            "step_size": args.step_size,
            "device": predictor.device.type,
            "precision": predictor.precision,
        },
        "checkpoints": [str(path.resolve()) for path in model.files],
        "trainer": model.trainer_name,
        "configuration": model.configuration,
    }
