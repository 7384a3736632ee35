"""The C++ tests, as they are, with only the portable kernels, and with sanitizers."""

from __future__ import annotations

import re

import pytest

from .build import build, output, run


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("release", (), id="release"),
        # What other architectures compile.
        pytest.param("portable", ("-DSWIN_UMAMBA_PORTABLE_ONLY=ON", "-DSWIN_UMAMBA_PYTHON=OFF"), id="portable only"),
        pytest.param(
            "sanitize", ("-DSWIN_UMAMBA_SANITIZE=ON", "-DSWIN_UMAMBA_PYTHON=OFF"), marks=pytest.mark.slow, id="sanitize"
        ),
    ],
)
def test_cpp(name, options):
    folder = build(name, "kernel_tests", *options)
    done = run(["ctest", "--output-on-failure", "--no-tests=error"], cwd=folder)
    assert done.returncode == 0, output(done)
    sets = set(re.findall(r"ss2d\.(\w+) .*Passed", done.stdout))
    assert "portable" in sets
    assert name != "portable" or sets == {"portable"}
