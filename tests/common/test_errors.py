"""What is told of an error that a library raised."""

from __future__ import annotations

import pytest
from swin_umamba.common.errors import last_line, missing_package


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("broken"), "broken"),
        (RuntimeError("Exception in ReadImage:\n/src/reader.cxx:97:\nERROR: damaged \n\n"), "ERROR: damaged"),
        (EOFError(), "EOFError"),
        (ValueError(" \n "), "ValueError"),
    ],
)
def test_the_last_line_or_else_the_type(error, line):
    assert last_line(error) == line


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            ModuleNotFoundError("No module named 'rich'", name="rich"),
            "the package rich is not installed; pip install",
        ),
        (
            ModuleNotFoundError("", name="nnunetv2.utilities.x"),
            "the package nnunetv2 is not installed; pip install",
        ),
        (ModuleNotFoundError("", name="swin_umamba.gone"), None),
        (ModuleNotFoundError("a message alone"), None),
        (ImportError("cannot import name 'x'", name="rich"), None),
    ],
)
def test_a_library_that_is_not_installed_is_told_from_a_mistake_of_our_own(error, says):
    said = missing_package(error)
    assert said is None if says is None else said.startswith(says)
