"""The forms of a comparison: JSON, CSV, Markdown and a table for the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from rich.table import Table

from ..common.files import replace_atomically, write_json
from ..common.progress import clock
from ..evaluation.measure_names import FURTHER
from ..evaluation.scores import PAPER_METRICS
from ..paper.protocol import RULES
from .folder import ComparisonFolder
from .paired_test import PairedTest
from .record import ComparisonRecord, FinishedRow, SimpleRow, SystemRow
from .results import OWN_SCORES

GIGA, MEGA = 1e9, 1e6
DASH = "–"


def write_record(folder: ComparisonFolder, record: ComparisonRecord) -> None:
    """Write ``comparison.json``, ``comparison.csv`` and ``comparison.md``."""
    write_json(folder.record, record.as_json())
    for path, text in ((folder.values, _csv(record)), (folder.table, _markdown(record))):
        with replace_atomically(path) as file:
            file.write(text.encode())


def _csv(record: ComparisonRecord) -> str:
    fixed = (
        "name",
        "title",
        "state",
        "trainer",
        "learning_rate",
        "parameters",
        "multiply_accumulates",
        "selective_scan",
        "step_seconds",
        "peak_memory_bytes",
        "joules",
        "training_seconds",
    )
    statistics = ("mean", "std", "low", "high", "fold_std", "seed_std")
    tested = {
        "n": "n",
        "ties": "ties",
        "difference": "difference",
        "difference_low": "low",
        "difference_high": "high",
        "difference_seed_std": "seed_std",
        "p": "p",
        "p_holm": "p_holm",
    }
    against = {"against_first": "", "against_twin": "twin_"}
    rule, others = record.scores_from, _other_rules(record)
    own = record.own_metrics
    columns = [
        f"{_column(key, OWN_SCORES if key in own else rule)}_{name}"
        for key in record.metrics
        for name in (*statistics, *(f"{prefix}{name}" for prefix in against.values() for name in tested))
    ]
    columns += [f"{_column(key, other)}_{name}" for other in others for key in record.metrics for name in statistics]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*fixed, *columns, "failure"])
    for row in record.rows:
        values: list[object] = []
        for key in record.metrics:
            score = getattr(row, "scores", {}).get(key)
            values += [getattr(score, name, None) for name in statistics]
            for other in against:
                test = getattr(row, other, {}).get(key)
                values += [getattr(test, name, None) for name in tested.values()]
        for other in others:
            scores = getattr(row, "other_scores", {}).get(other, {})
            values += [getattr(scores.get(key), name, None) for key in record.metrics for name in statistics]
        writer.writerow([getattr(row, name, None) for name in fixed] + values + [getattr(row, "failure", None)])
    return text.getvalue()


def _column(key: str, rule: str | None) -> str:
    return f"{key}_{RULES[rule].replace(' ', '_')}" if rule in RULES else key


def _other_rules(record: ComparisonRecord) -> list[str]:
    """The rules by which some systems have scores beside those of the table."""
    return [rule for rule in RULES if any(rule in row.other_scores for row in record.finished)]


def table_columns(record: ComparisonRecord) -> list[str]:
    """Headings of the table."""
    scores = [PAPER_METRICS[key] for key in record.metrics]
    memory = "GPU memory (GB)" if _on_gpu(record) else "memory (GB)"
    tests = [f"p, {name}" for name in scores] if _has_tests(record) else []
    return ["system", "param (M)", "ops (G)", *scores, *tests, "step (s)", memory]


def _has_tests(record: ComparisonRecord) -> bool:
    return len(record.systems) > 1


def table_row(record: ComparisonRecord, row: SystemRow | SimpleRow) -> list[str]:
    """One system in the words of the table; a system without result says why in the second cell."""
    if isinstance(row, SystemRow) and not isinstance(row, FinishedRow):
        return [row.title, row.state, *[""] * (len(table_columns(record)) - 2)]

    def shown(key: str) -> str:
        score = row.scores.get(key)
        if score is None:
            return DASH
        # One alone has no deviation.
        numbers = (score.mean, score.std) if record.n_units > 1 else (score.mean,)
        return " ± ".join(_number(number, _form(key)) for number in numbers)

    if isinstance(row, SimpleRow):
        tests = [DASH] * len(record.metrics) if _has_tests(record) else []
        return [row.title, DASH, DASH, *map(shown, record.metrics), *tests, DASH, DASH]
    return [
        row.title,
        f"{row.parameters / MEGA:.1f}",
        _number(row.multiply_accumulates, "{:.2f}", GIGA),
        *map(shown, record.metrics),
        *(_p_value(row.against_first.get(key)) for key in record.metrics if _has_tests(record)),
        _number(row.step_seconds, "{:#.3g}"),
        _number(row.peak_memory_bytes, "{:.2f}", GIGA),
    ]


def explanations(record: ComparisonRecord) -> list[str]:
    """What the columns are, and under which budget they were made."""
    if not record.finished:
        return []
    settings, first = record.settings, record.finished[0]
    n_cases = len(first.scores[record.metrics[0]].cases) if record.metrics else 0
    deviation = " ± standard deviation (divided by n)" if record.n_units > 1 else ""
    memory = (
        "of tensors on the GPU" if _on_gpu(record) else "resident in main memory, Python and its libraries included"
    )
    rates = "; ".join(f"{row.title} {_number(row.learning_rate, '{:g}')}" for row in record.finished)
    return [
        f"Budget of each system: epochs {settings.epochs}, iterations of one {settings.iterations}, "
        f"{_repeats(record)}, {_batch_and_patch(record)}.",
        f"Optimizer and schedule are the system's own; learning rate of the first epoch: {rates}.",
        f"Scores{_whose(record)}: mean{deviation} over {_counted(n_cases, 'held-out case')}"
        + (f", which are one {record.unit}" if record.n_groups == 1 else "")
        + (f", the deviation over their {record.n_groups} groups" if (record.n_groups or 0) > 1 else "")
        + (f"; NSD {_tolerance(record)}." if "nsd" in record.metrics else "."),
        *(f"Without a network, and not tested: {row.title}: {row.how}." for row in record.simple),
        *_further_measures(record),
        *_scores_by_other_rules(record),
        *_tests(record),
        "ops: multiply-accumulates of one image of the patch size, as fvcore counts them, selective scans included.",
        f"step: median time from a batch to the new weights, augmentation not included. memory: peak during the "
        f"training, {memory}; 1 GB is 10⁹ bytes.",
        *_energy(record),
        f"Device: {first.device}, {_counted(first.threads, 'CPU thread')}. Versions: "
        + ", ".join(f"{name} {version}" for name, version in first.versions.items())
        + ".",
    ]


def _whose(record: ComparisonRecord) -> str:
    if record.evaluation is None:
        return ""
    rule = record.evaluation.rule
    paper = ", as the released scripts compute it and the paper's tables have it" if rule == "as published" else ""
    return f" of the paper's metric ({record.evaluation.metric}) {rule}{paper}"


def _tolerance(record: ComparisonRecord) -> str:
    if record.evaluation is None:
        return f"at a tolerance of {record.settings.nsd_tolerance:g}"
    settings = record.evaluation.settings
    if settings.tolerance_mm is not None:
        return "at tolerances in mm: " + ", ".join(f"{name} {mm:g}" for name, mm in settings.tolerance_mm.items())
    return f"at a tolerance of {_number(settings.tolerance_pixels, '{:g}')} pixels"


def _energy(record: ComparisonRecord) -> list[str]:
    shown = [f"{row.title} {row.joules / 1000:.3g} kJ" for row in record.finished if row.joules is not None]
    if not shown:
        return []
    counted = "the GPU and the machine's processors" if _on_gpu(record) else "the machine's processors"
    return [f"Energy of the training, of {counted} with all that they did meanwhile: {'; '.join(shown)}."]


def _batch_and_patch(record: ComparisonRecord) -> str:
    """Of all systems; nnU-Net's presets plan their own where none was given."""
    said = [f"batch {row.batch_size}, patch {'×'.join(map(str, row.patch_size))}" for row in record.finished]
    if len(set(said)) == 1:
        return said[0]
    return "; ".join(f"{row.title} {words}" for row, words in zip(record.finished, said, strict=True))


def _repeats(record: ComparisonRecord) -> str:
    if record.repeats is None:
        return f"fold {record.settings.fold}, seed {record.settings.seed}"
    folds, seeds = record.repeats.folds, record.repeats.seeds
    trainings = len(folds) * len(seeds)
    return f"{_named('fold', folds)}, {_named('seed', seeds)}" + (
        f": {trainings} trainings, of which the scores of a case are averaged" if trainings > 1 else ""
    )


def _named(what: str, values: Sequence[object]) -> str:
    return f"{what}{'' if len(values) == 1 else 's'} {', '.join(map(str, values))}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


_SPREADS = {
    "interval": "{name}, 95 %",
    "fold_std": "{name} over folds",
    "seed_std": "{name} over seeds",
}


def spread_columns(record: ComparisonRecord) -> list[str]:
    """Headings of the second table, of how sure the means are; empty where nothing is known of it."""
    columns = [heading.format(name=PAPER_METRICS[key]) for key, _, heading in _known_spreads(record)]
    return ["system", *columns] if columns else []


def spread_rows(record: ComparisonRecord) -> list[list[str]]:
    """The second table in words: a row for each system that has scores."""
    rows = []
    for row in record.scored:
        cells = []
        for key, name, _ in _known_spreads(record):
            value = getattr(row.scores.get(key), name, None)
            values = value if isinstance(value, tuple) else (value,)
            cells.append(DASH if value is None else " to ".join(map(_form(key).format, values)))
        rows.append([row.title, *cells])
    return rows


def spread_title(record: ComparisonRecord) -> str:
    """What the second table shows."""
    kinds = {name for _, name, _ in _known_spreads(record)}
    parts = [f"95 % bootstrap intervals over {record.unit}s"] if "interval" in kinds else []
    over = [what for name, what in (("fold_std", "folds"), ("seed_std", "seeds")) if name in kinds]
    parts += [f"standard deviations (divided by n - 1) over {' and over '.join(over)}"] if over else []
    return f"Of the means: {', and '.join(parts)}"


_DIFFERENCES = {
    "difference": "{name}",
    "interval": "{name}, 95 %",
    "seed_std": "{name} over seeds",
    "p_holm": "p, {name}",
}


def difference_columns(record: ComparisonRecord) -> list[str]:
    """Headings of the third table, of each system against the first and against its twin without scans."""
    columns = [heading.format(name=PAPER_METRICS[key]) for key, _, heading in _known_differences(record)]
    return ["difference", *columns] if columns else []


def difference_rows(record: ComparisonRecord) -> list[list[str]]:
    """The third table in words."""
    rows = []
    for title, tests in _pairs(record):
        cells = []
        for key, name, _ in _known_differences(record):
            value = getattr(tests.get(key), name, None)
            if name == "p_holm":
                cells.append(_p_value(tests.get(key)))
            elif value is None:
                cells.append(DASH)
            else:
                values = value if isinstance(value, tuple) else (value,)
                sign = "" if name == "seed_std" else "+"
                cells.append(" to ".join(_form(key).replace(":", f":{sign}").format(number) for number in values))
        rows.append([title, *cells])
    return rows


def difference_title(record: ComparisonRecord) -> str:
    """What the third table shows."""
    kinds = {name for _, name, _ in _known_differences(record)}
    parts = [f"mean over cases, paired{'' if record.n_groups is None else ', groups resampled whole'}"]
    parts += ["95 % bootstrap interval"] if "interval" in kinds else []
    parts += ["standard deviation (divided by n - 1) over seeds"] if "seed_std" in kinds else []
    return f"Differences of the scores: {', '.join(parts)}"


def _pairs(record: ComparisonRecord) -> list[tuple[str, dict[str, PairedTest]]]:
    """Which systems are subtracted, and their tests; a twin that is the first system once."""
    titles = {row.name: row.title for row in record.systems}
    against = record.test.against
    pairs = [(f"{row.title} − {titles[against]}", row.against_first) for row in record.finished if row.against_first]
    pairs += [
        (f"{row.title} − {titles[row.twin]}", row.against_twin)
        for row in record.finished
        if row.twin is not None and row.twin != against
    ]
    return pairs


def _known_differences(record: ComparisonRecord) -> list[tuple[str, str, str]]:
    """Metric, field of its `PairedTest` and heading, for what some pair has."""
    return [
        (key, name, heading)
        for key in record.metrics
        for name, heading in _DIFFERENCES.items()
        if any(key in tests and getattr(tests[key], name) is not None for _, tests in _pairs(record))
    ]


def _known_spreads(record: ComparisonRecord) -> list[tuple[str, str, str]]:
    """Metric, field of its `Score` and heading, for what some system has."""
    return [
        (key, name, heading)
        for key in record.metrics
        for name, heading in _SPREADS.items()
        if any(key in row.scores and getattr(row.scores[key], name) is not None for row in record.scored)
    ]


def _form(key: str) -> str:
    return "{:.3f}" if key in ("hd95", "assd") else "{:.4f}"


def _further_measures(record: ComparisonRecord) -> list[str]:
    """What empty masks cost, how many there were, and which scores are not the paper's, where it matters."""
    lines = []
    if further := set(record.metrics) & set(FURTHER):
        lines.append(
            "HD95 and ASSD are distances in the unit of the spacing, and 0 is best, as of the volume error. A missed "
            "or invented object costs the diagonal of the image, a volume error of 1, or a share of 0."
        )
    if further or any(row.missed or row.invented for row in record.finished):
        lines.append(
            "Missed and invented objects (a class of a case that the reference alone has, and the prediction alone)"
            + (", of all trainings: " if record.repeats else ": ")
            + "; ".join(f"{row.title} {row.missed} and {row.invented}" for row in record.finished)
            + "."
        )
    if record.own_metrics:
        names = ", ".join(PAPER_METRICS[key] for key in record.own_metrics)
        lines.append(f"Not of the paper's metric, but as of every data set (held-out in docs/evaluation.md): {names}.")
    return lines


def _scores_by_other_rules(record: ComparisonRecord) -> list[str]:
    lines = []
    for rule in _other_rules(record):
        systems = [
            f"{row.title} "
            + ", ".join(f"{PAPER_METRICS[key]} {_number(score.mean, '{:.4f}')}" for key, score in scores.items())
            for row in record.finished
            if (scores := row.other_scores.get(rule))
        ]
        lines.append(f"The same {RULES[rule]}: {'; '.join(systems)}.")
    return lines


def _tests(record: ComparisonRecord) -> list[str]:
    first = next(row for row in record.systems if row.name == record.test.against)
    if not _has_tests(record):
        return []
    pairs = _pairs(record)
    lines = []
    if not isinstance(first, FinishedRow):
        against = f" against {first.title}" if pairs else ""
        lines = [f"No p{against}: {first.title}, against which the others are tested, has no result."]
    if not pairs:
        return lines
    why: dict[str, dict[str, list[str]]] = {}
    for key in record.metrics:
        for title, tests in pairs:
            if key in tests and (reason := tests[key].reason):
                why.setdefault(reason, {}).setdefault(PAPER_METRICS[key], []).append(title)
    against = f"against {first.title}, " if isinstance(first, FinishedRow) else ""
    lines.append(
        f"p: {record.test.name}, {against}corrected by {record.test.correction}; "
        f"{record.unit}s with equal scores are left out by the test."
    )
    if any(row.twin is not None and row.twin != first.name for row in record.finished):
        lines.append("Of a system against its twin without scans: the same test, corrected over the twins.")
    for reason, of_metric in why.items():
        untested = "; ".join(f"{metric} for {', '.join(titles)}" for metric, titles in of_metric.items())
        everywhere = sum(map(len, of_metric.values())) == len(record.metrics) * len(pairs)
        lines.append(f"No p: {reason}." if everywhere else f"No p of {untested}: {reason}.")
    return lines


def _markdown(record: ComparisonRecord) -> str:
    columns = table_columns(record)
    rows = [table_row(record, row) for row in record.rows]
    lines = [
        f"# Comparison on {_escaped(record.dataset or 'the data set')}",
        "",
        "| " + " | ".join(columns) + " |",
        "|---|" + "---:|" * (len(columns) - 1),
        *("| " + " | ".join(map(_escaped, row)) + " |" for row in rows),
        "",
        *_further_table(spread_title(record), spread_columns(record), spread_rows(record)),
        *_further_table(difference_title(record), difference_columns(record), difference_rows(record)),
        *(f"- {_escaped(line)}" for line in explanations(record)),
        "",
    ]
    if record.cautions:
        lines += ["Before you quote these numbers:", "", *(f"- {_escaped(line)}" for line in record.cautions), ""]
    lines += ["```bash", record.command, "```", ""]
    return "\n".join(lines)


def _further_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not columns:
        return []
    return [
        f"{title}:",
        "",
        "| " + " | ".join(columns) + " |",
        "|---|" + "---:|" * (len(columns) - 1),
        *("| " + " | ".join(map(_escaped, row)) + " |" for row in rows),
        "",
    ]


def summary_table(record: ComparisonRecord) -> Table:
    """The table for the terminal."""
    table = Table(caption=f"scores{whose}" if (whose := _whose(record)) else None)
    for place, name in enumerate(table_columns(record)):
        table.add_column(name, justify="right" if place else "left", overflow="fold", no_wrap=not place)
    for row in record.rows:
        table.add_row(*table_row(record, row))
    return table


def time_left(seconds: Sequence[float], systems: int) -> str:
    """What is left if the other systems take as long as those before, on average."""
    return f", about {clock(systems * sum(seconds) / len(seconds))} left" if seconds else ""


def _on_gpu(record: ComparisonRecord) -> bool:
    return any(row.device_type == "cuda" for row in record.finished)


def _p_value(test: PairedTest | None) -> str:
    if test is None or test.p_holm is None:
        return DASH
    return "< 0.0001" if test.p_holm < 1e-4 else f"{test.p_holm:.4f}"


def _number(value: float | None, form: str, unit: float = 1) -> str:
    return DASH if value is None else form.format(value / unit)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
