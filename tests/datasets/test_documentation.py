"""The scores of two thresholds on the sample, which docs/train.md shows beside those of a training."""

from __future__ import annotations

import re
from pathlib import Path

from swin_umamba.datasets import prepare_sample

DOCUMENT = Path(__file__).parents[2] / "docs" / "train.md"


def test_code_prints_what_the_document_says(tmp_path, monkeypatch, capsys):
    text = DOCUMENT.read_text()
    code, printed = re.search(r"```python\n(.*?)```\n+```text\n(.*?)```", text, re.DOTALL).groups()
    prepare_sample(tmp_path / "results" / "Dataset152_MNITissue-swin-umamba-d" / "nnUNet_raw")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(DOCUMENT), "exec"), {})
    assert capsys.readouterr().out == printed
    grey, white = re.findall(r"matter: (\S+)", printed)
    assert f"| two thresholds | {grey} | {white} |" in text
