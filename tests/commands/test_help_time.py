"""No help waits for what a job needs."""

import os
import subprocess
import sys

import pytest
from swin_umamba.commands import cli

OF_PYTHON = {
    "__future__",
    "collections.abc",
    "contextlib",
    "errno",
    "importlib",
    "importlib._bootstrap",
    "importlib._bootstrap_external",
    "importlib.machinery",
    "math",
    "unicodedata",
    "warnings",
}
"""What a help may load of Python beside what argparse does."""

OF_ALL = {
    "swin_umamba",
    "swin_umamba.former_names",
    *(f"swin_umamba.commands{name}" for name in ("", ".cli", ".one_line_parser")),
    *(f"swin_umamba.common{name}" for name in ("", ".errors", ".exit_codes", ".lazy_names", ".summary", ".text")),
}
OPTIONS = {"swin_umamba.commands.parsing", "swin_umamba.common.setting_kinds"}
DEVICE = {"swin_umamba.common.device"}
MEASURES = {"swin_umamba.evaluation", "swin_umamba.evaluation.measure_names"}
DECLARED = {
    "swin_umamba.commands.setting_options",
    "swin_umamba.common.light_dataclass",
    "swin_umamba.common.settings",
    *OPTIONS,
    *DEVICE,
}
OF_TRAINING = {
    *DECLARED,
    *MEASURES,
    *(f"swin_umamba.paper{name}" for name in ("", ".encoder", ".systems")),
    *(f"swin_umamba.runs{name}" for name in ("", ".settings")),
}
OF_ONE = {
    "prepare": {*OPTIONS, "swin_umamba.prepare"},
    "pretrain": {*DECLARED, "swin_umamba.pretraining", "swin_umamba.pretraining.settings"},
    "train": OF_TRAINING,
    "predict": {*OPTIONS, *DEVICE},
    "export": {*OPTIONS, "swin_umamba.exporting"},
    "evaluate": {*OPTIONS, *MEASURES},
    "report": {*OPTIONS, *MEASURES},
    "compare": {*OF_TRAINING, "swin_umamba.comparison", "swin_umamba.comparison.shared_settings"},
    "table2": OPTIONS,
    "nnunet-path": set(),
}
"""What the help of a command may load of this package beside its own module and `OF_ALL`."""


def loaded(words):
    program = (
        # What argparse loads to make a help, and an editable installation before all else.
        "import argparse, atexit, sys; argparse.ArgumentParser().format_help(); before = set(sys.modules); "
        "atexit.register(lambda: print(*(sys.modules.keys() - before), file=sys.stderr)); "
        f"from swin_umamba.commands import cli; cli.main({words})"
    )
    # Coverage would load modules of its own in the process.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.startswith("usage: swin-umamba")
    return set(done.stderr.split())


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_help_of_a_command_loads_nothing_else(name):
    module = f"swin_umamba.commands.{name.replace('-', '_')}"
    assert loaded([name, "--help"]) - OF_PYTHON == {module, *OF_ALL, *OF_ONE[name]}


def test_the_help_of_all_loads_no_command():
    assert loaded(["--help"]) - OF_PYTHON == OF_ALL
