"""The notebooks of docs/notebooks run from their first cell to their last."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "notebooks"


def program(notebook: str) -> str:
    """Its code; a line that begins with ``!`` is a command of the shell."""
    cells = json.loads((FOLDER / notebook).read_text())["cells"]
    code = "".join("".join(cell["source"]) + "\n" for cell in cells if cell["cell_type"] == "code")
    lines = code.replace("\\\n", "").splitlines()
    return "import subprocess\n" + "\n".join(
        f"subprocess.run({line[1:]!r}, shell=True, check=True)" if line.startswith("!") else line for line in lines
    )


def run(notebook: str, shown: str, folder: Path) -> str:
    """Run a notebook in a folder, and return what an expression is at its end."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "nnUNet_def_n_proc": "1"}
    done = subprocess.run(
        [sys.executable, "-c", f"{program(notebook)}\nprint({shown})"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


def test_every_notebook_is_run_here():
    assert {path.name for path in FOLDER.glob("*.ipynb")} == {
        "operators_in_your_network.ipynb",
        "train_on_your_pictures.ipynb",
    }


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.name)
def test_what_it_prints_is_stored_and_pictures_are_described(path):
    """So that readers see it without running it; the site shows it too."""
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    for cell in cells:
        code, outputs = "".join(cell["source"]), cell["outputs"]
        shows = code.startswith("!") or isinstance(ast.parse(code).body[-1], ast.Expr)
        assert bool(outputs) == shows, code
        pictures = [output for output in outputs if "image/png" in output.get("data", {})]
        assert bool(pictures) == bool(cell["metadata"].get("alt")), code
    assert "/tmp" not in path.read_text()


def test_the_network_with_a_scan_learns_what_convolutions_cannot(tmp_path):
    scan, convolution = run("operators_in_your_network.ipynb", "*right.values()", tmp_path).split()
    assert float(scan) > 0.99
    assert float(convolution) < 0.8


@pytest.mark.slow
def test_training_on_pictures(tmp_path):
    dsc = float(run("train_on_your_pictures.ipynb", "metrics['held_out']['dsc']['mean']", tmp_path))
    assert dsc > 0.8
    assert {path.name for path in (tmp_path / "predictions").glob("*.png")} == {"24.png", "25.png"}
