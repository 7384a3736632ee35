"""The page of a comparison: one HTML file with its table, conditions and figure."""

from __future__ import annotations

import base64
from urllib.parse import quote

from markupsafe import Markup

from ..common.files import replace_atomically
from ..common.pages import Pages
from ..runs.paths import command_from, text_from
from .folder import ComparisonFolder
from .record import ComparisonRecord, FinishedRow
from .report import (
    difference_columns,
    difference_rows,
    difference_title,
    explanations,
    spread_columns,
    spread_rows,
    spread_title,
    table_columns,
    table_row,
)

_PAGES = Pages("swin_umamba.comparison")


def write_page(folder: ComparisonFolder, record: ComparisonRecord) -> None:
    """Write ``comparison.html``, which loads nothing from elsewhere and links to the pages of the runs.

    Parameters
    ----------
    folder
        Its figure is put into the page, if it is there.
    record
        What is written.
    """
    picture = folder.panel.read_bytes() if folder.panel.exists() else None
    rows = [
        {
            "cells": table_row(record, row),
            "pages": [f"{quote(run)}/report.html" for run in row.runs] if isinstance(row, FinishedRow) else [],
        }
        for row in record.rows
    ]
    start = folder.root.parent
    page = _PAGES.render(
        "comparison.html.j2",
        title=f"Comparison on {record.dataset or 'the data set'}",
        record=record,
        cautions=[text_from(start, caution) for caution in record.cautions],
        command=command_from(start, record.command),
        columns=table_columns(record),
        rows=rows,
        further=[
            table
            for table in (
                ("spread", spread_title(record), spread_columns(record), spread_rows(record)),
                ("differences", difference_title(record), difference_columns(record), difference_rows(record)),
            )
            if table[2]
        ],
        explanations=explanations(record),
        panel=None if picture is None else Markup("data:image/png;base64," + base64.b64encode(picture).decode()),
    )
    with replace_atomically(folder.page) as file:
        file.write(page.encode())
