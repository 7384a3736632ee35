"""Count the warp instructions that the scan kernels execute for 32 state updates, in the machine code for sm_90.

    python benchmarks/cuda_instructions.py            # prints the table and writes it
    python benchmarks/cuda_instructions.py --check    # an error if a count has grown by more than 5 % of the file's

Needs nvcc and nvdisasm (of the CUDA toolkit or of the package nvidia-cuda-nvdisasm), no GPU. Counted is the loop over
tiles, in the first stage of the network (x float32, N = 16, R = 6): each instruction once for each round of the loops
that it is in, times the share of the warps, or of the tiles, that come to it. Loops and shares are found by the source
line that an instruction was made from; a loop that the tables below do not know is an error.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cuda_resources import FLAGS, ROOT, nvcc_version, short_name

OUTPUT = ROOT / "benchmarks/results/cuda_instructions.txt"
SOURCES = ROOT / "csrc/kernels/cuda"
GROWTH = 1.05  # of a count, until it is an error

# The kernels that are counted: file, name, threads of a block, and how the loop over tiles begins.
KERNELS = (
    ("ss2d_forward", "forward_kernel<float, true>", 256, "for (int tile"),
    ("ss2d_backward", "adjoint_kernel<true>", 256, "for (int tile"),
    ("ss2d_backward", "gradient_kernel<float, true>", 512, "for (int channel_tile"),
    ("selective_scan_forward", "forward_kernel<float, true>", 256, "for (int tile"),
    ("selective_scan_backward", "adjoint_kernel<float, true>", 256, "for (int tile"),
    ("selective_scan_backward", "gradient_kernel<float, false, true>", 512, "for (int first_channel"),
)
UPDATES = 64 * 8 * 16  # of a tile: steps, channels, states

# Rounds of the loops inside, for a block of 256 or 512 threads, by how their source line begins.
ROUNDS = {
    "for (int group": (1, 1),
    "} while (++rank_tile": (1, 1),
    "for (int to = step * layout.dt_row + first": (1, 1),
    "for (int column = lane": (0, 0),  # N is no multiple of 16
    "for (unsigned unit": (None, 1),  # 8 units of tensor-core products for 16 warps
    "for (int output": (None, 1),
    "for (int i = 0; i < ShortRuns::kWarps; ++i)": (None, 4),
    "for (int i = 4 * threadIdx.x; i < size": (None, 1),
    "for (int i = threadIdx.x; i < rows * row": (0, 0),  # constant B and C
}
# Of loops that differ in nothing but the size of a copy, one is run.
ALTERNATIVES = ("for (int step = threadIdx.x / kLanes",)
# The share of the warps, or of the rounds, that run a block of the source, by how its first line begins.
SHARES = {
    "if (chain.active)": (64 / 256, 128 / 512),
    "if (border.active)": (None, 128 / 512),
    "if (rates.active)": (None, 64 / 512),
    "if (may_grow) {": (0, 0),  # a rate above zero
    "__device__ void run(const BackwardValues& s": (None, 1 / 2),  # one branch for states, one for adjoints
    "__device__ void fill(": (64 / 256, 64 / 512),
    "if (!chain.adjoint && state <": (1 / 4, 1 / 4),
    "__device__ void fetch_numbers(": (0, 0),
    "__device__ void load_constant(": (0, 0),
    "__device__ static void multiply(": (None, 4 / 16),
    "__device__ static void add(": (None, 4 / 16),
    "for (int output = threadIdx.x; output < outputs": (None, 2 / 16),
    "if (groups > 1 ||": (None, 1 / 24),
    "if (p.constant_B": (0, 0),
    "if (p.constant_C": (0, 0),
    "if (output >= 0)": (None, 1 / 16),
    "if (p.z)": (0, 0),
}


@cache
def source_lines(file: str) -> list[str]:
    return [line.strip() for line in Path(file).read_text().splitlines()]


def inside(line: str, indent: int) -> bool:
    return line[:1] in ("", "#") or len(line) - len(line.lstrip()) > indent


@cache
def shares_of_lines(file: str) -> dict[int, str]:
    """For each line (from 1) inside a block of ``SHARES``, the name of the innermost such block."""
    found = {}
    lines = Path(file).read_text().splitlines()
    for number, line in enumerate(lines, 1):
        name = next((name for name in SHARES if line.strip().startswith(name)), None)
        if name is None:
            continue
        indent = len(line) - len(line.lstrip())
        last = number
        while last < len(lines) and inside(lines[last], indent):
            last += 1
        found.update(dict.fromkeys(range(number + 1, last + 1), name))
    return found


@dataclass(frozen=True)
class Instruction:
    """One machine instruction and the source places that it stems from, innermost first."""

    text: str
    places: tuple[tuple[str, int], ...]

    @property
    def operation(self) -> str:
        return re.sub(r"^@!?U?P\w+ ", "", self.text).split()[0].split(".")[0]

    def share(self, column: int) -> float:
        share = 1.0
        for name in {shares_of_lines(file).get(line) for file, line in self.places} - {None}:
            share *= SHARES[name][column]
        return share


@dataclass(frozen=True)
class Loop:
    first: int
    last: int
    line: str  # of the source

    def __contains__(self, index: int) -> bool:
        return self.first <= index <= self.last


def find_nvdisasm() -> str:
    packaged = Path(sysconfig.get_path("purelib")) / "nvidia"
    found = shutil.which("nvdisasm") or next(map(str, packaged.glob("*/bin/nvdisasm")), None)
    if found is None:
        sys.exit("nvdisasm was not found on PATH or beside Python; pip install nvidia-cuda-nvdisasm")
    return found


def functions(nvdisasm: str, cubin: Path) -> dict[str, tuple[list[Instruction], list[Loop]]]:
    """The kernels of a file by their mangled names."""
    listing = subprocess.run([nvdisasm, "-c", "-gi", str(cubin)], capture_output=True, text=True, check=True).stdout
    found = {}
    for section in listing.split("\n\t.section\t.text.")[1:]:
        labels, instructions, places, open_places = {}, [], [], False
        for row in section.splitlines():
            if place := re.match(r'\t//## File "(.*?)", line (\d+)', row):
                places = [*places, (place[1], int(place[2]))] if open_places else [(place[1], int(place[2]))]
                open_places = True
            elif label := re.match(r"(\.L_x_\d+):", row):
                labels[label[1]] = len(instructions)
            elif instruction := re.match(r"\s+/\*[0-9a-f]+\*/\s+(.*?) ;", row):
                instructions.append(Instruction(instruction[1], tuple(places)))
                open_places = False
        loops = []
        for index, instruction in enumerate(instructions):
            target = re.search(r"BRA.*`\((\.L_x_\d+)\)", instruction.text)
            if target is None or labels[target[1]] > index:
                continue
            first = labels[target[1]]
            if index > first and not any(i.operation in ("EXIT", "RET") for i in instructions[first:index]):
                file, line = instruction.places[0]
                loops.append(Loop(first, index, source_lines(file)[line - 1]))
        found[section.split(",")[0]] = instructions, loops
    return found


def starting(line: str, names) -> str | None:
    return next((name for name in names if line.startswith(name)), None)


def count(instructions: list[Instruction], loops: list[Loop], threads: int, tile_loop: str) -> Counter:
    """Warp instructions for 32 updates, by operation."""
    column = 0 if threads == 256 else 1
    whole = next(loop for loop in loops if loop.line.startswith(tile_loop))
    inside = [loop for loop in loops if loop.first in whole and loop.last in whole and loop is not whole]
    rounds, seen = {}, []
    for loop in inside:
        name = starting(loop.line, ROUNDS)
        if name is None:
            sys.exit(f"a loop that ROUNDS does not know: {loop.line}")
        # A loop with several ways back to its beginning is one loop.
        outer = [other for other in inside if other.first == loop.first and other.last > loop.last]
        again = name in ALTERNATIVES and any(name == other for other in seen)
        rounds[loop] = 0 if again else 1 if outer else ROUNDS[name][column]
        seen.append(name)
    counts = Counter()
    for index in range(whole.first, whole.last + 1):
        instruction = instructions[index]
        times = instruction.share(column)
        for loop in inside:
            if index in loop:
                times *= rounds[loop]
        counts[instruction.operation] += times
    scale = 32 / (UPDATES / (threads / 32))
    return Counter({operation: scale * number for operation, number in counts.items()})


# What the columns of the table are: the operations of each.
COLUMNS = {
    "FMA": ("FFMA", "FMUL", "FADD", "HFMA2"),
    "special": ("MUFU",),
    "tensor": ("HMMA",),
    "shared": ("LDS", "STS", "LDGSTS", "LDGDEPBAR", "UBLKCP", "LDSM"),
    "global": ("LDG", "STG"),
    "shuffle": ("SHFL",),
}


def table(architecture: str) -> str:
    nvcc, nvdisasm = shutil.which("nvcc"), find_nvdisasm()
    if nvcc is None:
        sys.exit("nvcc was not found on PATH; install the CUDA toolkit (version 12 or later).")
    header = f"{'kernel':56}{'all':>7}" + "".join(f"{name:>9}" for name in (*COLUMNS, "other", "registers", "spills"))
    lines = [
        f"nvcc {nvcc_version(nvcc)}, {architecture}: warp instructions for 32 state updates; registers of a thread, "
        "bytes spilled",
        header,
    ]
    with tempfile.TemporaryDirectory() as folder:
        for source in dict.fromkeys(kernel[0] for kernel in KERNELS):
            cubin = Path(folder) / f"{source}.cubin"
            flags = [*FLAGS, "-lineinfo", f"-arch={architecture}", "-cubin"]
            command = [nvcc, *flags, str(SOURCES / f"{source}.cu"), "-o", str(cubin)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
            if done.returncode:
                sys.exit(done.stdout + done.stderr)
            resources = dict(re.findall(r"Function properties for (\w+)\n(.*?Used \d+ registers)", done.stderr, re.S))
            kernels = {short_name(mangled): mangled for mangled in resources}
            code = functions(nvdisasm, cubin)
            for file, name, threads, tile_loop in KERNELS:
                if file != source:
                    continue
                counts = count(*code[kernels[name]], threads, tile_loop)
                report = resources[kernels[name]]
                spills = sum(map(int, re.findall(r"(\d+) bytes spill", report)))
                registers = int(re.search(r"Used (\d+)", report)[1])
                shown = [sum(counts.pop(operation, 0) for operation in column) for column in COLUMNS.values()]
                numbers = [*shown, sum(counts.values())]
                row = f"{file} {name:{55 - len(file)}}{sum(numbers):7.2f}" + "".join(f"{n:9.2f}" for n in numbers)
                lines.append(f"{row}{registers:>9}{spills:>9}")
    return "\n".join(lines) + "\n"


def totals(text: str) -> dict[str, float]:
    rows = [row.rsplit(maxsplit=10) for row in text.splitlines()[2:]]  # names may be longer than their column
    return {name.strip(): float(every) for name, every, *_ in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    parser.add_argument("--arch", default="sm_90", metavar="SM")
    arguments = parser.parse_args()
    text = table(arguments.arch)
    print(text, end="")
    if not arguments.check:
        OUTPUT.write_text(text)
        return
    before = OUTPUT.read_text()
    if before.split(":")[0] != text.split(":")[0]:
        print(f"not compared: {OUTPUT.name} is of {before.split(':')[0]}")
        return
    saved = totals(before)
    grown = [f"{name}: {saved[name]} to {now}" for name, now in totals(text).items() if now > GROWTH * saved[name]]
    if grown:
        sys.exit("instruction counts have grown by more than 5 %:\n" + "\n".join(grown))


if __name__ == "__main__":
    main()
