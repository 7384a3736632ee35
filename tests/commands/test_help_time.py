"""No help waits for what a job needs."""

import os
import subprocess
import sys

import pytest
from swin_umamba.commands import cli

# Libraries, and what Python's own take the time of a help for.
SLOW = (
    "torch",
    "numpy",
    "scipy",
    "matplotlib",
    "nnunetv2",
    "monai",
    "SimpleITK",
    "nibabel",
    "skimage",
    "rich",
    "jinja2",
    "filelock",
    "tempfile",
    "logging",
    "json",
    "swin_umamba.jobs.training",
)


OF_PYTHON = ("dataclasses", "inspect", "pathlib", "typing")
"""Each takes a tenth to a third of the time of a help."""
WITH_SETTINGS = ("train", "pretrain", "compare")  # which are declared in dataclasses


def loaded(words, names):
    # An editable installation loads some before all else.
    program = (
        "import sys; before = set(sys.modules); "
        "import atexit; from swin_umamba.commands import cli; "
        f"atexit.register(lambda: print(*({{*{names}}} & sys.modules.keys() - before), file=sys.stderr)); "
        f"cli.main({words})"
    )
    # Coverage would load modules of its own in the process.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.startswith("usage: swin-umamba")
    return done.stderr.split()


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_help_of_a_command_loads_no_library(name):
    assert loaded([name, "--help"], SLOW if name in WITH_SETTINGS else [*SLOW, *OF_PYTHON]) == []


def test_the_help_of_all_loads_no_command():
    commands = [f"swin_umamba.commands.{name.replace('-', '_')}" for name in cli.COMMANDS]
    assert loaded(["--help"], [*SLOW, *OF_PYTHON, *commands]) == []
