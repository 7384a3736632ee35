"""The job scripts of docs/ways-in/slurm.md, by a made queue: srun, scontrol and a warning before the end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .test_pages import FOLDER, make_raw_discs, shortened

SCRIPTS = dict(re.findall(r"^```sbatch (\S+)\n(.*?)^```$", (FOLDER / "slurm.md").read_text(), re.DOTALL | re.MULTILINE))

# As Slurm does: the signal goes to the command, its exit code comes back. The first job is warned after an epoch.
SRUN = """\
#!/bin/bash
"$@" &
command=$!
if [ "$SLURM_RESTART_COUNT" = 0 ]; then
    while kill -0 $command 2>/dev/null; do
        if [ -n "$(find . -name checkpoint_latest.pth)" ]; then
            kill -USR1 $command
            break
        fi
        sleep 0.05
    done
fi
wait $command
"""

SCONTROL = """\
#!/bin/bash
echo "$@" >> requeued
"""


def submit(script: str, folder: Path, epochs: int) -> tuple[list[int], str]:
    """Run a job as often as it asks for it, five times at most: its exit codes, and what the last one said."""
    tools = folder / "tools"
    tools.mkdir()
    for name, content in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tools / name).write_text(content)
        (tools / name).chmod(0o755)
    path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "SLURM_JOB_ID": "42"}
    codes = []
    while len(codes) < 5:
        environment["SLURM_RESTART_COUNT"] = str(len(codes))
        command = ["bash", "-c", shortened(script, epochs)]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        codes.append(done.returncode)
        asked = folder / "requeued"
        if not asked.exists():
            assert done.returncode == 0, done.stdout + done.stderr
            break
        assert asked.read_text() == "requeue 42\n", done.stderr
        asked.unlink()
    return codes, done.stdout


@pytest.mark.slow
def test_a_training_is_queued_again_until_it_is_done(tmp_path):
    make_raw_discs(tmp_path)
    # More epochs than pass before the signal is there.
    codes, shown = submit(SCRIPTS["train.sh"], tmp_path, epochs=4)
    assert codes == [75, 0]
    assert "resumed after epoch" in shown
    metrics = json.loads((tmp_path / "results" / "discs" / "metrics.json").read_text())
    assert len(metrics["training"]["train_loss"]) == 4


@pytest.mark.slow
def test_a_comparison_is_queued_again_until_it_is_done(tmp_path):
    make_raw_discs(tmp_path)
    assert submit(SCRIPTS["compare.sh"], tmp_path, epochs=4)[0] == [75, 0]
    assert (tmp_path / "results" / "comparison" / "comparison.csv").exists()


def test_scripts_end_before_the_job_does():
    for script in SCRIPTS.values():
        hours, limit = re.search(r"--time=(\d+):00:00", script)[1], re.search(r"--time-limit (\d+):(\d+):00", script)
        assert int(limit[1]) * 60 + int(limit[2]) < int(hours) * 60
