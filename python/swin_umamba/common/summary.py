"""What a command has done, for programs: behind ``--json``, one line of JSON on the standard output.

A job says by `note` what there is to know. `summarised` prints it when the command ends, however it ends, and sends all
else that is printed to the standard error, that of other processes and of libraries too.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping

TYPE_CHECKING = False  # typing has one too, but no help waits for that
if TYPE_CHECKING:
    from typing import Any

_noted: dict[str, Any] = {}


def note(**facts: Any) -> None:
    """Say something of what a command does: text, numbers, paths, and lists, objects and dataclasses of these.

    What has been said by the same name before is forgotten. Without ``--json`` nobody reads it.
    """
    _noted.update(facts)


@contextlib.contextmanager
def summarised(command: str) -> Iterator[dict[str, Any]]:
    """Keep the standard output for the summary of what is done in the ``with`` block.

    Parameters
    ----------
    command
        Its name.

    Yields
    ------
    dict
        For ``exit_code`` and, of a command that failed, ``error``. `SystemExit` says the code by itself; of other
        exceptions no summary is printed.
    """
    start = time.monotonic()
    end: dict[str, Any] = {}
    _noted.clear()
    sys.stdout.flush()
    out, kept = sys.stdout, os.dup(1)
    os.dup2(2, 1)
    # Python's own stream as well: a test runner or a notebook may hold another than 1.
    sys.stdout = sys.stderr
    is_over = False
    try:
        yield end
        is_over = True
    except SystemExit as leaving:
        end.setdefault("exit_code", leaving.code)
        is_over = True
        raise
    finally:
        sys.stdout.flush()
        sys.stdout = out
        os.dup2(kept, 1)
        os.close(kept)
        # Of several processes the first speaks, as `torchrun` numbers them.
        if is_over and os.environ.get("RANK", "0") == "0":
            _print({"command": command, **end, **_noted, "seconds": round(time.monotonic() - start, 3)})


def _print(facts: dict[str, Any]) -> None:
    # Imported late: a help loads neither.
    import json

    from .typed_json import as_json

    # In ASCII: not every stream, and not every name of a file, is UTF-8.
    print(json.dumps(_finite(as_json(facts))), flush=True)


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null."""
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
