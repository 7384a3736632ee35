"""A command whose output nobody reads to its end."""

import subprocess
import sys

WORK = """
from swin_umamba.common.console import capture_output
with capture_output(None) as console:
    for number in range(20000):
        console.print("line", number)
open("done", "w").close()
"""
COMMAND = """
import argparse, sys
from swin_umamba.common.exit_codes import execute
sys.exit(execute(lambda args: print("line\\n" * 100000), argparse.Namespace(), "command"))
"""


def run_and_leave(script, folder):
    """Run a script, read one line of its output and close it."""
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().startswith("line")
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    return process.wait(timeout=60), errors


def test_a_run_goes_on_when_nobody_reads_it(tmp_path):
    assert run_and_leave(WORK, tmp_path) == (0, "")
    assert (tmp_path / "done").exists()


def test_a_command_ends_quietly_when_nobody_reads_it(tmp_path):
    assert run_and_leave(COMMAND, tmp_path) == (1, "")
