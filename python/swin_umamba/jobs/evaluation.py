"""Score predictions against references."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..common.console import PlainConsole
from ..common.errors import UserError
from ..common.files import try_folder
from ..common.summary import note
from ..evaluation.measure_names import parse_measures


@dataclass(frozen=True)
class EvaluationRequest:
    """What the user asks of ``swin-umamba evaluate``, whose help says what each field is.

    ``tolerances`` are numbers with the label that each is for, or ``None`` for all labels.
    """

    reference: Path
    prediction: Path
    metric: str
    as_published: bool = False
    output: Path | None = None
    tolerances: Sequence[tuple[str | None, float]] = ()
    dataset_json: Path | None = None
    reference_masks: str | None = None
    prediction_masks: str = "interior"
    ignore_position: bool = False
    measures: str | None = None


def evaluate(request: EvaluationRequest) -> None:
    """Score, print the table, and write the files that were asked for.

    Raises
    ------
    UserError
        The input cannot be scored as it is.
    """
    # Imported late: the help of all commands should not wait for the image libraries.
    from ..common.images.label_files import CasePair
    from ..common.progress import progress_bar
    from ..evaluation.evaluation import evaluate_folders
    from ..evaluation.scores import summary_table, summary_title

    measures = None if request.measures is None else parse_measures(request.measures)
    tolerance = None
    if request.tolerances:
        general = [value for name, value in request.tolerances if name is None]
        named = {name: value for name, value in request.tolerances if name is not None}
        if len(general) > 1 or len(general) + len(named) < len(request.tolerances):
            raise UserError("--tolerance was given twice for one label, or twice for all")
        tolerance = named or general[0]
        if general and named:
            raise UserError("--tolerance is one number for all labels, or NAME=NUMBER for some; not both")
    if request.output is not None and request.output.exists() and not request.output.is_dir():
        raise UserError(f"--output {request.output} is a file; name a folder")
    if request.output is not None:
        # Before the scoring, which may take an hour.
        with _told_as_wrong_output(request.output):
            try_folder(request.output)

    # On stderr, so that the table alone goes into a pipe.
    messages = PlainConsole(stderr=True)

    def show_progress(pairs: Sequence[CasePair]) -> Iterator[CasePair]:
        with progress_bar(messages) as bar:
            task = bar.add_task("scoring", total=len(pairs))
            for pair in pairs:
                yield pair
                bar.advance(task)

    evaluation = evaluate_folders(
        request.reference,
        request.prediction,
        request.metric,
        as_published=request.as_published,
        tolerance=tolerance,
        dataset_json=request.dataset_json,
        reference_masks=request.reference_masks,
        prediction_masks=request.prediction_masks,
        check_position=not request.ignore_position,
        measures=measures,
        progress=show_progress,
    )
    note(**evaluation.summary(), output=request.output)
    # A table cut to a pipe's 80 columns would lose digits.
    console = PlainConsole(width=None if sys.stdout.isatty() else 120)
    console.print(summary_title(evaluation))
    console.print(summary_table(evaluation))
    if evaluation.without_reference:
        names = evaluation.without_reference
        shown = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
        messages.print(f"not scored, as they have no reference: {len(names)} predictions ({shown})", soft_wrap=True)
    if request.output is not None:
        with _told_as_wrong_output(request.output):
            evaluation.write(request.output)
        messages.print(f"wrote {request.output / 'cases.csv'} and {request.output / 'summary.json'}", soft_wrap=True)


@contextlib.contextmanager
def _told_as_wrong_output(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write to --output {output}: {error.strerror}; name another folder") from error
