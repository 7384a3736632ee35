"""No help waits for what a job needs."""

import subprocess
import sys

SLOW = (
    "torch",
    "numpy",
    "scipy",
    "matplotlib",
    "nnunetv2",
    "monai",
    "SimpleITK",
    "nibabel",
    "skimage",
    "rich",
    "jinja2",
)


def test_the_parsers_of_all_commands_load_no_library():
    program = f"import sys, swin_umamba.commands.cli; print(*(name for name in {SLOW} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
