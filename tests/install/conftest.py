"""The source distributions, the wheels that are made of them, and an environment to install into."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tarfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SDIST = "import os, sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"


@pytest.fixture(scope="session")
def sources(tmp_path_factory) -> dict[str, Path]:
    """By part of the project, its source distribution, unpacked."""
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a checkout of git")
    # A copy: setuptools writes beside its sources what the distribution of another state would be made from.
    checkout = tmp_path_factory.mktemp("checkout")
    for name in tracked.stdout.splitlines():
        if (ROOT / name).exists():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            (checkout / name).write_bytes((ROOT / name).read_bytes())
    unpacked = {}
    for part in ("all", "operators"):
        folder = tmp_path_factory.mktemp(part)
        environment = {**os.environ, "SWIN_UMAMBA_PART": part}
        command = [sys.executable, "-c", SDIST, str(folder)]
        subprocess.run(command, cwd=checkout, env=environment, capture_output=True, check=True)
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as file:
            file.extractall(folder / "unpacked")
        (unpacked[part],) = (folder / "unpacked").iterdir()
    return unpacked


@pytest.fixture(scope="session")
def wheels(sources, tmp_path_factory) -> dict[str, Path]:
    """By part of the project, its wheel without CUDA kernels; all of one source, which is compiled once."""
    built = {}
    for part in ("all", "operators", "product"):
        folder = tmp_path_factory.mktemp(part)
        words = ["--no-deps", "--no-build-isolation", "-w", str(folder), str(sources["all"])]
        environment = {**os.environ, "SWIN_UMAMBA_CUDA": "0", "SWIN_UMAMBA_PART": part}
        subprocess.run([sys.executable, "-m", "pip", "wheel", *words], capture_output=True, check=True, env=environment)
        (built[part],) = folder.glob("*.whl")
    return built


class Bare:
    """A virtual environment that has torch, numpy and what these need, from that of the tests, and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        (self.packages,) = folder.glob("lib/python*/site-packages")
        for found in _needed("numpy", _needed("torch", {})).values():
            for top in {path.parts[0] for path in found.files} - {"..", "__pycache__"}:
                (self.packages / top).symlink_to(found.locate_file(top))

    def run(self, program: str, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [self.folder / "bin" / program, *map(str, words)]
        return subprocess.run(command, cwd=self.folder, env=kept | environment, capture_output=True, text=True)

    def pip(self, *words: object) -> None:
        """Have the pip of the tests work on this environment."""
        pip = [sys.executable, "-m", "pip", "--python", self.folder / "bin" / "python", *words]
        subprocess.run(list(map(str, pip)), capture_output=True, check=True)


@pytest.fixture
def bare(tmp_path) -> Bare:
    return Bare(tmp_path / "bare")


def _needed(name: str, found: dict[str, Distribution]) -> dict[str, Distribution]:
    """What is installed of a distribution and of all that it requires."""
    with contextlib.suppress(PackageNotFoundError):
        if name not in found:
            found[name] = distribution(name)
            for requirement in found[name].requires or []:
                if "extra ==" not in requirement:
                    _needed(re.match(r"[\w.-]+", requirement)[0], found)
    return found
