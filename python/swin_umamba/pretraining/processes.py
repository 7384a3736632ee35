"""The processes that train together, as torchrun starts them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ..command import EXIT_FAILED, EXIT_WRONG_INPUT
from ..device import choose_device
from ..errors import RunError, UserError

T = TypeVar("T")
# The first process alone opens all images before the others go on.
TIMEOUT = timedelta(hours=2)


@dataclass(frozen=True)
class Processes:
    """This process among those that train together: one for each device, or one alone."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def first_does(self, function: Callable[[], T]) -> T:
        """Let the first process call a function, and all have its result.

        Its `UserError` or `RunError` is raised in the first process, and the others end with its exit code, so that
        it is said once.
        """
        outcome: list[Any] = [None, None]
        if self.is_first:
            try:
                outcome[0] = function()
            except (UserError, RunError) as error:
                outcome[1] = error
        if self.count > 1:
            dist.broadcast_object_list(outcome, device=self.device)
        if outcome[1] is not None:
            if self.is_first:
                raise outcome[1]
            raise SystemExit(EXIT_WRONG_INPUT if isinstance(outcome[1], UserError) else EXIT_FAILED)
        return outcome[0]

    def sum(self, values: Tensor) -> Tensor:
        """Add up a tensor over the processes, in place."""
        if self.count > 1:
            dist.all_reduce(values)
        return values


@contextlib.contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Join the processes of ``torchrun``, or be the only one.

    Parameters
    ----------
    device : str
        ``auto``, ``cpu`` or ``cuda``; each process takes the GPU of its local rank. A single process may also name
        its GPU, ``cuda:N``.

    Raises
    ------
    UserError
        The device is not there, or there are fewer GPUs than processes on this machine.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(0, 1, choose_device(device))
        return
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda"):
        raise UserError(f"--device {device}: with torchrun each process takes the GPU of its local rank; use cuda")
    chosen = choose_device(device if device == "cpu" else f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield Processes(dist.get_rank(), count, chosen)
    finally:
        dist.destroy_process_group()
