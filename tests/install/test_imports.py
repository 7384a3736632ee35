"""What an import loads, and so how long it takes (benchmarks/starts.py)."""

import subprocess
import sys

import pytest

HEAVY = ("matplotlib", "scipy", "nnunetv2", "monai", "skimage", "SimpleITK", "kornia", "nibabel", "pandas")
OPERATORS = "import swin_umamba_ext"


def loaded(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code", [OPERATORS, "from swin_umamba import SwinUMambaD", "from swin_umamba import VMambaTiny"]
)
def test_an_import_loads_no_library_that_only_a_job_needs(code):
    assert loaded(code).isdisjoint(HEAVY)


def test_a_network_loads_einops_beside_what_the_operators_load():
    assert loaded("import swin_umamba; swin_umamba.SwinUMambaD") - loaded(OPERATORS) == {"swin_umamba", "einops"}


def test_a_library_older_than_the_sources_is_named():
    code = """
from torch import _ops

found = _ops._OpNamespace.__getattr__

def lacking(self, name):
    if name == "gated_layer_norm":
        raise AttributeError(f"'_OpNamespace' '{self.name}' object has no attribute '{name}'")
    return found(self, name)

_ops._OpNamespace.__getattr__ = lacking
from swin_umamba_ext import ss2d
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "swin_umamba_ext.ss2d is not available: the compiled library is older than the sources" in done.stderr
