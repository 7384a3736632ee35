"""What is told of an error that a library raised."""

from __future__ import annotations

import pytest
from swin_umamba.common.errors import last_line


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
