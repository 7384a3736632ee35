"""Real runs of ``python train.py`` on a tiny data set, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
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
