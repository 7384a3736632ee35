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


@pytest.mark.parametrize("operator", ["ss2d", "selective_scan", "cross_scan", "cross_merge"])
def test_smoke_is_rehearsed_on_the_cpu(gpu, operator, capsys):
    gpu.smoke(operator, "cpu")
    assert capsys.readouterr().out.count("largest error 0.0e+00") == 9


def test_smoke_finds_a_wrong_and_an_unsteady_operator(gpu, monkeypatch):
    calls = iter(range(100))
    right = gpu.results_of

    def wrong(function, arguments):
        scale = 1 + 0.01 * next(calls)
        return [scale * result for result in right(function, arguments)]

    monkeypatch.setattr(gpu, "results_of", wrong)
    with pytest.raises(SystemExit, match=r"(?s)is off by .*has other bits in the second run"):
        gpu.smoke("cross_scan", "cpu")


def test_kernel_times_are_written(gpu, tmp_path):
    gpu.kernels(tmp_path / "kernels.csv", "cpu", shapes=((4, 5, 32),), batches=(2,))
    head, *rows = (tmp_path / "kernels.csv").read_text().splitlines()
    assert head == "operator,shape,batch,dtype,kernel,microseconds"
    assert any(row.startswith('ss2d,4x5x32,2,float32,"swin_umamba::ss2d",') for row in rows)
    assert any(
        row.startswith('selective_scan,4x5x32,2,bfloat16,"swin_umamba::selective_scan_backward",') for row in rows
    )


def test_one_problem_runs(gpu, capsys):
    gpu.one("ss2d", "4x5x32", "2", "cpu")
    assert capsys.readouterr().out == "ss2d 4x5x32 batch 2 ran 12 times\n"
