"""What docs/install.md says of forked processes."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, torch, swin_umamba_ext
torch.set_num_threads(2)
x = torch.randn(4, 96, 40, 40)
wanted = swin_umamba_ext.cross_scan(x)
child = os.fork()
if child == 0:
    torch.set_num_threads(1)
    os._exit(0 if torch.equal(swin_umamba_ext.cross_scan(x), wanted) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_computes_on_one_thread() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert done.stdout == "0\n", done.stderr
