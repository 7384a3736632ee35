"""One run from raw data to scores and figures, phase by phase.

Each phase finds what a former, killed attempt has finished: the preprocessed data, the checkpoint of
the last epoch.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ..common.console import PlainConsole
from ..common.errors import RunError
from ..common.processes import Processes
from ..common.progress import progress_bar
from ..common.text import counted
from ..datasets import Case, RawDataset
from ..evaluation.held_out import score_cases
from ..evaluation.scores import CaseScores
from ..prediction.predictor import load_predictor
from ..prediction.trained_model import read_model
from ..report.run_page import write_page
from ..runs.folder import RunFolder
from ..runs.record import write_record
from ..runs.result_files import checksum
from ..runs.settings import Settings
from ..trainers.observer import Observer
from ..trainers.paper_trainer import PaperTrainer
from ..trainers.progress import TrainingProgress
from ..trainers.registry import TRAINER_CLASSES
from .held_out_prediction import export_checkpoint, predict_cases
from .nnunet_validation import write_validation
from .paper_evaluation import evaluate_as_in_paper
from .planning import CONFIGURATION, describe_slices, plan_and_preprocess
from .results import draw_figures, make_record, show_results


def execute_run(
    dataset: RawDataset,
    settings: Settings,
    folder: RunFolder,
    device: torch.device,
    console: PlainConsole,
    processes: Processes,
    observers: Sequence[Observer] = (),
) -> None:
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
    processes
        Those that train together. The first alone preprocesses, predicts and writes.
    observers
        Are told how the training goes, beside the console.

    Raises
    ------
    UserError
        The pretrained weights do not fit, or the processes cannot share the batch.
    RunError
        The training cannot go on; the message says why.
    """
    seconds: dict[str, float] = {}
    start = time.monotonic()

    def plan() -> dict[str, Any]:
        with _phase(console, "planning and preprocessing", seconds, "preprocessing"):
            return plan_and_preprocess(dataset, folder, settings, processes.world_size)

    plans = processes.first_does(plan)
    if slices := describe_slices(plans):
        console.announce("slicing", slices)
    trainer = make_trainer(dataset, settings, plans, device)
    _train(trainer, settings, console, processes, observers)
    processes.leave()
    if not processes.is_first:
        return
    export_checkpoint(_checkpoint_for_prediction(trainer, settings), folder.checkpoint)
    cases = held_out_cases(dataset, settings, trainer)
    scores = _predict_and_score(dataset, settings, folder, cases, device, console, seconds)
    if cases and not dataset.held_out:
        write_validation(dataset, folder, trainer, cases)
    evaluations = evaluate_as_in_paper(dataset, folder, console)
    draw_figures(dataset, settings, folder, trainer, scores)
    seconds["total"] = time.monotonic() - start
    known = {**evaluations, "checkpoint_sha256": checksum(folder.checkpoint)}
    record = make_record(dataset, settings, trainer, scores, seconds, processes.world_size, **known)
    write_record(folder, record)
    write_page(folder.root)
    show_results(console, dataset, folder, record, settings.measures)


def make_trainer(dataset: RawDataset, settings: Settings, plans: dict[str, Any], device: torch.device) -> PaperTrainer:
    """The initialised trainer of a run, after the last finished epoch if there is one on disk."""
    if device.type == "cpu":
        # Augment in the training process itself: a worker would take a core from the network, and hands over its
        # batches in an order that no seed fixes. nnU-Net's planner cannot do with 0 workers, its training can.
        os.environ.update(nnUNet_n_proc_DA="0")
    # As nnU-Net's command does: patches are all of one size, so the fastest convolution is worth a search.
    torch.backends.cudnn.benchmark = device.type == "cuda"
    trainer = TRAINER_CLASSES[settings.trainer](
        plans={**plans, "continue_training": False},
        configuration=CONFIGURATION,
        fold=settings.fold,
        dataset_json=dataset.description,
        device=device,
    )
    trainer.num_epochs = settings.epochs
    trainer.num_iterations_per_epoch = settings.iterations
    trainer.num_val_iterations_per_epoch = max(1, settings.iterations // 5)
    trainer.checkpoint_epoch = settings.checkpoint_epoch
    trainer.amp = settings.amp
    trainer.seed = settings.seed
    if settings.learning_rate is not None:
        trainer.initial_lr = settings.learning_rate
    if settings.deep_supervision is not None:
        trainer.enable_deep_supervision = settings.deep_supervision
    if settings.pretrained is not None:
        trainer.pretrained_file = Path(settings.pretrained)
        trainer.input_channels = settings.input_channels
        trainer.freeze_encoder_epochs = settings.freeze_epochs
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


def _train(
    trainer: PaperTrainer,
    settings: Settings,
    console: PlainConsole,
    processes: Processes,
    observers: Sequence[Observer],
) -> None:
    parameters = sum(parameter.numel() for parameter in trainer.network.parameters())
    plan = trainer.configuration_manager
    shared = f", shared by {processes.world_size} processes" if processes.world_size > 1 else ""
    console.announce(
        "training",
        f"{settings.model} ({parameters / 1e6:.1f} million parameters) on {trainer.device} in {trainer.precision}: "
        f"{counted(settings.epochs, 'epoch')} of {counted(settings.iterations, 'iteration')}, "
        f"batch {plan.batch_size}{shared}, patch {'×'.join(map(str, plan.patch_size))}, "
        f"learning rate {trainer.initial_lr:g}",
    )
    if trainer.current_epoch:
        console.print(f"resumed after epoch {trainer.current_epoch} of {settings.epochs}")
    elif settings.pretrained is not None:
        trainer.load_pretrained_encoder()
        console.print(str(trainer.pretrained_report))
    if trainer.current_epoch >= settings.epochs:
        return
    if not processes.is_first:
        trainer.run_training()
        return
    steps = trainer.num_iterations_per_epoch + trainer.num_val_iterations_per_epoch
    with TrainingProgress(console, settings.epochs, trainer.current_epoch, steps) as progress:
        trainer.observers = [*observers, progress]
        trainer.run_training()


def _checkpoint_for_prediction(trainer: PaperTrainer, settings: Settings) -> Path:
    final = Path(trainer.output_folder, "checkpoint_final.pth")
    if settings.checkpoint_epoch in (None, settings.epochs - 1):
        return final
    kept = final.with_name(f"checkpoint_epoch_{settings.checkpoint_epoch}.pth")
    if not kept.exists():
        raise RunError(
            f"{kept} is missing, whose weights are to predict the held-out cases; train again with another --output, "
            f"or predict with the last weights: swin-umamba predict INPUT OUTPUT --checkpoint {final}"
        )
    return kept


def _predict_and_score(
    dataset: RawDataset,
    settings: Settings,
    folder: RunFolder,
    cases: list[Case],
    device: torch.device,
    console: PlainConsole,
    seconds: dict[str, float],
) -> dict[str, CaseScores]:
    if not cases:
        console.print("no held-out cases: fold all trains on every case, and the data set has no labelsTs")
        return {}
    predictor = load_predictor(read_model(folder.checkpoint), device)
    with _phase(console, f"predicting {len(cases)} held-out cases", seconds, "prediction") as count:
        predict_cases(predictor, cases, folder.predictions, count(len(cases)))
    reader = predictor.plans_manager.image_reader_writer_class()
    with _phase(console, "scoring", seconds, "scoring") as count:
        return score_cases(dataset, cases, folder.predictions, reader, settings.nsd_tolerance, count(len(cases)))


@contextlib.contextmanager
def _phase(
    console: PlainConsole, title: str, seconds: dict[str, float], name: str
) -> Iterator[Callable[[int], Callable[[], None]]]:
    """Announce a phase and time it; what it yields starts a progress bar and gives the function that advances it."""
    start = time.monotonic()
    console.announce(title)
    with progress_bar(console) as bar:

        def count(total: int) -> Callable[[], None]:
            task = bar.add_task(title, total=total)
            return lambda: bar.advance(task)

        yield count
    seconds[name] = time.monotonic() - start
