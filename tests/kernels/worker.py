"""Calls functions of the module for another process, so that each instruction set has a process of its own.

``python worker.py MODULE``: pickled (name, arguments, options) come in, the result or the exception goes out.
"""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path


def main(path: str) -> None:
    sys.path.insert(0, str(Path(path).parent))
    module = importlib.import_module(Path(path).name.partition(".")[0])
    while True:
        try:
            name, arguments, options = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = getattr(module, name)(*arguments, **options)
        except Exception as error:
            answer = error
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
