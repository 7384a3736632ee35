"""The processes of a distributed training: one, or those that ``torchrun`` or ``--devices`` started."""

from __future__ import annotations

import contextlib
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from .errors import RunError, UserError
from .exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_WRONG_INPUT

if TYPE_CHECKING:
    import torch
    from torch.distributed import Store

T = TypeVar("T")

# Preprocessing a large data set takes hours, in which the other processes wait. A process that died ends them all
# at once, by the hand of its launcher.
LONGEST_WAIT = timedelta(days=30)
SECONDS_TO_SPEAK = 3
FAILURES = "swin_umamba/failures"
"""Key of the store that counts those who have asked to tell the user of a failure."""


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this one is; torchrun's environment variables.

    Attributes
    ----------
    rank, world_size : int
        Among the processes of all nodes.
    local_rank, local_world_size : int
        Among those of this node.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1

    @classmethod
    def from_environment(cls) -> Ranks:
        """Read ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK`` and ``LOCAL_WORLD_SIZE``; a single process has none of them.

        Raises
        ------
        UserError
            Only some of them are set, or they are no numbers.
        """
        names = {field.name: field.name.upper() for field in fields(cls)}
        if "LOCAL_RANK" not in os.environ:
            return cls()
        try:
            return cls(**{field: int(os.environ[name]) for field, name in names.items()})
        except (KeyError, ValueError) as error:
            raise UserError(
                f"torchrun sets {', '.join(names.values())}; one is missing or no number: {error}"
            ) from None


class Processes:
    """What the processes of a training do together.

    A training in one process has the same methods, which then do nothing.

    Parameters
    ----------
    ranks
        Of this process among them.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self._store: Store | None = None
        self._questions = 0
        if ranks.world_size > 1:
            from torch import distributed

            try:
                self._store, _, _ = next(distributed.rendezvous("env://", ranks.rank, ranks.world_size))
            except (ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())
                raise RunError(
                    f"process {ranks.rank} of {ranks.world_size} does not find the others: {reason}"
                ) from error

    @property
    def rank(self) -> int:
        return self.ranks.rank

    @property
    def world_size(self) -> int:
        return self.ranks.world_size

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and speaks to the user."""
        return self.rank == 0

    def join(self, device: torch.device) -> None:
        """Start torch's process group: NCCL for GPUs, gloo for CPUs."""
        if self._store is None:
            return
        from torch import distributed

        # Objects and barriers go over the CPU in both cases.
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, store=self._store, rank=self.rank, world_size=self.world_size)

    def leave(self) -> None:
        """End torch's process group, where there is one."""
        if self._store is None:
            return
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()

    def first_does(self, compute: Callable[[], T]) -> T:
        """Let the first process compute something, and give its result to all.

        It may take hours. If it fails, the other processes end with the exit code of that error, in silence.
        """
        if self._store is None:
            return compute()
        self._questions += 1
        key = f"swin_umamba/{self._questions}"
        if not self.is_first:
            self._store.wait([key], LONGEST_WAIT)
            code, result = pickle.loads(self._store.get(key))
            if code is not None:
                end_in_silence(code)
            given: T = result
            return given
        answer: tuple[int | None, Any] = EXIT_FAILED, None
        try:
            answer = None, compute()
            return answer[1]
        except UserError:
            answer = EXIT_WRONG_INPUT, None
            raise
        finally:
            self._store.set(key, pickle.dumps(answer))  # type: ignore[arg-type] # takes bytes as well

    def may_report(self) -> bool:
        """Whether this process is the one that tells the user of a failure: the first that asks.

        The failure of one soon makes others fail that talk to it.
        """
        if self._store is None:
            return True
        with contextlib.suppress(RuntimeError):  # of torch.distributed, where the process with the store has ended
            return self._store.add(FAILURES, 1) == 1
        return False


def check_batch_size(batch_size: int, world_size: int) -> None:
    """Raise `UserError` unless the processes can share a batch equally: every image must weigh the same."""
    if batch_size % world_size:
        fitting = [count for count in range(1, batch_size + 1) if batch_size % count == 0]
        raise UserError(
            f"a batch of {batch_size} images cannot be shared equally by {world_size} processes; use "
            f"{' or '.join(map(str, fitting))} of them, or another --batch-size in a new run"
        )


def one_message(processes: Processes, run: Callable[[], None]) -> None:
    """Run what every process runs; of all their errors let one through, and end the other processes in silence."""
    try:
        run()
    except (UserError, RunError) as error:
        if processes.world_size > 1 and isinstance(error.__cause__, RuntimeError):
            # Perhaps just the lost connection to a process that has failed for a reason of its own: that one first.
            time.sleep(SECONDS_TO_SPEAK)
        if processes.may_report():
            raise
        end_in_silence(EXIT_WRONG_INPUT if isinstance(error, UserError) else EXIT_FAILED)
    except KeyboardInterrupt:
        if processes.is_first:
            raise
        raise SystemExit(EXIT_INTERRUPTED) from None


def end_in_silence(code: int) -> NoReturn:
    """End this process because of an error of which another one tells."""
    # torchrun kills all processes as soon as one has ended, also the one that is about to say why.
    time.sleep(SECONDS_TO_SPEAK)
    raise SystemExit(code)
