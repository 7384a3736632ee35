"""One run from raw data to scores and figures, phase by phase.

Each phase finds what a former, killed attempt has finished: the preprocessed data, the checkpoint of
the last epoch.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ..data import Case, RawDataset
from ..files import write_json
from .paper_trainer import PaperTrainer
from .planning import CONFIGURATION, plan_and_preprocess
from .prediction import export_checkpoint, load_predictor, predict_cases
from .progress import TrainingProgress, progress_bar
from .report import collect_metrics, draw_figures, show_results
from .run_folder import RunFolder
from .scores import CaseScores, score_cases
from .settings import TRAINERS, Settings
from .trainers import TRAINER_CLASSES


def execute_run(
    dataset: RawDataset, settings: Settings, folder: RunFolder, device: torch.device, console: Console
) -> dict[str, Any]:
    """Train, predict the held-out cases, score and draw them.

    Parameters
    ----------
    dataset
        The checked data set; nnU-Net finds it through ``nnUNet_raw``.
    settings
        What to do.
    folder
        Where the results go.
    device
        Where to compute.
    console
        What the user sees.

    Returns
    -------
    dict
        The content of ``metrics.json``.

    Raises
    ------
    RunError
        The training cannot go on; the message says why.
    """
    seconds: dict[str, float] = {}
    start = time.monotonic()
    with _phase(console, "planning and preprocessing", seconds, "preprocessing"):
        plans = plan_and_preprocess(dataset, folder, settings)
    trainer = make_trainer(dataset, settings, plans, device)
    _train(trainer, settings, console)
    fold_folder = Path(trainer.output_folder)
    export_checkpoint(fold_folder / "checkpoint_final.pth", folder.checkpoint)
    cases = held_out_cases(dataset, settings, trainer)
    scores = _predict_and_score(dataset, settings, folder, fold_folder.parent, cases, device, console, seconds)
    draw_figures(dataset, settings, folder, trainer, scores)
    seconds["total"] = time.monotonic() - start
    metrics = collect_metrics(dataset, settings, trainer, scores, seconds)
    write_json(folder.metrics, metrics)
    show_results(console, dataset, settings, folder, metrics)
    return metrics


def make_trainer(dataset: RawDataset, settings: Settings, plans: dict[str, Any], device: torch.device) -> PaperTrainer:
    """The initialised trainer of a run, after the last finished epoch if there is one on disk."""
    if device.type == "cpu":
        # Augment in the training process itself: a worker would take a core from the network, and hands over its
        # batches in an order that no seed fixes. nnU-Net's planner cannot do with 0 workers, its training can.
        os.environ.update(nnUNet_n_proc_DA="0")
    trainer_class = TRAINER_CLASSES[TRAINERS[settings.model]]
    trainer = trainer_class(
        plans={**plans, "continue_training": False},
        configuration=CONFIGURATION,
        fold=settings.fold,
        dataset_json=dataset.description,
        device=device,
    )
    trainer.num_epochs = settings.epochs
    trainer.num_iterations_per_epoch = settings.iterations
    trainer.num_val_iterations_per_epoch = max(1, settings.iterations // 5)
    trainer.initial_lr = settings.learning_rate
    trainer.seed = settings.seed
    trainer.initialize()
    for name in ("checkpoint_final.pth", "checkpoint_latest.pth"):
        checkpoint = Path(trainer.output_folder) / name
        if checkpoint.exists():
            trainer.load_checkpoint(str(checkpoint))
            break
    return trainer


def held_out_cases(dataset: RawDataset, settings: Settings, trainer: PaperTrainer) -> list[Case]:
    """Labelled test cases of the data set, else the validation cases of the fold; none for fold ``all``."""
    if dataset.held_out:
        return list(dataset.held_out)
    if settings.fold == "all":
        return []
    validation = set(trainer.do_split()[1])
    return [case for case in dataset.training if case.identifier in validation]


def _train(trainer: PaperTrainer, settings: Settings, console: Console) -> None:
    parameters = sum(parameter.numel() for parameter in trainer.network.parameters())
    plan = trainer.configuration_manager
    console.print(
        f"[bold]training[/bold] {settings.model} ({parameters / 1e6:.1f} million parameters) on {trainer.device}: "
        f"{settings.epochs} epochs of {settings.iterations} iterations, batch {plan.batch_size}, "
        f"patch {'×'.join(map(str, plan.patch_size))}, learning rate {settings.learning_rate:g}"
    )
    if trainer.current_epoch:
        console.print(f"resumed after epoch {trainer.current_epoch} of {settings.epochs}")
    if trainer.current_epoch >= settings.epochs:
        return
    steps = trainer.num_iterations_per_epoch + trainer.num_val_iterations_per_epoch
    with TrainingProgress(console, settings.epochs, trainer.current_epoch, steps) as progress:
        trainer.observer = progress
        trainer.run_training()


def _predict_and_score(
    dataset: RawDataset,
    settings: Settings,
    folder: RunFolder,
    model_folder: Path,
    cases: list[Case],
    device: torch.device,
    console: Console,
    seconds: dict[str, float],
) -> list[CaseScores]:
    if not cases:
        console.print("no held-out cases: fold all trains on every case, and the data set has no labelsTs")
        return []
    predictor = load_predictor(model_folder, settings.fold, device)
    with _phase(console, f"predicting {len(cases)} held-out cases", seconds, "prediction") as count:
        predict_cases(predictor, cases, folder.predictions, count(len(cases)))
    reader = predictor.plans_manager.image_reader_writer_class()
    with _phase(console, "scoring", seconds, "scoring") as count:
        return score_cases(dataset, cases, folder.predictions, reader, settings.nsd_tolerance, count(len(cases)))


@contextlib.contextmanager
def _phase(
    console: Console, title: str, seconds: dict[str, float], name: str
) -> Iterator[Callable[[int], Callable[[], None]]]:
    """Announce a phase and time it; what it yields starts a progress bar and gives the function that advances it."""
    start = time.monotonic()
    console.print(f"[bold]{title}[/bold]")
    with progress_bar(console) as bar:

        def count(total: int) -> Callable[[], None]:
            task = bar.add_task(title, total=total)
            return lambda: bar.advance(task)

        yield count
    seconds[name] = time.monotonic() - start
