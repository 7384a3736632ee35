"""The source distribution builds; the operators load one OpenMP runtime, torch and numpy, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

IMPORTED = """
import sys
{}
files = {{name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}}
print(*{{name.partition(".")[0] for name, file in files.items() if "-packages" in file}})
"""

OPENMP = """
import torch, swin_umamba_ext
swin_umamba_ext.cross_scan(torch.rand(1, 2, 3, 4))
libraries = {line.split()[-1] for line in open("/proc/self/maps") if "/" in line}
names = "libgomp", "libomp", "libiomp"
print(*(path for path in libraries if path.rpartition("/")[2].startswith(names)))
"""


def python(program: str, *arguments: object) -> list[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_the_operators_import_torch_and_numpy_alone():
    alone = set(python(IMPORTED.format("import torch, numpy")))
    ours = set(python(IMPORTED.format("import swin_umamba_ext")))
    assert "torch" in alone
    assert {name for name in ours - alone if "swin_umamba" not in name} == set()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells the libraries of a process")
def test_one_openmp_runtime_in_a_process():
    runtimes = python(OPENMP)
    assert len(runtimes) == 1, runtimes
    assert "torch" in runtimes[0], "it is not the one that torch brings"


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("source")
    build = "import os, sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
    # A copy: setuptools writes beside its sources what the distribution of another state would be made from.
    checkout = folder / "checkout"
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a checkout of git")
    for name in tracked.stdout.splitlines():
        if (ROOT / name).exists():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            (checkout / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=checkout, capture_output=True, check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder / "unpacked")
    (unpacked,) = (folder / "unpacked").iterdir()
    return unpacked


def test_the_source_distribution_has_every_source(source):
    kinds = {".cpp", ".cu", ".def", ".h", ".j2", ".css", ".js"}
    folders = [ROOT / "csrc", ROOT / "python", ROOT / "swin_umamba_ext"]
    sources = [path for folder in folders for path in folder.rglob("*") if path.suffix in {*kinds, ".py"}]
    missing = [str(path) for path in sources if not (source / path.relative_to(ROOT)).exists()]
    assert sources
    assert missing == []
    assert "Author: The Swin-UMamba contributors" in (source / "PKG-INFO").read_text()


@pytest.mark.slow
def test_the_source_distribution_builds(source, tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        str(source),
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
    ]
    subprocess.run(command, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith("swin_umamba_ext-")
    assert "-cp310-abi3-" in wheel.name
