"""One pretraining run, from a folder of images to weights that a segmentation starts from."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..checkpoints import CheckpointError
from ..checkpoints.writing import write_checkpoint
from ..common.console import PlainConsole
from ..common.errors import UserError, last_line
from ..common.files import write_json
from ..common.processes import Processes
from ..common.progress import progress_bar
from ..common.text import counted
from ..common.typed_json import load_json
from ..runs.folder import ResumableFolder
from ..runs.last_checkpoint import explain_damaged
from .checkpoint import save_weights
from .image_folder import ImageFolder, check_images, open_image_folder
from .progress import PretrainingProgress
from .settings import PretrainingSettings
from .training import Pretraining


class PretrainingFolder(ResumableFolder):
    """Paths of a run."""

    log = property(lambda self: self.root / "pretrain.log")
    state = property(lambda self: self.root / "checkpoint_latest.pth")
    weights = property(lambda self: self.root / "vmamba_tiny.pth")
    averaged_weights = property(lambda self: self.root / "vmamba_tiny_ema.pth")


def execute_run(
    settings: PretrainingSettings,
    folder: PretrainingFolder,
    processes: Processes,
    device: torch.device,
    workers: int,
    console: PlainConsole,
    begin: Callable[[], None],
) -> dict[str, Any]:
    """Check the images, train what is left to train, and write the weights.

    Parameters
    ----------
    settings
        What to do.
    folder
        Where the results go; a state that is there is gone on from.
    processes
        This process and the others that train with it. Only the first writes files.
    device
        Where to compute.
    workers
        Processes that read and augment images for this one.
    console
        What the user sees.
    begin
        Called by the first process when the images have been checked, before anything is written.

    Returns
    -------
    dict
        The content of ``metrics.json``: ``history`` has for each epoch the mean training loss, loss and accuracy
        on the validation images, and the accuracy of the averaged weights.

    Raises
    ------
    UserError
        Wrong input, found before any training.
    RunError
        The training failed.
    """
    images = _open_checked(settings, processes, console, begin)
    training = Pretraining(settings, images, processes, device, workers)
    console.announce("training", f"VMamba-Tiny on {device} in {training.precision}")
    if folder.state.exists():
        try:
            training.load_state(folder.state)
        except CheckpointError as error:
            raise UserError(explain_damaged(folder.state, error)) from error
        console.print(f"resumed after epoch {training.finished_epochs} of {settings.epochs}")

    with PretrainingProgress(console, settings.epochs, training.finished_epochs, training.steps_per_epoch) as progress:

        def keep() -> None:
            if processes.is_first:
                write_checkpoint(folder.state, training.state())
            progress.epoch_done(training.history[-1])

        training.train_epochs(progress.step_done, keep)
    metrics = {
        "settings": settings.as_json(),
        "images": {"training": len(images.training), "validation": len(images.validation)},
        "classes": list(images.classes),
        "processes": processes.world_size,
        "device": str(device),
        "precision": training.precision,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "history": training.history,
    }
    if processes.is_first:
        _write_weights(training, folder)
        write_json(folder.metrics, metrics)
        _show_weights(folder, console)
    return metrics


def show_finished(folder: PretrainingFolder, console: PlainConsole) -> None:
    """Show the results of a finished run; raise `UserError` if its ``metrics.json`` is damaged."""
    try:
        last = load_json(folder.metrics)["history"][-1]
        results = (
            f"after {counted(last['epoch'], 'epoch')}: validation loss {last['validation_loss']:.3f}, accuracy "
            f"{last['accuracy']:.1%}, averaged weights {last['accuracy_ema']:.1%}"
        )
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise UserError(
            f"{folder.metrics} is damaged: {type(error).__name__}: {last_line(error)}; write it anew with the same "
            f"command and --resume"
        ) from error
    console.print("this run has been done before; nothing was trained")
    console.print(results)
    _show_weights(folder, console)


def _show_weights(folder: PretrainingFolder, console: PlainConsole) -> None:
    console.announce("weights", f"{folder.weights}, averaged {folder.averaged_weights.name}")


def _open_checked(
    settings: PretrainingSettings, processes: Processes, console: PlainConsole, begin: Callable[[], None]
) -> ImageFolder:
    def list_images() -> ImageFolder:
        return open_image_folder(Path(settings.data), settings.validation_fraction, settings.seed)

    def check() -> None:
        images = list_images()
        total = len(images.training) + len(images.validation)
        console.announce(
            "checking",
            f"{total} images of {len(images.classes)} classes: {len(images.training)} for "
            f"training, {len(images.validation)} for validation",
        )
        if settings.batch_size > len(images.training):
            raise UserError(
                f"--batch-size {settings.batch_size} is more than the {len(images.training)} images for training"
            )
        with progress_bar(console) as bar:
            task = bar.add_task("checking", total=total)
            small = check_images(images, settings.image_size, lambda: bar.advance(task))
        if small:
            console.print(
                f"{len(small)} images are smaller than {settings.image_size}×{settings.image_size} and will be "
                f"enlarged, for instance {small[0]}"
            )
        begin()

    processes.first_does(check)
    return list_images()


def _write_weights(training: Pretraining, folder: PretrainingFolder) -> None:
    facts = {"epoch": training.finished_epochs, "classes": list(training.images.classes)}
    last = training.history[-1]
    for path, weights, accuracy in (
        (folder.weights, training.network.state_dict(), last["accuracy"]),
        (folder.averaged_weights, training.averaged.module.state_dict(), last["accuracy_ema"]),
    ):
        save_weights(path, weights, {**facts, "accuracy": accuracy})
