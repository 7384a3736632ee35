"""What comes from files is shown as text, and never obeyed."""

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from swin_umamba.common.console import PlainConsole
from swin_umamba.common.text import LONGEST_LINE, counted, one_line, shortened, visible


def test_one_is_no_plural():
    assert [counted(number, "epoch") for number in (0, 1, 2)] == ["0 epochs", "1 epoch", "2 epochs"]


@given(st.text())
def test_visible_text_is_one_harmless_line(text):
    shown = visible(text)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    shown.encode()  # no half of a surrogate is left
    if text.isascii() and text.isprintable() and len(text) <= LONGEST_LINE:
        assert shown == text


@given(st.text(max_size=200), st.integers(10, 60))
def test_shortened_text_keeps_both_ends(text, limit):
    short = shortened(text, limit)
    assert len(short) <= limit
    assert short == text if len(text) <= limit else text.startswith(short[:4]) and text.endswith(short[-2:])


def test_a_line_of_an_error():
    assert one_line("first\n  second\x1b[31m") == "first second\\x1b[31m"
    assert len(one_line("x" * 10_000_000)) <= LONGEST_LINE
    assert len(one_line("\0" * 100, 80)) == 80


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tumour [core]", "tumour [core]"),
        ("[/core]", "[/core]"),
        (":smile: [bold]", ":smile: [bold]"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\u202eb", "a\\u202eb"),
        ("\udcff", "\\udcff"),
    ],
)
def test_the_console_shows_what_it_is_given(text, shown):
    for what in (text, Table(title=text), Table(caption=text)):
        if isinstance(what, Table):
            what.add_column(text)
            what.add_row(text)
        file = io.StringIO()
        console = PlainConsole(file=file, width=80)
        console.print(what)
        console.announce(text, text)
        lines = file.getvalue()
        assert shown in lines
        assert lines.splitlines()[-1] == f"{shown} {shown}"
        lines.encode()
