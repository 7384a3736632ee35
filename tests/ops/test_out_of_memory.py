"""A call that memory is too short for says so."""

import subprocess
import sys

SCRIPT = """
import resource
import torch, swin_umamba_ext
x = torch.zeros(1, 64, 1024, 1024)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
try:
    swin_umamba_ext.cross_scan(x)
except RuntimeError as error:
    print(error)
"""


def test_the_shape_is_named():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert "cannot have a new tensor of shape (1, 4, 64, 1048576): " in done.stdout
    assert "memory" in done.stdout
