"""The command ``swin-umamba table2``."""

import json

import pytest
from swin_umamba.commands import cli
from swin_umamba.complexity import Complexity, counting
from swin_umamba.paper.systems import SYSTEMS


@pytest.fixture
def quick_count(monkeypatch):
    """Counting without building: every network has 1.5 million parameters and 2.25 G operations."""
    from swin_umamba.jobs import table2

    monkeypatch.setattr(table2, "build_model", lambda *arguments: None)
    counts = Complexity(1_500_000, 2_250_000_000, 250_000_000, 4_250_000_000)
    monkeypatch.setattr(counting, "count_complexity", lambda *arguments: counts)


@pytest.mark.usefixtures("quick_count")
def test_table_shows_every_system_beside_the_paper(capsys, tmp_path):
    file = tmp_path / "counts.json"
    assert cli.main(["table2", "--complexity", "--output", str(file)]) == 0
    shown = capsys.readouterr()
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in shown.out.splitlines()]
    for number, system in enumerate(SYSTEMS.values(), start=1):
        (cells,) = [row for row in rows if row[0] == system.title]
        printed = ((system.parameters, "g"), (system.operations, ".1f"))
        paper = ["" if number is None else format(number, form) for number, form in printed]
        assert cells == [system.title, "1.500", paper[0], "2.250", "0.250", paper[1], "4.250"]
        assert f"counting {system.title} ({number} of {len(SYSTEMS)})" in shown.err
    written = json.loads(file.read_text())
    assert list(written["systems"]) == list(SYSTEMS)
    assert written["systems"]["umamba-enc"] == {
        "title": "U-Mamba_Enc",
        "deep_supervision": True,
        "parameters": 1_500_000,
        "multiply_accumulates": 2_250_000_000,
        "scan": 250_000_000,
        "torch_flops": 4_250_000_000,
        "paper": {"parameters_millions": 67, "operations_giga": 49.9},
    }
    assert written["input"] == [1, 1, 320, 320]
    assert set(written["versions"]) == {"torch", "fvcore", "monai", "dynamic-network-architectures"}


def test_folder_that_does_not_exist_is_found_before_counting(capsys, tmp_path):
    assert cli.main(["table2", "--complexity", "--output", str(tmp_path / "none" / "counts.json")]) == 2
    shown = capsys.readouterr()
    assert "none does not exist" in shown.err
    assert "counting" not in shown.err


@pytest.mark.usefixtures("quick_count")
def test_file_that_cannot_be_written_is_named(capsys, tmp_path):
    assert cli.main(["table2", "--complexity", "--output", str(tmp_path)]) == 2
    assert f"--output {tmp_path}: " in capsys.readouterr().err


def test_what_to_show_must_be_said(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["table2"])
    assert stop.value.code == 2
    assert "--complexity" in capsys.readouterr().err
