"""What all commands share: versions, help, and errors that name the right help."""

import importlib.metadata
import re
import runpy
import sys
from pathlib import Path

import pytest
from swin_umamba.commands import cli
from swin_umamba.commands.one_line_parser import OneLineParser

VERSION = f"swin-umamba {importlib.metadata.version('swin-umamba')}\n"


def run(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.mark.parametrize("words", [[], *([name] for name in cli.COMMANDS)], ids=lambda words: " ".join(words))
def test_every_command_has_a_version_and_a_help(capsys, words):
    assert run(capsys, *words, "--version") == (0, VERSION, "")
    code, out, err = run(capsys, *words, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(" ".join(["usage: swin-umamba", *words]))
    assert "%(prog)" not in out


HELPS = [[], *([name] for name in cli.COMMANDS), ["prepare", "folder"], ["prepare", "endoscopy"]]


@pytest.mark.parametrize("words", HELPS, ids=lambda words: " ".join(words))
def test_a_help_fits_a_terminal_of_80_columns(capsys, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "80")
    out = run(capsys, *words, "--help")[1]
    body, _, examples = out.partition("examples:\n")
    # Two lists of choices are longer than their lines, which argparse breaks nowhere else.
    wide = [line for line in body.splitlines() if len(line) > 80 and "{" not in line]
    assert wide == []
    assert all(line.startswith("  ") for line in examples.splitlines())


def test_help_is_said_before_or_behind_a_command(capsys):
    assert run(capsys, "help", "train") == run(capsys, "train", "--help")
    of_all = run(capsys, "--help")
    assert all(f"    {name}" in of_all[1] for name in cli.COMMANDS)
    for words in (["help"], ["help", "help"], ["--help", "train"], ["-h", "help"]):
        assert run(capsys, *words) == of_all


def test_no_help_offers_what_is_refused(capsys):
    assert "--full-size" in run(capsys, "prepare", "endoscopy", "--help")[1]
    assert "--full-size" not in run(capsys, "prepare", "microscopy", "--help")[1]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_page_of_every_command_has_each_of_its_options(name):
    pages = [page.read_text(encoding="utf-8") for page in (Path(__file__).parents[2] / "docs").glob("*.md")]
    own = [page for page in pages if f"swin-umamba {name}" in page]
    assert own, f"no page of docs shows swin-umamba {name}"
    parser = OneLineParser()
    shared = set(parser._option_string_actions)
    cli.command_module(name).add_arguments(parser)
    options = parser._option_string_actions.keys() - shared
    missing = [option for option in options if not any(re.search(rf"{option}(?![\w-])", page) for page in own)]
    assert sorted(missing) == []


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["train", "--bogus\nx"], "swin-umamba train: error: unrecognized arguments: --bogus x"),
        (["predict"], "swin-umamba predict: error: the following arguments are required: INPUT, OUTPUT, --checkpoint"),
        (["train", "--epochs", "0"], "swin-umamba train: error: argument --epochs: must be"),
        (["train", "--model", "bogus"], "swin-umamba train: error: argument --model: invalid choice: 'bogus'"),
        (["train", "--epochs", "9" * 4000], "swin-umamba train: error: argument --epochs: must be between 1 and"),
        (["bogus"], "swin-umamba: error: argument COMMAND: invalid choice: 'bogus'"),
    ],
)
def test_an_error_names_the_help_that_has_the_answer(capsys, words, error):
    code, out, err = run(capsys, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert len(err) <= 300
    assert err.startswith(error)
    name = "swin-umamba train" if words[0] == "train" else error.partition(":")[0]
    assert err.endswith(f"(see {name} --help)\n")


def test_examples_use_the_name_of_the_program_as_it_was_called(capsys, monkeypatch):
    assert "\n  swin-umamba train --resume\n" in run(capsys, "train", "--help")[1]
    monkeypatch.setattr(sys, "argv", ["x", "--help"])
    with pytest.raises(SystemExit):
        runpy.run_module("swin_umamba.train", run_name="__main__")
    assert "\n  python -m swin_umamba.train --resume\n" in capsys.readouterr().out
