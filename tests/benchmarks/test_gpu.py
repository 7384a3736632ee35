"""What of benchmarks/gpu.py can be checked without a GPU."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import swin_umamba_ext
from swin_umamba_ext.__main__ import package_version

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
    assert first.endswith(f"swin-umamba-ext {package_version()}")
    cells = gpu.row("ss2d", "80x80x192", 8, "bfloat16", gpu.HEAD + gpu.BASELINES)
    assert len(columns) == len(cells)
    assert columns.index("batch") + len("batch") == cells.index(" bfloat16")


@pytest.mark.parametrize("operator", swin_umamba_ext.__all__)
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


def test_what_fails_leaves_a_line_and_the_rest_is_measured(gpu, monkeypatch, tmp_path):
    def scan(*arguments, **options):
        raise RuntimeError("an illegal memory access was encountered")

    def full(*arguments):
        raise RuntimeError("swin_umamba cannot have a new tensor of shape (8,): CUDA out of memory.")

    monkeypatch.setattr(gpu.swin_umamba_ext, "selective_scan", scan)
    table = gpu.Table(tmp_path / "table", [])
    gpu.operator_rows(table, 0.01, False, "cpu")
    failures = [line for line in table.lines if "failed: RuntimeError: an illegal memory access" in line]
    assert table.failed
    assert len(failures) == len(gpu.DTYPES)
    assert len(table.lines) == 4 * len(gpu.DTYPES)
    with pytest.raises(SystemExit):
        gpu.kernels(tmp_path / "kernels.csv", "cpu", shapes=((4, 5, 32),), batches=(2,))
    written = (tmp_path / "kernels.csv").read_text()
    assert "selective_scan,4x5x32,2,bfloat16,RuntimeError," in written
    assert "ss2d,4x5x32,2,bfloat16" in written
    assert gpu.measure(full, gpu.image_arguments((4, 5, 32), 1, gpu.torch.float32, "cpu"), 0.01) is None


def test_former_and_present_kernels_are_compared_by_their_least_times(gpu, tmp_path):
    path = tmp_path / "turns.csv"
    rows = [("old", 30), ("new", 20), ("old", 24), ("new", 16)]
    path.write_text("".join(f"{build},ss2d,80x80x192,8,float32,graph replay,{time}\n" for build, time in rows))
    (line,) = gpu.turns(path)
    assert line.split() == ["ss2d", "80x80x192", "8", "float32", "24.00", "us", "old", "16.00", "us", "new", "1.50x"]


def test_the_table_has_a_cell_for_each_column(gpu, tmp_path):
    table, times = gpu.Table(tmp_path / "table", []), {"forward": 2e-3, "both": 6e-3, "peak": 10.0}
    slower = {name: 2 * value for name, value in times.items()}
    gpu.operator_row(table, ("ss2d", (4, 5, 32), 8, gpu.torch.float32), 1e-3, times, slower, slower)
    _, _, _, _, *cells = table.lines[0].split()
    assert len(cells) == len(gpu.HEAD + gpu.BASELINES)
    assert cells[gpu.HEAD.index("% of floor")] == "50"
    assert cells[len(gpu.HEAD) :] == ["4.0000", "2.00", "12.0000", "2.00", "20", "4.0000", "12.0000", "2.00"]


# Stands for every program of the machine: it notes how it was called, and fails where FAIL says.
PRETENDER = """#!/bin/sh
echo "$0 $*" >>"$CALLS"
case "$*" in *--help*) echo "  --kernel-name " ;; *--output*--quick*|*--quick*--output*|*--kernels*)
  for last; do :; done; echo "head
ss2d,80x80x192,8,float32,graph replay,1" >"$last" ;; esac
case "$0 $*" in $FAIL) exit 3 ;; esac
"""


@pytest.fixture
def run_script(tmp_path):
    """gpu.sh on a machine of which every program is a pretender: its status, log, calls and files."""
    programs, output, wheels = (tmp_path / name for name in ("programs", "output", "wheels"))
    for name in ("python", "ncu", "compute-sanitizer"):
        program = programs / name
        programs.mkdir(exist_ok=True)
        program.write_text(PRETENDER)
        program.chmod(0o755)
    wheels.mkdir()
    for name in ("swin_umamba_ext-0.whl", "monai-1.whl", "torch-9.whl"):
        (wheels / name).touch()

    def run(*arguments, fail="-"):
        calls = tmp_path / "calls"
        environment = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHON": str(programs / "python"),
            "CALLS": str(calls),
            "FAIL": fail,
        }
        command = [BENCHMARKS / "gpu.sh", *arguments, "--wheels", wheels, "--output", output]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, calls.read_text().replace(f"{programs}/", ""), sorted(os.listdir(output))

    return run


FIRST = ["--smoke ss2d", "--ceilings", "-m pytest -m gpu", "--kernels", "ncu ", "--tool memcheck", "--few --quick"]
SECOND = ["--smoke ss2d", "-m pytest -m gpu", "--kernels --quick", "--turns", "gpu.py --quick", "--training", "race"]


@pytest.mark.parametrize(("plan", "steps"), [("--first", FIRST), ("--second", SECOND)])
def test_what_tells_most_comes_first_and_in_few_files(run_script, tmp_path, plan, steps):
    old = [] if plan == "--first" else ["--old", tmp_path / "wheels"]
    status, log, calls, files = run_script(plan, *old)
    assert status == 0, log
    places = [calls.find(step) for step in steps]
    assert places == sorted(places)
    assert places[0] >= 0
    assert "torch-9.whl" not in calls
    assert len(files) <= 8
    assert f"gpu_{plan[2:]}.txt" in files
    if old:
        assert (tmp_path / "output/gpu_turns.csv").read_text().split(",")[0] == "old"
        assert calls.count("--kernels --quick") == 4


@pytest.mark.parametrize("fail", ["*--ceilings*", "*-m pytest*", "*--smoke cross*", "*ncu*", "*--tool*", "*--kernels*"])
@pytest.mark.parametrize(("plan", "last"), [("--first", "--few --quick"), ("--second", "--training")])
def test_a_step_that_fails_stops_no_other(run_script, plan, last, fail):
    status, log, calls, _ = run_script(plan, fail=fail)
    assert last in calls
    assert "== done" in log
    ran = any(fail.strip("*") in call for call in calls.splitlines())
    assert status == (1 if ran else 0), log
    assert ("failed: " in log) == ran


# Only of what gpu.sh tells to bring along is there more than the standard library.
BROUGHT = """
import sys
brought = {"torch", "numpy", "einops", "monai", "dynamic_network_architectures", "swin_umamba", "swin_umamba_ext"}
brought |= {"sympy", "mpmath", "typing_extensions", "packaging", "torchgen"}  # torch needs them

class Missing:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if not top.startswith("_") and top not in sys.stdlib_module_names and top not in brought:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

import torch
sys.meta_path.insert(0, Missing())
import swin_umamba.networks
swin_umamba.networks.SwinUMamba(1, 14), swin_umamba.networks.SwinUMambaD(1, 14)
"""


def test_training_steps_need_no_more_packages_than_it_says():
    done = subprocess.run([sys.executable, "-c", BROUGHT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    usage = (BENCHMARKS / "gpu.sh").read_text()
    assert "dynamic_network_architectures for the training steps" in usage


def test_what_there_is_no_time_for_is_left_out_and_told(run_script):
    status, log, calls, _ = run_script("--second", "--limit", "4")
    assert status == 1
    assert "--training" not in calls
    assert "failed: no time was left for: " in log
    assert "== done" in log


@pytest.mark.slow
def test_the_second_command_is_rehearsed_on_the_cpu(tmp_path):
    environment = os.environ | {"REHEARSE": "1", "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [BENCHMARKS / "gpu.sh", "--second", "--output", tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert sorted(os.listdir(tmp_path)) == ["gpu_second.txt", "gpu_table.txt", "gpu_training.txt"]
    training = (tmp_path / "gpu_training.txt").read_text()
    assert "SwinUMambaD step" in training
    assert "SwinUMambaD in float32 differs from the CPU's by 0.0e+00" in training
    assert "swin_umamba::ss2d_backward" in training
    assert "failed" not in done.stdout


def test_one_problem_runs(gpu, capsys):
    gpu.one("ss2d", "4x5x32", "2", "cpu")
    assert capsys.readouterr().out == "ss2d 4x5x32 batch 2 ran 12 times\n"
