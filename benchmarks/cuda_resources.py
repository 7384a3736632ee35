"""Compile every CUDA kernel for every architecture and write what the compiler says of registers and spills.

    python benchmarks/cuda_resources.py [--arch sm_90 ...] [--output benchmarks/results/cuda_resources.txt]

Needs nvcc, no GPU. A warning is an error, and so is a spill.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURES = ("sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
FLAGS = ("-std=c++17", "-O3", "--expt-relaxed-constexpr", "-Xptxas", "-v", "-Xcompiler", "-Wall,-Wextra")
ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)' for '\w+'\n.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads\n"
    r".*?Used (?P<registers>\d+) registers",
    re.DOTALL,
)


def nvcc_version(nvcc: str) -> str:
    version = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"release [\d.]+, V([\d.]+)", version)[1]


def short_name(mangled: str) -> str:
    """The kernel and its template arguments, without namespaces and parameters."""
    name = subprocess.run(["c++filt", mangled], capture_output=True, text=True, check=True).stdout.strip()
    name = re.sub(r"\(anonymous namespace\)::|swin_umamba::|cuda::|_GLOBAL__N__\w+::", "", name)
    return re.sub(r"^void ", "", name.rsplit("(", 1)[0]).replace("(bool)", "")


def compile_one(nvcc: str, source: Path, architecture: str, folder: Path) -> list[dict[str, str]]:
    """Resources of the kernels of one file; raises ``SystemExit`` on an error or a warning."""
    command = [nvcc, *FLAGS, f"-arch={architecture}", "-c", str(source), "-o", str(folder / "kernel.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    report = done.stdout + done.stderr
    if done.returncode or "warning" in report:
        sys.exit(f"{source.name} for {architecture}:\n{report}")
    return [match.groupdict() for match in ENTRY.finditer(report)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", nargs="+", default=ARCHITECTURES, metavar="SM")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/cuda_resources.txt")
    arguments = parser.parse_args()
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        sys.exit("nvcc was not found on PATH; install the CUDA toolkit (version 12 or later).")
    lines = [
        f"nvcc {nvcc_version(nvcc)}, {' '.join(FLAGS)}",
        f"{'architecture':13}{'file':28}{'registers':>9}{'stack':>7}{'stores':>8}{'loads':>7}  kernel",
    ]
    spilled = []
    with tempfile.TemporaryDirectory() as folder:
        for architecture in arguments.arch:
            for source in sorted((ROOT / "csrc/kernels/cuda").glob("*.cu")):
                print(f"{architecture} {source.name}", file=sys.stderr, flush=True)
                for kernel in compile_one(nvcc, source, architecture, Path(folder)):
                    name = short_name(kernel["name"])
                    numbers = "{registers:>9}{stack:>7}{stores:>8}{loads:>7}".format(**kernel)
                    lines.append(f"{architecture:13}{source.stem:28}{numbers}  {name}")
                    if int(kernel["stores"]) + int(kernel["loads"]):
                        spilled.append(lines[-1])
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text("\n".join(lines) + "\n")
    if spilled:
        sys.exit("kernels spill:\n" + "\n".join(spilled))
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
