"""Both distributions build, and go together; the operators load torch, numpy, one OpenMP runtime, and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
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

COMMAND = "import sys; from swin_umamba.commands.cli import main; sys.exit(main())"


def python(program: str, *arguments: object) -> list[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_the_operators_import_torch_and_numpy_alone():
    alone = set(python(IMPORTED.format("import torch, numpy")))
    ours = set(python(IMPORTED.format("import swin_umamba_ext")))
    assert "torch" in alone
    assert {name for name in ours - alone if "swin_umamba" not in name} == set()


def test_the_operators_compute_where_torch_and_numpy_alone_are_installed(bare):
    (bare.packages / "swin_umamba_ext").symlink_to(library.FOLDER)
    done = bare.run("python", "-m", "swin_umamba_ext")
    assert "ss2d on the CPU" in done.stdout, done.stderr
    assert done.returncode == 0
    assert bare.run("python", "-c", "import nnunetv2").returncode == 1


@pytest.mark.parametrize("words", [["train"], ["compare"], ["predict", "a", "b", "--checkpoint", "c"], ["report", "a"]])
def test_a_command_beside_torch_and_numpy_alone_says_what_to_install(bare, words):
    (bare.packages / "swin_umamba_ext").symlink_to(library.FOLDER)
    (bare.packages / "swin_umamba").symlink_to(ROOT / "python" / "swin_umamba")
    done = bare.run("python", "-c", COMMAND, *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert re.match(rf"swin-umamba {words[0]}: error: the package \w+ is not installed; pip install", done.stderr)


def test_a_training_without_nnunet_says_what_to_install(tmp_path):
    without = f"import sys; sys.modules['nnunetv2'] = None; {COMMAND}"
    words = ["train", "--output", tmp_path / "run", "--device", "cpu"]
    done = subprocess.run([sys.executable, "-c", without, *words], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("swin-umamba train: error: the package nnunetv2 is not installed; pip install")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells the libraries of a process")
def test_one_openmp_runtime_in_a_process():
    runtimes = python(OPENMP)
    assert len(runtimes) == 1, runtimes
    assert "torch" in runtimes[0], "it is not the one that torch brings"


@pytest.mark.parametrize(
    ("part", "folders"),
    [("all", {"csrc", "python", "swin_umamba_ext"}), ("operators", {"csrc", "swin_umamba_ext"})],
)
def test_a_source_distribution_has_every_source(sources, part, folders):
    kinds = {".cpp", ".cu", ".def", ".h", ".j2", ".css", ".js", ".typed", ".py"}
    wanted = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in kinds]
    missing = [str(path) for path in wanted if not (sources[part] / path.relative_to(ROOT)).exists()]
    assert wanted
    assert missing == []
    assert (sources[part] / "python").exists() == ("python" in folders)
    assert "Author: The Swin-UMamba contributors" in (sources[part] / "PKG-INFO").read_text()


def test_the_source_distribution_of_the_operators_makes_nothing_else(sources):
    # As pip calls it: without the variable that made the distribution.
    command = [sys.executable, "setup.py", "--name"]
    kept = {name: value for name, value in os.environ.items() if name != "SWIN_UMAMBA_PART"}
    done = subprocess.run(command, cwd=sources["operators"], env=kept, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "swin-umamba-ext"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "name", "tag", "packages"),
    [
        ("all", "swin-umamba", "-cp310-abi3-", {"swin_umamba", "swin_umamba_ext"}),
        ("operators", "swin-umamba-ext", "-cp310-abi3-", {"swin_umamba_ext"}),
        ("product", "swin-umamba", "-py3-none-any", {"swin_umamba"}),
    ],
)
def test_each_wheel_has_its_part(wheels, part, name, tag, packages):
    names, metadata, scripts = opened(wheels[part])
    assert metadata["Name"] == name
    assert tag in wheels[part].name
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == packages
    assert {f"{package}/py.typed" for package in packages} <= set(names)
    assert ("swin-umamba = " in scripts) == ("swin_umamba" in packages)


@pytest.mark.slow
def test_each_wheel_asks_for_what_it_needs(wheels):
    metadata = {part: opened(wheel)[1] for part, wheel in wheels.items()}
    needs = {part: set(found.get_all("Requires-Dist")) for part, found in metadata.items()}
    assert {re.match(r"\w+", need)[0] for need in needs["operators"]} == {"torch", "numpy"}
    assert "Provides-Extra" not in metadata["operators"]
    assert needs["operators"] < needs["all"]
    assert needs["product"] - needs["all"] == {f"swin-umamba-ext=={metadata['operators']['Version']}"}
    assert needs["all"] < needs["product"]


def opened(wheel: Path) -> tuple[list[str], Message, str]:
    """The names in a wheel, its metadata, and its entry points."""
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        scripts = [file.read(name).decode() for name in names if name.endswith(".dist-info/entry_points.txt")]
        return names, message_from_bytes(file.read(metadata)), "".join(scripts)


@pytest.mark.slow
@pytest.mark.parametrize(
    "order", ["operators", "operators product", "product operators", "operators all", "all operators"]
)
def test_the_wheels_go_beside_each_other_in_either_order(bare, wheels, order):
    for part in order.split():
        bare.pip("install", "--no-deps", "--no-index", wheels[part])
    report = bare.run("python", "-m", "swin_umamba_ext")
    assert "ss2d on the CPU" in report.stdout, report.stderr
    assert re.search(r"^swin-umamba-ext +\d", report.stdout, re.MULTILINE)
    assert report.returncode == 0
    installed = (bare.folder / "bin" / "swin-umamba").exists()
    assert installed == (order != "operators")
    if installed:
        done = bare.run("swin-umamba", "--version")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("swin-umamba ")
