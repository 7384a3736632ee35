"""The emulated CUDA kernels, built once for all tests of this folder."""

from __future__ import annotations

from types import ModuleType

import pytest

from ..kernels.build import build_module, load_module


@pytest.fixture(scope="session")
def emulation() -> ModuleType:
    """The emulated kernels."""
    return load_module(build_module("swin_umamba_emulation"))
