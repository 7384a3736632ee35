"""The pages have every system by its name, and every trainer."""

from __future__ import annotations

from pathlib import Path

import pytest
from swin_umamba.paper.systems import SYSTEMS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("page", "rows"),
    [("README.md", ["name"]), ("docs/models.md", ["name", "trainer"]), ("docs/nnunet.md", ["trainer"])],
)
def test_the_page_has_every_system(page, rows):
    text = (ROOT / page).read_text(encoding="utf-8")
    wanted = [getattr(system, row) for system in SYSTEMS.values() for row in rows]
    assert [name for name in wanted if f"`{name}`" not in text] == [], f"{page} lacks systems"
