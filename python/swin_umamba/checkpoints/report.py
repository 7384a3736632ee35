"""What became of a checkpoint's weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from ..common.text import short_name


@dataclass(frozen=True)
class LoadReport:
    """What `load_pretrained` did; ``print`` shows a summary, in rich's consoles a table.

    Names have no ``module.`` (DDP) and ``_orig_mod.`` (torch.compile) in them.

    Attributes
    ----------
    path : Path
        The file.
    architecture : str
        What the file holds, such as ``VMamba-Tiny (embed_dim 96, depths 2-2-9-2)``.
    network : str
        The network it was loaded into.
    loaded : tuple of str
        Parameters and buffers of the network that got the file's values unchanged.
    adapted : mapping of str to str
        Those that got values made from the file's, with what was done.
    skipped : mapping of str to str
        Entries of the file that were not used, with the reason.
    missing : tuple of str
        Parameters and buffers of the network that keep the values they had.
    encoder_coverage : float or None
        Share of the encoder's parameters, by number of elements, that came from the file: 0 to 1. ``None`` for a
        network without a VMamba encoder.
    """

    path: Path
    architecture: str
    network: str
    loaded: tuple[str, ...]
    adapted: Mapping[str, str]
    skipped: Mapping[str, str]
    missing: tuple[str, ...]
    encoder_coverage: float | None

    def __str__(self) -> str:
        rows = [f"  {label:<8} {count:>5}  {what}".rstrip() for label, count, what in self._rows()]
        return "\n".join([self._title(), *rows])

    def __rich__(self) -> Table:
        # Text, not markup: names and paths may have brackets in them.
        table = Table(title=Text(self._title()), title_justify="left", show_header=False, box=None)
        table.add_column(style="bold")
        table.add_column(justify="right")
        table.add_column(overflow="fold")
        for label, count, what in self._rows():
            table.add_row(label, count, Text(what))
        return table

    def _title(self) -> str:
        return f"{self.path.name}: {self.architecture} → {self.network}"

    def _rows(self) -> list[tuple[str, str, str]]:
        rows = [("loaded", str(len(self.loaded)), _groups(self.loaded))]
        rows += [("adapted", str(len(names)), f"{_some(names)}: {how}") for how, names in by_reason(self.adapted)]
        rows += [("skipped", str(len(names)), f"{_some(names)}: {why}") for why, names in by_reason(self.skipped)]
        if self.missing:
            what = f"{_groups(self.missing)}: not in the file, left as they were"
            rows.append(("missing", str(len(self.missing)), what))
        if self.encoder_coverage is not None:
            # Rounded down, so that 100 % means all.
            rows.append(("encoder", f"{int(1000 * self.encoder_coverage) / 10:g} %", "of its parameters from the file"))
        return rows


def by_reason(reasons: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Group names by what became of them."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names.setdefault(reason, []).append(name)
    return list(names.items())


def _some(names: list[str], limit: int = 4) -> str:
    more = f", … ({len(names) - limit} more)" if len(names) > limit else ""
    return ", ".join(short_name(name) for name in names[:limit]) + more


def _groups(names: Iterable[str]) -> str:
    """Names by their first part, with the number of each."""
    return ", ".join(f"{group} ({count})" for group, count in Counter(name.split(".")[0] for name in names).items())
