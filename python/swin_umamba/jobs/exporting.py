"""Write a trained model as a file that runs without this package."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.errors import UserError
from ..common.processors import set_worker_defaults
from ..common.summary import note
from ..exporting import NEEDED

if TYPE_CHECKING:
    from ..runs.record import RunRecord


@dataclass(frozen=True)
class ExportRequest:
    """What the user asks of ``swin-umamba export``, whose help says what each field is."""

    run: Path
    output: Path
    format: str


def export(request: ExportRequest) -> None:
    """Write the model, its description and, where one is of use, the program that predicts an image.

    Raises
    ------
    UserError
        Wrong input, or a package is missing.
    RunError
        The network cannot be written in this format, or what was written gives other logits.
    """
    # Imported late, as all below: no help needs it.
    import shutil
    import tempfile
    from importlib.util import find_spec

    output = request.output.expanduser()
    missing = [package for package in NEEDED[request.format] if find_spec(package) is None]
    if missing:
        raise UserError(f"--format {request.format} needs {', '.join(missing)}; run pip install 'swin-umamba[export]'")
    if request.format == "aoti" and not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))):
        raise UserError("--format aoti needs a C++ compiler, and none was found; install g++, or choose --format pt2")
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise UserError(f"DIR {output} is there already; give a new or empty folder")
    new = not output.exists()
    set_worker_defaults()

    import torch

    from ..common.console import capture_output
    from ..common.files import write_json
    from ..exporting import predict_png
    from ..exporting.description import Training, describe
    from ..exporting.formats import FORMATS
    from ..exporting.writing import write_model
    from ..prediction.predictor import load_predictor
    from ..prediction.trained_model import read_model

    model = read_model(request.run.expanduser(), "RUN")
    if len(model.weights) > 1:
        raise UserError(
            f"RUN has {len(model.weights)} folds, and a file holds one network; give one, as {model.files[0]}"
        )
    with capture_output(None) as console:
        predictor = load_predictor(model, torch.device("cpu"), precision="float32")
        training = Training(
            trainer=model.trainer_name,
            plans=predictor.plans_manager,
            configuration=predictor.configuration_manager,
            dataset_json=model.dataset_json,
            channels=predictor.n_channels,
        )
        console.announce("exporting", f"{model.trainer_name} of {model.files[0]} to {request.format}")
        network = predictor.networks[0].eval()
        try:
            output.mkdir(parents=True, exist_ok=True)
            # In it, which may be a mount or the working directory, and cannot be replaced.
            folder = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=output))
        except OSError as error:
            raise UserError(f"cannot write to DIR {output}: {error.strerror}") from error
        try:
            height, width = training.configuration.patch_size
            if request.format == "hub":
                from ..exporting.hub_folder import write_hub_folder

                file, record = "model.safetensors", _record(request.run.expanduser())
                sizes, difference = write_hub_folder(network, training, (height, width), record, folder)
            else:
                form = FORMATS[request.format]
                file = form.file
                sizes, difference = write_model(network, training.channels, (height, width), form, folder / file)
            description = describe(training, request.format, file, sizes)
            write_json(folder / "model.json", description)
            if file.endswith(".onnx") and training.is_for_plain_images:
                shutil.copyfile(predict_png.__file__, folder / "predict.py")
            for written in sorted(folder.iterdir()):
                written.replace(output / written.name)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if new and not any(output.iterdir()):
                output.rmdir()
        note(output=output, format=request.format, model=description, largest_difference=float(difference))
        takes = " x ".join(map(str, description["input"]["shape"]))
        console.print(f"wrote {output}: {', '.join(sorted(path.name for path in output.iterdir()))}")
        console.print(f"images: {takes}; logits differ from the network's by {difference:.0e} at most")


def _record(run: Path) -> RunRecord | None:
    from ..runs.record import read_run

    return read_run(run).record if (run / "metrics.json").exists() else None
