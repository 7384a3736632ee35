"""Damage that may come to any file."""

from __future__ import annotations

import random


def flip(content: bytes, generator: random.Random) -> bytes:
    """Change bits, more often where headers are."""
    content = bytearray(content)
    for _ in range(generator.choice([1, 1, 2, 8, 64])):
        near = generator.choice([len(content), min(500, len(content)), min(5000, len(content))])
        position = generator.randrange(near)
        content[generator.choice([position, len(content) - 1 - position])] ^= 1 << generator.randrange(8)
    return bytes(content)


def cut(content: bytes, generator: random.Random) -> bytes:
    return content[: generator.choice([generator.randrange(len(content)), generator.randrange(100), len(content) - 1])]


def splice(content: bytes, generator: random.Random) -> bytes:
    """Repeat, leave out or overwrite a part."""
    start, length = generator.randrange(len(content)), generator.choice([1, 8, 100, 10_000])
    part = content[start : start + length]
    return (
        content[:start]
        + generator.choice([b"", part + part, generator.randbytes(len(part))])
        + content[start + length :]
    )
