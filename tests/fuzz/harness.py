"""Reading damaged files in a process of its own, with limits of memory and time, that nothing may start from.

A module beside this one has a class ``Target``: made with an empty folder, its ``make(generator)`` writes a damaged
file, and each function of its ``readers`` takes the file's path, and ends or raises a `UserError` of one line, or of
one for each fault. The module is imported by its path, with absolute imports alone. What a reader imports at its first
use must have been imported when the target is made.
"""

from __future__ import annotations

import codecs
import collections
import importlib.util
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

SECONDS, BYTES, CHARACTERS = 20, 2**31, 300
# What a file that runs code cannot do without.
FORBIDDEN = ("exec", "compile", "import", "pickle.find_class", "os.", "subprocess.", "socket.", "ctypes.", "shutil.")
ALLOWED = ("os.listdir", "os.scandir")


@dataclass
class Counts:
    """How the readings ended.

    Attributes
    ----------
    ended : collections.Counter
        By the reader and the outcome, ``right`` or ``refused``.
    failures : list of str
        What broke a rule, with its seed.
    seconds, megabytes : float
        Of the longest reading, and of the process at its largest.
    """

    ended: collections.Counter = field(default_factory=collections.Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    megabytes: float = 0.0

    def add(self, seed: int, outcome: dict) -> None:
        self.seconds = max(self.seconds, outcome["seconds"])
        self.megabytes = max(self.megabytes, outcome["megabytes"])
        message, wrong = outcome["message"], [line for line in outcome["lines"] if not _is_good(line)]
        if outcome["kind"] == "failed" or outcome["heard"]:
            self.failures.append(f"seed {seed}: {message} {outcome['heard'] or ''}")
        elif outcome["printed"]:
            self.failures.append(f"seed {seed}: a library prints {outcome['printed']!r}")
        elif wrong:
            self.failures.append(f"seed {seed}: a line of {len(wrong[0])} characters: {wrong[0][:500]!r}")
        elif outcome["seconds"] > SECONDS:
            self.failures.append(f"seed {seed}: {outcome['seconds']:.0f} s")
        else:
            self.ended[outcome["what"], outcome["kind"]] += 1

    def __str__(self) -> str:
        ended = ", ".join(f"{what} {kind} {count}" for (what, kind), count in sorted(self.ended.items()))
        return (
            f"{self.ended.total()} ended well ({ended}), {len(self.failures)} failed; longest {self.seconds:.1f} s, "
            f"largest process {self.megabytes:.0f} MB"
        )


def _is_good(line: str) -> bool:
    return len(line) <= CHARACTERS and line.isprintable()


def fuzz(
    module: Path, seeds: Iterable[int], budget: float = float("inf"), workers: int = 1, **environment: str
) -> Counts:
    """Read a damaged file for each seed, or until ``budget`` seconds are over, and count how that ended.

    Parameters
    ----------
    module
        Has the target.
    seeds
        Of the generators of random numbers, one for each file.
    budget
        Without the start of the processes.
    workers
        Processes that share the seeds.
    environment
        Variables for them.
    """
    counts, lock, left = Counts(), threading.Lock(), iter(seeds)

    def work() -> None:
        worker = _Worker(module, environment)
        try:
            worker.start()
            end = time.monotonic() + budget
            while time.monotonic() < end:
                with lock:
                    seed = next(left, None)
                if seed is None:
                    return
                outcome = worker.read(seed)
                with lock:
                    counts.add(seed, outcome)
        finally:
            worker.stop()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts


class _Worker:
    """The process, which is started again where it does not survive a file."""

    def __init__(self, module: Path, environment: dict[str, str]) -> None:
        self.module = module
        self.environment = environment
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, __file__, str(self.module)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, **pipes, env=os.environ | self.environment, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def read(self, seed: int) -> dict:
        if self.process is None:
            self.start()
        self.process.stdin.write(f"{seed}\n")
        self.process.stdin.flush()
        timer = threading.Timer(2 * SECONDS, self.process.kill)
        timer.start()
        answer = self.process.stdout.readline()
        timer.cancel()
        if answer:
            return json.loads(answer)
        message = f"the process ended with {self.process.wait()}"
        self.process = None
        numbers = {"seconds": 0.0, "megabytes": 0.0}
        return {"kind": "failed", "message": message, "lines": [], "heard": [], "printed": "", **numbers}

    def stop(self) -> None:
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()


def _serve(module: Path) -> None:
    """Read what the numbers on the standard input stand for, and tell of each in a line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    heard: list[str] | None = None

    def hear(event: str, arguments: tuple) -> None:
        harmless = event in allowed or arguments[:1] == (b"_getframe()",)  # of Cython, for a traceback
        if heard is not None and event.startswith(FORBIDDEN) and not harmless:
            heard.append(f"{event} {arguments}"[:200])

    for warning in (UserWarning, RuntimeWarning, FutureWarning):  # which users see, once
        warnings.simplefilter("always", warning)
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for imports of tests
    from swin_umamba.common.errors import UserError

    for codec in ("cp437", "cp1252", "raw_unicode_escape", "ascii", "latin1"):  # of zipfile, pickletools and tifffile
        codecs.lookup(codec)
    spec = importlib.util.spec_from_file_location(module.stem, module)
    target_module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(target_module)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as printed:
        os.chdir(folder)
        target = target_module.Target(Path(folder))
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
        allowed = (*ALLOWED, *getattr(target, "ALLOWED", ()))
        sys.addaudithook(hear)
        for descriptor in (1, 2):  # libraries print
            os.dup2(printed.fileno(), descriptor)
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            generator = random.Random(int(line))
            path = target.make(generator)
            reader = generator.choice(target.readers)
            outcome = {"what": reader.__name__, "kind": "right", "message": "", "lines": []}
            start = time.monotonic()
            try:
                heard = []
                try:
                    reader(path)
                finally:
                    events, heard = heard, None
            except UserError as error:
                outcome |= {"kind": "refused", "lines": list(error.lines)}
            except BaseException:
                outcome |= {"kind": "failed", "message": traceback.format_exc()[-1500:]}
            outcome |= {"seconds": time.monotonic() - start, "heard": events}
            outcome["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            sys.stdout.flush()
            sys.stderr.flush()
            printed.seek(0)
            outcome["printed"] = printed.read().decode(errors="replace")[:500]
            os.ftruncate(printed.fileno(), 0)
            printed.seek(0)
            print(json.dumps(outcome), file=answers, flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
