"""The numbers that docs/evaluation.md shows."""

from __future__ import annotations

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "evaluation.md"


def test_code_prints_what_the_document_says(capsys):
    code, printed = re.search(r"```python\n(.*?)```\n+```text\n(.*?)```", DOCUMENT.read_text(), re.DOTALL).groups()
    exec(compile(code, str(DOCUMENT), "exec"), {})
    assert capsys.readouterr().out == printed
