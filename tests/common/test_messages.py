"""Text from a file in a message is one printable line of bounded length."""

import pytest
from swin_umamba.common.errors import in_message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a layer", "a layer"),
        ("größe×2 †", "größe×2 †"),
        ("a\n\x1b[31mb\0", r"a\n\x1b[31mb\x00"),
        ("\udcff\u202e", r"\udcff\u202e"),
        ("x" * 80, "x" * 80),
        ("x" * 10_000_000, "x" * 79 + "…"),
        ("\n" * 80, r"\n" * 39 + "\\…"),
    ],
)
def test_it_is_escaped_and_shortened(text, shown):
    assert in_message(text) == shown
