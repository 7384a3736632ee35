"""What is measured of a training beside its scores: operations, time of a step, peak memory."""

from __future__ import annotations

import contextlib
import statistics
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.errors import RunError, last_line
from ..common.files import write_json
from ..common.typed_json import from_json, load_json, shown

if TYPE_CHECKING:
    import torch

NAME = "measurements.json"
"""Name of the file in a run folder."""


@dataclass(frozen=True)
class Epoch:
    """One epoch of a training.

    Attributes
    ----------
    step_seconds : float
        Median over its steps of the time from a batch to the new weights, augmentation not included.
    peak_memory : int
        Bytes, since the training began in this process; see `peak_memory`.
    joules : float or None
        Energy of the epoch, where the machine tells it; see `swin_umamba.comparison.energy.EnergyMeter`.
    """

    step_seconds: float
    peak_memory: int
    joules: float | None = None


@dataclass(frozen=True)
class _Stored:
    """What the file holds of `Measurements`."""

    parameters: int | None
    multiply_accumulates: int | None
    scan: int | None
    epochs: dict[str, Epoch]


@dataclass
class Measurements:
    """Measurements of one training, of all processes that had a part in it.

    Attributes
    ----------
    parameters, multiply_accumulates, scan : int or None
        See `swin_umamba.complexity.Complexity`, for one image of the patch size; ``None`` before the training.
    epochs : dict
        From the number of an epoch, counted from 0.
    """

    parameters: int | None = None
    multiply_accumulates: int | None = None
    scan: int | None = None
    epochs: dict[int, Epoch] = field(default_factory=dict)

    @property
    def step_seconds(self) -> float | None:
        """Median over the epochs."""
        return statistics.median(epoch.step_seconds for epoch in self.epochs.values()) if self.epochs else None

    @property
    def peak_memory(self) -> int | None:
        """Largest of the epochs, in bytes."""
        return max((epoch.peak_memory for epoch in self.epochs.values()), default=None)

    @property
    def joules(self) -> float | None:
        """Energy of all epochs; ``None`` where some were not measured."""
        joules = [epoch.joules for epoch in self.epochs.values()]
        measured = [value for value in joules if value is not None]
        return sum(measured) if measured and len(measured) == len(joules) else None

    @classmethod
    def read(cls, run: Path) -> Measurements:
        """Read those of a run folder; without any, all is ``None``.

        Raises
        ------
        RunError
            The file is damaged.
        """
        path = run / NAME
        if not path.exists():
            return cls()
        try:
            content = load_json(path)
            stored = from_json(_Stored, content)
            if unknown := set(content) - set(vars(stored)):
                raise ValueError(f"it has the unknown entry {shown(min(unknown))}")
            return cls(**{**vars(stored), "epochs": {int(number): epoch for number, epoch in stored.epochs.items()}})
        except (OSError, ValueError) as error:
            raise RunError(f"cannot read {path}: {last_line(error)}; remove the file to measure anew") from error

    def write(self, run: Path) -> None:
        """Write them into a run folder, atomically."""
        write_json(run / NAME, asdict(self))


def reset_peak_memory(device: torch.device) -> None:
    """Let `peak_memory` forget what was before, such as preprocessing; of main memory only Linux can."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # see man 5 proc


def peak_memory(device: torch.device) -> int:
    """Largest memory of this process, in bytes: of tensors on a GPU, or else resident in main memory."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        # Linux gives a new process the ru_maxrss of the one that started it; VmHWM is its own.
        lines = (line.split() for line in status.read_text().splitlines())
        return 1024 * next(int(words[1]) for words in lines if words[:1] == ["VmHWM:"])
    import resource

    maximum = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return maximum if sys.platform == "darwin" else 1024 * maximum
