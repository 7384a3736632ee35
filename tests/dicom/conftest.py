"""Tests of DICOM are left out where the extra is not installed."""

import importlib.util

from ..prediction.conftest import make_checkpoint, predict, tiny_trainer  # noqa: F401 - fixtures

collect_ignore_glob = [] if importlib.util.find_spec("highdicom") else ["test_*.py"]
