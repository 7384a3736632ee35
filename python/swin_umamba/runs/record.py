"""What a finished run has written down about itself: the content of ``metrics.json``, key by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..checkpoints.report import LoadReport
from ..common.errors import UserError
from ..common.files import write_json
from ..common.typed_json import Sparse, as_json, read_json, shown
from ..paper.protocol import RULES
from .folder import RunFolder
from .kind import want_run_of
from .settings import Settings


@dataclass(frozen=True)
class Statistics(Sparse):
    """Of the scores of the held-out cases; the standard deviation is divided by n. Former runs have but the first two.

    They are of one class, or of the means over classes.
    """

    mean: float
    std: float
    median: float | None = None
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True, kw_only=True)
class MetricScores(Statistics):
    """One metric, as a whole and of each class."""

    per_class: dict[str, Statistics]


@dataclass(frozen=True)
class CaseRecord(Sparse):
    """The scores of one case by class, and the classes that neither mask has.

    ``further`` has the other measures by their keys, ``missed`` and ``invented`` the classes that the reference alone
    has, and the prediction alone. Former runs do not have them.
    """

    dsc: dict[str, float]
    nsd: dict[str, float]
    absent: tuple[str, ...] = ()
    further: dict[str, dict[str, float]] | None = None
    missed: tuple[str, ...] | None = None
    invented: tuple[str, ...] | None = None

    @property
    def by_metric(self) -> dict[str, dict[str, float]]:
        return {"dsc": self.dsc, "nsd": self.nsd, **(self.further or {})}


@dataclass(frozen=True)
class HeldOutScores(Sparse):
    """What `swin_umamba.evaluation.held_out.summarise` gives."""

    cases: int
    dsc: MetricScores
    nsd: MetricScores
    per_case: dict[str, CaseRecord]
    further: dict[str, MetricScores] | None = None

    def __post_init__(self) -> None:
        if not self.per_case:
            raise ValueError("per_case is empty; a run without held-out cases has null for held_out")
        classes = set(self.classes)
        for case, scores in self.per_case.items():
            if set(scores.further or ()) != set(self.further or ()):
                found, others = sorted(scores.further or ()), sorted(self.further or ())
                raise ValueError(f"per_case: the case {shown(case)} has further {shown(found)}, not {shown(others)}")
            for by_class in scores.by_metric.values():
                if set(by_class) != classes or not classes:
                    found, others = sorted(by_class), sorted(classes)
                    raise ValueError(
                        f"per_case: the case {shown(case)} has the classes {shown(found)}, others have {shown(others)}"
                    )
        for metric, of_metric in self.by_metric.items():
            if set(of_metric.per_class) != classes:
                raise ValueError(f"{metric} has no per_class of the classes {shown(sorted(classes))}")

    @property
    def classes(self) -> list[str]:
        """Their names, in the order of their labels."""
        return list(next(iter(self.per_case.values())).dsc)

    @property
    def by_metric(self) -> dict[str, MetricScores]:
        return {"dsc": self.dsc, "nsd": self.nsd, **(self.further or {})}

    def choose(self, measures: Sequence[str]) -> dict[str, MetricScores]:
        """Some of them, in that order; raise `UserError` for one that a former version has not computed."""
        if missing := [key for key in measures if key not in self.by_metric]:
            raise UserError(
                f"--metrics {missing[0]}: a former version made this run, and did not compute it; its command with "
                f"--resume scores again"
            )
        return {key: self.by_metric[key] for key in measures}


@dataclass(frozen=True)
class GroupRecord:
    """Which cases belong together, as `Settings.group_by` says.

    Attributes
    ----------
    of_scored : dict
        The group of each held-out case.
    trained : int
        How many groups were trained on.
    """

    of_scored: dict[str, str]
    trained: int

    @property
    def scored(self) -> int:
        """How many groups were scored."""
        return len(set(self.of_scored.values()))


@dataclass(frozen=True)
class PartRecord(Sparse):
    """The cases of one part of the data, their groups where the user has said them, and their pixels by class."""

    cases: int
    pixels: dict[str, int]
    groups: int | None = None


@dataclass(frozen=True)
class DataRecord:
    """What `swin_umamba.evaluation.content.describe_content` gives.

    Attributes
    ----------
    channels : tuple of str
        Their names.
    sizes, spacings : tuple
        The smallest and the largest of each axis over all cases; spacings in the unit of the images.
    parts : dict
        ``training``, ``validation`` and ``test``, those that there are.
    scored_pixels : dict
        The pixels of each class in the reference, by case that is scored.
    """

    channels: tuple[str, ...]
    sizes: tuple[tuple[int, ...], ...]
    spacings: tuple[tuple[float, ...], ...]
    parts: dict[str, PartRecord]
    scored_pixels: dict[str, dict[str, int]]

    @property
    def labels(self) -> list[str]:
        """The classes of all parts, in their order."""
        return list(dict.fromkeys(name for part in self.parts.values() for name in part.pixels))


@dataclass(frozen=True)
class TrainingRecord:
    """The course of a training. The curves have one value for each epoch; ``None`` was no finite number.

    ``batch_size`` is of all ``processes`` together.
    """

    trainer: str
    parameters: int
    batch_size: int
    patch_size: tuple[int, ...]
    train_loss: tuple[float | None, ...]
    validation_loss: tuple[float | None, ...]
    validation_dice: tuple[float | None, ...]
    learning_rate: tuple[float | None, ...]
    processes: int = 1
    pretrained: LoadReport | None = None

    def __post_init__(self) -> None:
        curves = self.train_loss, self.validation_loss, self.validation_dice, self.learning_rate
        if len({len(curve) for curve in curves}) > 1 or not curves[0]:
            raise ValueError(f"train_loss: the curves have {[len(curve) for curve in curves]} epochs")

    @property
    def first_learning_rate(self) -> float | None:
        return self.learning_rate[0]


@dataclass(frozen=True)
class Timings(Sparse):
    """Seconds. ``training`` and ``epochs`` count every epoch of a resumed run, the rest what happened since then."""

    preprocessing: float | None = None
    prediction: float | None = None
    scoring: float | None = None
    total: float = field(kw_only=True)
    training: float = field(kw_only=True)
    epochs: tuple[float, ...] = field(kw_only=True)

    @property
    def phases(self) -> dict[str, float]:
        """Those that there were, by name."""
        names = "preprocessing", "prediction", "scoring", "training"
        return {name: seconds for name in names if (seconds := getattr(self, name)) is not None}


@dataclass(frozen=True)
class PaperStatistics:
    """Of the n cases that count; ``None`` where there are none."""

    mean: float | None
    std: float | None
    n: int


@dataclass(frozen=True)
class PaperScore(PaperStatistics):
    """One score of the paper's metric, as a whole and of each class."""

    per_class: dict[str, PaperStatistics]


@dataclass(frozen=True)
class EvaluationSettings(Sparse):
    """What the numbers depend on."""

    as_published: bool | None = None
    tolerance_mm: dict[str, float] | None = None
    tolerance_pixels: float | None = None
    reference_masks: str | None = None
    prediction_masks: str | None = None
    versions: dict[str, str] | None = None


@dataclass(frozen=True)
class PaperEvaluation(Sparse):
    """The paper's metric of the test cases: what `swin_umamba.evaluation.Evaluation.summary` gives."""

    metric: str
    n_cases: int
    dsc: PaperScore | None = None
    nsd: PaperScore | None = None
    f1: PaperScore | None = None
    counts: dict[str, int] | None = None
    settings: EvaluationSettings = EvaluationSettings()
    not_scored_without_reference: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if list(self.scores) not in (["f1"], ["dsc", "nsd"]):
            raise ValueError(
                f"metric is {shown(self.metric)}, but the scores are {shown(list(self.scores))}, not dsc and nsd, or f1"
            )

    @property
    def scores(self) -> dict[str, PaperScore]:
        """Those that there are, by metric."""
        scores = {"dsc": self.dsc, "nsd": self.nsd, "f1": self.f1}
        return {key: score for key, score in scores.items() if score is not None}


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """Scores, course, settings, times and versions of a run.

    Attributes
    ----------
    held_out : HeldOutScores or None
        ``None`` where no case was held out.
    held_out_from : str or None
        ``"labelsTs"`` or ``"validation"``. Former runs do not say it, nor ``finished`` and ``device_type``.
    finished : str or None
        The time of day, as ISO 8601 has it.
    threads : int
        Those of the CPU.
    precision : str or None
        What the network computed in, ``"bfloat16"`` for instance; former runs do not say it.
    evaluation_as_published, evaluation : PaperEvaluation or None
        By the rules in `RULES`; ``None`` where there is no score.
    groups : GroupRecord or None
        ``None`` where every case is by itself.
    suspected_groups : str or None
        What the names of the cases suggest, where no groups were said and a suggested group is on both sides.
    data : DataRecord or None
        What was trained on and scored.
    checkpoint_sha256 : str or None
        Of the weights that the run ended with.
    commit : str or None
        Of the checkout that the program ran from, with ``-dirty`` if it was changed; ``None`` for an installed one.
    peak_memory_bytes : int or None
        See `swin_umamba.comparison.measurements.peak_memory`. Former runs have none of these four.
    not_evaluated : dict
        By rule, why there is no score where there should be one.
    """

    dataset: str
    model: str
    seed: int | None = None
    held_out: HeldOutScores | None
    held_out_from: str | None = None
    training: TrainingRecord
    settings: Settings
    seconds: Timings
    finished: str | None = None
    device: str
    device_type: str | None = None
    precision: str | None = None
    threads: int
    versions: dict[str, str]
    evaluation_as_published: PaperEvaluation | None = None
    evaluation: PaperEvaluation | None = None
    not_evaluated: Mapping[str, str] = field(default_factory=dict)
    groups: GroupRecord | None = None
    suspected_groups: str | None = None
    data: DataRecord | None = None
    checkpoint_sha256: str | None = None
    commit: str | None = None
    peak_memory_bytes: int | None = None

    def __post_init__(self) -> None:
        classes = [score.per_class for evaluation in self.evaluations.values() for score in evaluation.scores.values()]
        if self.groups and self.held_out and (strangers := set(self.held_out.per_case) ^ set(self.groups.of_scored)):
            raise ValueError(f"groups: of_scored and the scored cases differ in {shown(min(strangers))}")
        for other in classes[1:]:
            if set(other) != set(classes[0]):
                raise ValueError(f"evaluation: a score has the classes {shown(sorted(other))}, another has others")

    @property
    def has_dependent_cases(self) -> bool:
        """Whether the cases are known to be no sample of anything: slices of one brain. They have no p and interval."""
        return self.is_sample and self.settings.sample == "brain"

    @property
    def is_sample(self) -> bool:
        return self.settings.dataset is None

    @property
    def evaluations(self) -> dict[str, PaperEvaluation]:
        """The paper's metric by the rules of `RULES` by which it was computed, in their order."""
        return {rule: evaluation for rule in RULES if (evaluation := getattr(self, rule)) is not None}


@dataclass(frozen=True)
class FinishedRun:
    """The folder of a run, and what it says about itself."""

    folder: RunFolder
    record: RunRecord

    @property
    def dataset_folder(self) -> Path:
        """Where the raw data set was when the run was trained."""
        settings = self.record.settings
        return self.folder.raw / self.record.dataset if settings.dataset is None else Path(settings.dataset)

    def why_no_score(self, rule: str) -> str | None:
        """Why there is no score of the paper's metric by a rule of `RULES`; ``None`` if there is, or should be none."""
        if rule in self.record.evaluations:
            return None
        if reason := self.record.not_evaluated.get(rule):
            return reason
        if self.record.evaluations:
            again = f"swin-umamba train --resume --output {self.folder.root}"
            return f"this run has not computed it; {again} predicts and scores again"
        return None


def write_record(folder: RunFolder, record: RunRecord) -> None:
    """Write ``metrics.json``, atomically."""
    write_json(folder.metrics, as_json(record))


def read_run(root: Path) -> FinishedRun:
    """Read the record of a run, of any version.

    Parameters
    ----------
    root
        The results folder.

    Raises
    ------
    UserError
        The folder holds no finished training, or its ``metrics.json`` is damaged.
    """
    folder = RunFolder(root.expanduser().resolve())
    if not folder.root.is_dir():
        raise UserError(f"{root} is not a folder; give the results folder of a run")
    want_run_of("train", folder.root)
    if not folder.metrics.exists():
        if folder.settings.exists():
            raise UserError(
                f"{root} holds a run that is not finished: it has no metrics.json; "
                f"finish it with: swin-umamba train --resume --output {root}"
            )
        raise UserError(f"{root} holds no run: it has neither metrics.json nor settings.json")
    try:
        return FinishedRun(folder, read_json(RunRecord, folder.metrics))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder.metrics} is damaged: {error}; write it anew with: swin-umamba train --resume --output {root}"
        ) from error
