"""The source distribution builds; the operators load one OpenMP runtime, torch and numpy, and nothing else."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest

from swin_umamba_ext import library

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


def needed(name: str, found: dict[str, Distribution]) -> dict[str, Distribution]:
    """What is installed of a distribution and of all that it requires."""
    with contextlib.suppress(PackageNotFoundError):
        if name not in found:
            found[name] = distribution(name)
            for requirement in found[name].requires or []:
                if "extra ==" not in requirement:
                    needed(re.match(r"[\w.-]+", requirement)[0], found)
    return found


def test_the_operators_compute_where_torch_and_numpy_alone_are_installed(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path)], check=True)
    (packages,) = tmp_path.glob("lib/python*/site-packages")
    (packages / "swin_umamba_ext").symlink_to(library.FOLDER)
    for found in needed("numpy", needed("torch", {})).values():
        for top in {path.parts[0] for path in found.files} - {"..", "__pycache__"}:
            (packages / top).symlink_to(found.locate_file(top))
    report = [tmp_path / "bin" / "python", "-m", "swin_umamba_ext"]
    done = subprocess.run(report, cwd=tmp_path, capture_output=True, text=True)
    assert "ss2d on the CPU" in done.stdout, done.stderr
    assert done.returncode == 0
    others = subprocess.run([*report[:1], "-c", "import nnunetv2"], cwd=tmp_path, capture_output=True)
    assert others.returncode == 1


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells the libraries of a process")
def test_one_openmp_runtime_in_a_process():
    runtimes = python(OPENMP)
    assert len(runtimes) == 1, runtimes
    assert "torch" in runtimes[0], "it is not the one that torch brings"


def test_the_source_distribution_has_every_source(source):
    kinds = {".cpp", ".cu", ".def", ".h", ".j2", ".css", ".js", ".typed"}
    folders = [ROOT / "csrc", ROOT / "python", ROOT / "swin_umamba_ext"]
    sources = [path for folder in folders for path in folder.rglob("*") if path.suffix in {*kinds, ".py"}]
    missing = [str(path) for path in sources if not (source / path.relative_to(ROOT)).exists()]
    assert sources
    assert missing == []
    assert "Author: The Swin-UMamba contributors" in (source / "PKG-INFO").read_text()


@pytest.mark.slow
def test_the_source_distribution_builds(wheel):
    assert wheel.name.startswith("swin_umamba_ext-")
    assert "-cp310-abi3-" in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    assert {"swin_umamba/py.typed", "swin_umamba_ext/py.typed"} <= set(names)
