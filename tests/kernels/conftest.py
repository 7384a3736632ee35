"""The kernels of every instruction set that the machine has, each in a process of its own."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from .build import build_module


class Kernels:
    """The functions of ``swin_umamba_kernels`` with the instruction set ``name``."""

    def __init__(self, module: Path, name: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "worker.py"), str(module)],
            env=os.environ | {"SWIN_UMAMBA_CPU": name},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __repr__(self) -> str:
        return f"Kernels({self.name!r})"

    def __getattr__(self, function: str) -> partial:
        if function.startswith("_"):
            raise AttributeError(function)
        return partial(self.call, function)

    def call(self, function: str, *arguments: object, **options: object) -> object:
        pickle.dump((function, arguments, options), self._process.stdin)
        self._process.stdin.flush()
        try:
            answer = pickle.load(self._process.stdout)
        except EOFError:
            pytest.fail(f"{function} ({self.name}) ended its process with status {self._process.wait()}", pytrace=False)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="session")
def module() -> Path:
    return build_module("swin_umamba_kernels_module")


@pytest.fixture(scope="session")
def kernel_sets(module: Path) -> Iterator[list[Kernels]]:
    default = Kernels(module, "")
    names = default.available_cpu_kernels().split()
    default.close()
    sets = [Kernels(module, name) for name in names]
    yield sets
    for kernels in sets:
        kernels.close()
