#!/usr/bin/env bash
# torch 2.13.0: an exception that is raised while torch.save writes to a file object, as KeyboardInterrupt is by Ctrl-C or what a
# handler of SIGTERM raises, is replaced by RuntimeError "unexpected pos" from the end of the zip archive; the true one is only its
# __context__. A program that ends well on an interruption takes it for a failure, if it comes during a checkpoint.
#
# Seen: the third write raises KeyboardInterrupt, torch.save raises RuntimeError; pickle.dump to the same object lets it through.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import pickle

import torch


class Interrupted(io.BytesIO):
    """A file at whose third writing somebody presses Ctrl-C."""

    writings = 0

    def write(self, data):
        self.writings += 1
        if self.writings == 3:
            raise KeyboardInterrupt
        return super().write(data)


def raised_by(save):
    try:
        save({"weight": torch.arange(100_000.0), "more": [bytes(100_000)] * 5}, Interrupted())
    except BaseException as error:
        return error


print("torch", torch.__version__)
error, plain = raised_by(torch.save), raised_by(pickle.dump)
print("torch.save:", type(error).__name__, str(error).splitlines()[0], "context:", type(error.__context__).__name__)
print("pickle.dump:", type(plain).__name__)
assert isinstance(plain, KeyboardInterrupt)
assert isinstance(error, RuntimeError) and "unexpected pos" in str(error), "changed: another error"
assert isinstance(error.__context__, KeyboardInterrupt)
PYTHON
