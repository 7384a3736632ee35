"""What of benchmarks/gpu.py can be checked without a GPU."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))  # for cuda_model, which it imports
    spec = importlib.util.spec_from_file_location("gpu_benchmark", BENCHMARKS / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_table_begins_with_what_was_measured_on_what(gpu, tmp_path):
    path = tmp_path / "gpu.txt"
    gpu.Table(path, gpu.head("a GPU", 132))
    first, *_, columns = path.read_text().splitlines()
    assert first.startswith("a GPU, 132 multiprocessors, torch ")
    assert first.endswith(f"swin-umamba-ext {version('swin-umamba-ext')}")
    cells = gpu.row("ss2d", "80x80x192", 8, "bfloat16", gpu.HEAD + gpu.BASELINES)
    assert len(columns) == len(cells)
    assert columns.index("batch") + len("batch") == cells.index(" bfloat16")
