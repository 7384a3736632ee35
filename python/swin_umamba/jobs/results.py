"""What a run leaves behind: its record, the figures, and the table on the console."""

from __future__ import annotations

import math
import platform
import subprocess
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from ..checkpoints.report import LoadReport
from ..common.console import PlainConsole
from ..common.progress import clock
from ..common.typed_json import from_json, read_json
from ..common.versions import package_versions
from ..comparison.measurements import peak_memory
from ..datasets import Case, RawDataset
from ..datasets.group_folds import describe_leak
from ..evaluation.content import describe_content
from ..evaluation.held_out import summarise
from ..evaluation.measure_names import MEASURES, PRIMARY
from ..evaluation.scores import CaseScores, worst_median_best
from ..figures import PanelRow, draw_loss_curve, draw_panel, read_example
from ..runs.folder import RunFolder
from ..runs.record import DataRecord, GroupRecord, HeldOutScores, RunRecord, Statistics, Timings, TrainingRecord
from ..runs.result_files import describe_files
from ..runs.settings import Settings
from ..trainers.paper_trainer import PaperTrainer

PACKAGES = ("swin-umamba", "torch", "nnunetv2", "monai", "numpy")


def make_record(
    dataset: RawDataset,
    settings: Settings,
    trainer: PaperTrainer,
    scores: dict[str, CaseScores],
    seconds: dict[str, float],
    processes: int,
    **evaluations: Any,
) -> RunRecord:
    """Put together what is known of a run that has come to its end.

    Parameters
    ----------
    dataset, settings, trainer
        Those of the run.
    scores
        Of the held-out cases; none where no case was held out.
    seconds
        That the phases took, by the names in `Timings`, and the ``total``.
    processes
        That have trained together.
    **evaluations
        What `swin_umamba.jobs.paper_evaluation.evaluate_as_in_paper` gave.
    """
    log = trainer.logger
    starts, ends = (log.get_value(f"epoch_{edge}_timestamps", None) for edge in ("start", "end"))
    epochs = [end - start for start, end in zip(starts, ends, strict=True)]
    plan = trainer.configuration_manager
    # A resumed run has not loaded the weights itself.
    pretrained = Path(trainer.output_folder, "pretrained.json")
    trained = [str(case) for case in trainer.do_split()[0]]
    reader = trainer.plans_manager.image_reader_writer_class()
    groups, suspected = None, None
    if dataset.groups is not None:
        groups = GroupRecord(
            {case: dataset.groups[case] for case in scores}, len({dataset.groups[case] for case in trained})
        )
    elif settings.dataset is not None:
        suspected = describe_leak(trained, list(scores))
    return RunRecord(
        dataset=dataset.name,
        model=settings.model,
        seed=settings.seed,
        held_out=from_json(HeldOutScores, summarise(scores)) if scores else None,
        held_out_from="labelsTs" if dataset.held_out else "validation",
        training=TrainingRecord(
            trainer=type(trainer).__name__,
            parameters=sum(parameter.numel() for parameter in trainer.network.parameters()),
            batch_size=int(plan.batch_size),
            patch_size=tuple(int(size) for size in plan.patch_size),
            train_loss=_curve(log.get_value("train_losses", None)),
            validation_loss=_curve(log.get_value("val_losses", None)),
            validation_dice=_curve(log.get_value("mean_fg_dice", None)),
            learning_rate=_curve(log.get_value("lrs", None)),
            processes=processes,
            pretrained=read_json(LoadReport, pretrained) if pretrained.exists() else None,
        ),
        settings=settings,
        seconds=Timings(
            **{name: round(value, 1) for name, value in seconds.items()},
            training=round(sum(epochs), 1),
            epochs=tuple(round(value, 1) for value in epochs),
        ),
        finished=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        device=_device_name(trainer.device),
        device_type=trainer.device.type,
        precision=trainer.precision,
        threads=torch.get_num_threads(),
        versions={"python": platform.python_version(), **package_versions(*PACKAGES)},
        groups=groups,
        suspected_groups=suspected,
        data=from_json(DataRecord, describe_content(dataset, _parts(dataset, trainer), list(scores), reader)),
        commit=_commit(),
        peak_memory_bytes=peak_memory(trainer.device),
        **evaluations,
    )


def _parts(dataset: RawDataset, trainer: PaperTrainer) -> dict[str, list[Case]]:
    """The cases that were trained on, validated on and tested on; one that was trained on is no other."""
    cases = {case.identifier: case for case in dataset.training}
    trained, validated = (list(map(str, names)) for names in trainer.do_split())
    parts = {
        "training": [cases[name] for name in trained],
        "validation": [cases[name] for name in validated if name not in set(trained)],
        "test": list(dataset.held_out),
    }
    return {name: part for name, part in parts.items() if part}


def _commit() -> str | None:
    """The commit of the checkout that this package lies in."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


def show_results(
    console: PlainConsole,
    dataset: RawDataset,
    folder: RunFolder,
    record: RunRecord,
    measures: Sequence[str] | None = None,
) -> None:
    """Print the scores of the held-out cases, DSC and NSD or those named, and the files of the run."""
    if scores := record.held_out:
        shown = scores.choose(measures or tuple(PRIMARY))
        table = Table(title=f"{scores.cases} held-out cases, mean ± standard deviation over cases")
        table.add_column("class")
        for key in shown:
            tolerance = f", tolerance {record.settings.nsd_tolerance:g}" if key == "nsd" else ""
            table.add_column(MEASURES[key] + tolerance, justify="right")
        for name in dataset.classes:
            table.add_row(name, *(_plus_minus(metric.per_class[name]) for metric in shown.values()))
        table.add_section()
        table.add_row("mean", *map(_plus_minus, shown.values()))
        console.print(table)
    if record.suspected_groups:
        console.print(record.suspected_groups, soft_wrap=True)
    console.print(f"finished in {clock(record.seconds.total)}; results in {folder.root}")
    files = describe_files(folder)
    width = max(len(path.name) for path, _ in files)
    for path, what in files:
        console.print(f"  {path.name:<{width}} {what}")


def draw_figures(
    dataset: RawDataset, settings: Settings, folder: RunFolder, trainer: PaperTrainer, scores: dict[str, CaseScores]
) -> None:
    """Draw the loss curve, and a panel of the worst, the median and the best held-out case."""
    log = trainer.logger
    draw_loss_curve(
        folder.loss_curve,
        log.get_value("train_losses", None),
        log.get_value("val_losses", None),
        log.get_value("mean_fg_dice", None),
        title=f"{settings.model} on {dataset.name}",
        fold=settings.fold,
    )
    if scores:
        reader = trainer.plans_manager.image_reader_writer_class()
        found = {case.identifier: case for case in dataset.held_out or dataset.training}
        cases = [found[name] for name in scores]
        dsc = [case.case_means["dsc"] for case in scores.values()]
        rows = [
            _panel_row(dataset, cases[index], folder, place, dsc[index], reader)
            for index, place in worst_median_best(dsc).items()
        ]
        draw_panel(folder.panel, rows, dataset.classes, f"{settings.model} on held-out cases of {dataset.name}")


def _panel_row(dataset: RawDataset, case: Case, folder: RunFolder, place: str, dsc: float, reader: Any) -> PanelRow:
    channel_names = list(dataset.description["channel_names"].values())
    prediction = folder.predictions / f"{case.identifier}{dataset.file_ending}"
    example = read_example(case.images, case.label, prediction, channel_names, reader)
    where = "" if example.slice_index is None else f", slice {example.slice_index}"
    return PanelRow(example, f"{place}: {case.identifier}{where}\nDSC {dsc:.3f}")


def _curve(values: Iterable[Any]) -> tuple[float | None, ...]:
    """JSON has no NaN."""
    return tuple(float(value) if math.isfinite(value) else None for value in values)


def _plus_minus(score: Statistics) -> str:
    return f"{score.mean:.3f} ± {score.std:.3f}"


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
