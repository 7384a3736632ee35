"""Calls functions of the module for another process, so that each instruction set has a process of its own.

``python worker.py MODULE``: pickled (name, arguments, options) come in, the result or the exception goes out.
"""

from __future__ import annotations

import importlib.util
import pickle
import sys


def main(path: str) -> None:
    spec = importlib.util.spec_from_file_location("swin_umamba_kernels", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
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
