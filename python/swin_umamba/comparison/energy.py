"""Energy as the machine counts it: RAPL of processors (Linux), NVML of NVIDIA's GPUs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

POWERCAP = Path("/sys/class/powercap")
MICRO, MILLI = 1e-6, 1e-3


@dataclass
class _Counter:
    """One processor's counter in microjoules, which starts again from 0 after ``largest``."""

    path: Path
    largest: int
    last: int


class EnergyMeter:
    """Counts the energy of the machine's processors, and of the GPU that trains, from its construction on.

    The counters are of whole devices: what other processes do there is counted too.

    Parameters
    ----------
    device : torch.device
        Where the training computes.
    powercap : pathlib.Path
        Where Linux has RAPL's counters, one folder for each processor. Many systems let only root read them.
    """

    def __init__(self, device: torch.device, powercap: Path = POWERCAP) -> None:
        self._counters = _processors(powercap)
        self._gpu = _gpu_energy(device)
        self._last_gpu = 0 if self._gpu is None else self._gpu()

    def joules(self) -> float | None:
        """Energy since the last call, or since the construction; ``None`` where nothing tells it."""
        if not self._counters and self._gpu is None:
            return None
        total = 0.0
        for counter in self._counters:
            now = _read(counter.path)
            if now is None:
                return None
            total += MICRO * ((now - counter.last) % (counter.largest + 1))
            counter.last = now
        if self._gpu is not None:
            now = self._gpu()
            total += MILLI * (now - self._last_gpu)
            self._last_gpu = now
        return total


def _processors(powercap: Path) -> list[_Counter]:
    counters = []
    # One colon: a whole processor; two: a part of it, such as its cores, that is counted with it.
    for folder in sorted(powercap.glob("*rapl:*")):
        if folder.name.count(":") != 1:
            continue
        largest, now = _read(folder / "max_energy_range_uj"), _read(folder / "energy_uj")
        if largest is not None and now is not None:
            counters.append(_Counter(folder / "energy_uj", largest, now))
    return counters


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _gpu_energy(device: torch.device) -> Callable[[], int] | None:
    """A function that reads the GPU's counter, in millijoules."""
    if device.type != "cuda":
        return None
    try:
        import pynvml

        pynvml.nvmlInit()
        import torch

        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    # The package may be missing, and old GPUs do not count.
    except Exception:
        return None
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
