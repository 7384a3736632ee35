"""Builds of the kernels without torch, kept in build/cmake-tests from one run of the tests to the next."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Programs that pip installed beside this Python come first, whether or not its environment is activated.
ENVIRONMENT = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}


def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT, **options)


def output(done: subprocess.CompletedProcess[str]) -> str:
    return f"{' '.join(map(str, done.args))}\n{done.stdout}\n{done.stderr}"


def build(name: str, target: str, *options: str) -> Path:
    """Build ``target`` with CMake options ``options`` in the folder ``name``, and return that folder."""
    for program in ("cmake", "ninja"):
        if shutil.which(program, path=ENVIRONMENT["PATH"]) is None:
            pytest.fail(f"{program} was not found: pip install '.[test]'", pytrace=False)
    folder = ROOT / "build" / "cmake-tests" / f"{name}-{sys.implementation.cache_tag}"
    folder.mkdir(parents=True, exist_ok=True)
    configure = ["cmake", "-G", "Ninja", "-S", str(ROOT), "-B", str(folder), *options]
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run(configure)
        if done.returncode:  # perhaps what is cached there is of another source folder
            (folder / "CMakeCache.txt").unlink(missing_ok=True)
            done = run(configure)
        if done.returncode == 0:
            done = run(["cmake", "--build", str(folder), "--parallel", str(os.cpu_count()), "--target", target])
    if done.returncode:
        pytest.fail(output(done), pytrace=False)
    if "warning:" in done.stdout:
        pytest.fail(f"The compiler warns:\n{done.stdout}", pytrace=False)
    return folder


def build_module(target: str, folder: str = "release", *options: str) -> Path:
    """Build a module over numpy (``tests/module``) and return its path."""
    pybind11 = pytest.importorskip("pybind11")
    python = (f"-DPython_EXECUTABLE={sys.executable}", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}")
    return next((build(folder, target, *python, *options) / "python").glob(f"{target.removesuffix('_module')}.*"))


def load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.name.partition(".")[0], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
