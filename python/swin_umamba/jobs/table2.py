"""Parameters and operations of the systems beside the paper's."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from ..common.console import PlainConsole
from ..common.errors import UserError
from ..common.files import write_json
from ..common.summary import note
from ..networks.build import build_model
from ..paper.systems import PAPER_PATCH_SIZE, SYSTEMS, System

if TYPE_CHECKING:
    from ..complexity.counting import Complexity

IN_CHANNELS, NUM_CLASSES = 1, 14
GIGA, MEGA = 1e9, 1e6
TABLE_WIDTH = 100


def count_table2(file: Path | None) -> None:
    """Count parameters and operations of the systems, print the table, and write it to a file where one is named.

    Raises
    ------
    UserError
        If the file cannot be written, or fvcore is not installed.
    """
    if file is not None and not file.parent.is_dir():
        raise UserError(f"--output {file}: the folder {file.parent} does not exist")
    counts = _count_all(PlainConsole(stderr=True))
    # A table cut to a pipe's 80 columns would lose digits.
    PlainConsole(width=None if sys.stdout.isatty() else TABLE_WIDTH).print(_table(counts))
    document = _document(counts)
    note(**document)
    if file is None:
        return
    try:
        write_json(file, document)
    except OSError as error:
        raise UserError(f"--output {file}: cannot write it: {error.strerror}") from error


def _count_all(console: PlainConsole) -> dict[str, Complexity]:
    from ..complexity.counting import count_complexity

    counts = {}
    for number, (name, system) in enumerate(SYSTEMS.items(), start=1):
        console.print(f"counting {system.title} ({number} of {len(SYSTEMS)})")
        network = build_model(name, IN_CHANNELS, NUM_CLASSES, PAPER_PATCH_SIZE)
        counts[name] = count_complexity(network, IN_CHANNELS, PAPER_PATCH_SIZE)
    return counts


def _table(counts: dict[str, Complexity]) -> Table:
    table = Table()
    table.add_column("model", no_wrap=True)
    for column in ("param (M)", "paper", "ops (G)", "scan", "paper", "torch"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, count in counts.items():
        system = SYSTEMS[name]
        table.add_row(
            system.title,
            f"{count.parameters / MEGA:.3f}",
            "" if system.parameters is None else f"{system.parameters:g}",
            f"{count.multiply_accumulates / GIGA:.3f}",
            f"{count.scan / GIGA:.3f}" if count.scan else "",
            "" if system.operations is None else f"{system.operations:.1f}",
            f"{count.flops / GIGA:.3f}",
        )
    return table


def _document(counts: dict[str, Complexity]) -> dict[str, Any]:
    packages = ("torch", "fvcore", "monai", "dynamic-network-architectures")
    return {
        "input": [1, IN_CHANNELS, *PAPER_PATCH_SIZE],
        "outputs": NUM_CLASSES,
        "systems": {name: _entry(SYSTEMS[name], count) for name, count in counts.items()},
        "versions": {package: importlib.metadata.version(package) for package in packages},
    }


def _entry(system: System, count: Complexity) -> dict[str, Any]:
    return {
        "title": system.title,
        "deep_supervision": system.deep_supervision,
        "parameters": count.parameters,
        "multiply_accumulates": count.multiply_accumulates,
        "scan": count.scan,
        "torch_flops": count.flops,
        "paper": {"parameters_millions": system.parameters, "operations_giga": system.operations},
    }
