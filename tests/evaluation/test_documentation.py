"""The metrics and the numbers that docs/evaluation.md shows."""

from __future__ import annotations

import re
from pathlib import Path

from swin_umamba.evaluation.rules import RULES
from swin_umamba.evaluation.scores import PAPER_METRICS

DOCUMENT = Path(__file__).parents[2] / "docs" / "evaluation.md"


def test_code_prints_what_the_document_says(capsys):
    code, printed = re.search(r"```python\n(.*?)```\n+```text\n(.*?)```", DOCUMENT.read_text(), re.DOTALL).groups()
    exec(compile(code, str(DOCUMENT), "exec"), {})
    assert capsys.readouterr().out == printed


def test_every_metric_has_a_row_and_words_for_its_scores():
    page = DOCUMENT.read_text(encoding="utf-8")
    for rule in RULES:
        assert f"| `{rule.name}` |" in page, f"{DOCUMENT.name} has no row of {rule.name}"
        assert set(rule.keys) <= set(PAPER_METRICS), f"PAPER_METRICS lacks {rule.keys} of {rule.name}"
