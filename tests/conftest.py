"""What several folders of tests share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings
from skimage.io import imread, imsave

if TYPE_CHECKING:
    from swin_umamba.datasets import Case
    from swin_umamba.runs.settings import Settings

# Machines differ too much in speed for deadlines. The default run repeats itself, so that a change is judged by what it
# changes; more examples, and others each time: --hypothesis-profile=thorough.
settings.register_profile("default-run", deadline=None, max_examples=20, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile("default-run")


@pytest.fixture(scope="session")
def make_data_set() -> Callable[..., Path]:
    """A function that writes an nnU-Net raw data set of PNG discs (label 1) with a core (label 2)."""
    return _make_data_set


def _make_data_set(parent: Path, training: int = 6, held_out: int = 0, size: tuple[int, int] = (44, 40)) -> Path:
    folder = parent / "Dataset901_Discs"
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: size[0], : size[1]]
    for part, count in (("Tr", training), ("Ts", held_out)):
        if count:
            (folder / f"images{part}").mkdir(parents=True)
            (folder / f"labels{part}").mkdir()
        for case in range(count):
            centre = rng.uniform(14, 26, size=2)
            distance = np.hypot(rows - centre[0], columns - centre[1])
            label = np.select([distance < 5, distance < 11], [2, 1], 0).astype(np.uint8)
            image = np.clip(60 + 80 * label + rng.normal(0, 8, size), 0, 255).astype(np.uint8)
            name = f"disc_{part.lower()}{case}"
            imsave(folder / f"images{part}" / f"{name}_0000.png", image, check_contrast=False)
            imsave(folder / f"labels{part}" / f"{name}.png", label, check_contrast=False)
    description = {
        "channel_names": {"0": "T1"},
        "labels": {"background": 0, "rim": 1, "core": 2},
        "numTraining": training,
        "file_ending": ".png",
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


@pytest.fixture(scope="session")
def finish_run() -> Callable[..., None]:
    """A function that makes a finished run without training: real predictions and scores, and invented curves."""
    return _finish_run


def _finish_run(
    root: Path,
    settings: Settings,
    cases: Sequence[Case],
    shift: Callable[[int], int],
    change: Callable[[dict[str, Any]], object] = lambda metrics: None,
) -> None:
    """Write the predictions, the settings and the record.

    Parameters
    ----------
    root
        The results folder.
    settings
        Name the data set, batch and patch.
    cases
        What is held out.
    shift
        By how many pixels the prediction of a case is beside the reference, by the case's number.
    change
        Gets the content of ``metrics.json`` before it is written.
    """
    # Imported here: nnU-Net takes seconds.
    from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
    from rich.console import Console
    from swin_umamba.common.typed_json import as_json, from_json
    from swin_umamba.datasets import open_raw_dataset
    from swin_umamba.datasets.sample import SAMPLE_NAMES
    from swin_umamba.evaluation.content import describe_content
    from swin_umamba.evaluation.held_out import score_cases, summarise
    from swin_umamba.jobs.paper_evaluation import evaluate_as_in_paper
    from swin_umamba.runs.folder import RunFolder
    from swin_umamba.runs.record import DataRecord, HeldOutScores, RunRecord, Timings, TrainingRecord

    folder, epochs = RunFolder(root), range(settings.epochs)
    dataset = open_raw_dataset(settings.dataset or folder.raw / SAMPLE_NAMES[settings.sample])
    folder.predictions.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(cases):
        label = np.roll(imread(case.label), shift(number), axis=1)
        imsave(folder.predictions / f"{case.identifier}.png", label, check_contrast=False)
    scores = score_cases(dataset, cases, folder.predictions, NaturalImage2DIO(), settings.nsd_tolerance)
    parts = {"training": dataset.training, "test": dataset.held_out}
    content = describe_content(dataset, parts, list(scores), NaturalImage2DIO())
    record = RunRecord(
        dataset=dataset.name,
        model=settings.model,
        held_out=from_json(HeldOutScores, summarise(scores)) if scores else None,
        held_out_from="labelsTs" if dataset.held_out else "validation",
        training=TrainingRecord(
            trainer=settings.trainer,
            parameters=1_500_000,
            batch_size=settings.batch_size,
            patch_size=settings.patch_size,
            train_loss=tuple(0.5 - epoch / 4 for epoch in epochs),
            validation_loss=tuple(0.75 - epoch / 4 for epoch in epochs),
            validation_dice=tuple(1 - 1 / (epoch + 2) for epoch in epochs),
            learning_rate=(settings.learning_rate or 0.01,) * settings.epochs,
        ),
        settings=settings,
        seconds=Timings(
            preprocessing=3.0, total=70.0, training=65.0, epochs=(65.0 / settings.epochs,) * settings.epochs
        ),
        finished="2026-01-02T03:04:05+00:00",
        device="x86_64, AVX512",
        device_type="cpu",
        threads=2,
        versions={"python": "3.11.7", "torch": "2.13.0"},
        data=from_json(DataRecord, content),
        checkpoint_sha256="0123456789abcdef" * 4,
        commit="fedcba98" * 5,
        peak_memory_bytes=1_250_000_000,
        **evaluate_as_in_paper(dataset, folder, Console(quiet=True)),
    )
    metrics = as_json(record)
    change(metrics)
    folder.metrics.write_text(json.dumps(metrics))
    folder.settings.write_text(json.dumps(metrics["settings"]))


ROOT = Path(__file__).resolve().parents[1]
TINY = ("--epochs", "3", "--iterations", "2", "--batch-size", "2", "--patch-size", "32", "32", "--device", "cpu")


@dataclass(frozen=True)
class CommandLine:
    """Runs ``train.py`` on a machine on which torchvision and timm cannot be imported.

    That is what happens beside many a CPU build of torch: the packages are there, and importing them fails.
    """

    broken_packages: Path
    tiny: tuple[str, ...] = TINY

    def start(self, *arguments: object, cwd: Path) -> subprocess.Popen[str]:
        paths = [str(self.broken_packages), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("nnUNet_")},
            "PYTHONPATH": os.pathsep.join(paths),
            "nnUNet_def_n_proc": "1",
            # Threads gain nothing on images this small, and cost much where the processor is shared.
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), *map(str, arguments)],
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, cwd=cwd)
        stdout, stderr = process.communicate(timeout=900)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@pytest.fixture(scope="session")
def train_py(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    folder = tmp_path_factory.mktemp("broken")
    for package in ("torchvision", "timm"):
        (folder / f"{package}.py").write_text(f"raise RuntimeError('operator {package}::nms does not exist')\n")
    return CommandLine(folder)


@pytest.fixture(scope="session")
def discs(make_data_set, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set without held-out cases of its own: the validation cases of the fold are scored."""
    return make_data_set(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="session")
def finished(train_py: CommandLine, discs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The results folder of an uninterrupted run, and what it said."""
    cwd = tmp_path_factory.mktemp("finished")
    done = train_py.run(discs, *TINY, "--output", "run", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "run", done.stdout


@pytest.fixture
def environment(monkeypatch):
    """Undoes what a run sets in the environment of its process."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_def_n_proc", "nnUNet_n_proc_DA"):
        monkeypatch.setenv(name, "1")
    monkeypatch.delenv("SWIN_UMAMBA_PRETRAINED", raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "4000")
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "1")
