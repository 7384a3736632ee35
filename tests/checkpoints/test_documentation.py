"""The report that docs/pretrained.md shows."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "pretrained.md"


def test_code_prints_what_the_document_says(released_file, monkeypatch, capsys):
    monkeypatch.chdir(released_file.parent)
    code, printed = re.search(r"```python\n(.*?)```\n+```text\n(.*?)```", DOCUMENT.read_text(), re.DOTALL).groups()
    exec(compile(code, str(DOCUMENT), "exec"), {})
    assert capsys.readouterr().out == printed
