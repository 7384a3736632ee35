"""A computed model of the CUDA kernels: bytes, exps and FMAs of each, and the least time on an H100 SXM.

    python benchmarks/cuda_model.py            # rewrites the tables of docs/cuda-model.md
    python benchmarks/cuda_model.py --check    # exits with an error if they are out of date

Nothing here is measured. The counts are those of the algorithms in csrc/kernels/cuda.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

# NVIDIA H100 SXM data sheet: 3.35 TB/s and 67 TFLOP/s in float32, which with 132 multiprocessors of 128 FMA
# lanes is a clock of 1.98 GHz. CUDA C++ Programming Guide, arithmetic throughput, compute capability 9.0:
# 128 float32 FMAs and 16 special-function results per clock and multiprocessor. TF32: 989 TFLOP/s with sparsity,
# half of it without.
MULTIPROCESSORS = 132
BYTES_PER_SECOND = 3.35e12
FMAS_PER_SECOND = 67e12 / 2
EXPS_PER_SECOND = FMAS_PER_SECOND / 8
TENSOR_PER_SECOND = 989e12 / 2 / 2

SHAPES = ((80, 80, 192), (40, 40, 384), (20, 20, 768), (10, 10, 1536))
BATCHES = (1, 8, 32)
STATE = 16
TILE = 64  # steps of a tile: kTile
LONG_RUN, SHORT_RUN = 8, 4  # steps of a thread in the forward and adjoint kernels, in the gradient kernels
RANK_TILE = 8  # ProjectedRows::kRankTile
SIDE, SLAB = 64, 32  # of the matrix products: kSide, kSlab
SOFTPLUS_FMAS = 16
MADE_AGAIN = 4 / 8  # share of the products dt*x*B made a second time: kKeptInputs
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "cuda-model.md"


@dataclass(frozen=True)
class Work:
    """Bytes of device memory, exps on the special-function units, FMA-unit instructions, tensor-core multiply-adds."""

    bytes: float = 0
    exps: float = 0
    fmas: float = 0
    tensor: float = 0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.bytes + other.bytes, self.exps + other.exps, self.fmas + other.fmas, self.tensor + other.tensor
        )

    def seconds(self) -> tuple[float, float, float, float]:
        """Least time by memory, by special functions, by FMAs and by tensor cores."""
        return (
            self.bytes / BYTES_PER_SECOND,
            self.exps / EXPS_PER_SECOND,
            self.fmas / FMAS_PER_SECOND,
            self.tensor / TENSOR_PER_SECOND,
        )

    def floor(self) -> float:
        return max(self.seconds())


def divide_up(a: int, b: int) -> int:
    return -(-a // b)


@dataclass(frozen=True)
class Problem:
    """One encoder stage's SS2D; ``element`` is the size of x in bytes."""

    height: int
    width: int
    dim: int
    batch: int
    element: int = 4

    @property
    def length(self) -> int:
        return self.height * self.width

    @property
    def rank(self) -> int:
        return self.dim // 32

    @property
    def projected(self) -> int:
        return self.rank + 2 * STATE

    @property
    def image(self) -> int:
        """Elements of x."""
        return self.batch * self.length * self.dim

    @property
    def steps(self) -> int:
        """Steps of all directions and channels."""
        return 4 * self.image

    @property
    def updates(self) -> int:
        return self.steps * STATE

    @property
    def states_bytes(self) -> int:
        """Saved states: one each 64 steps."""
        return 4 * 4 * self.batch * ((self.length - 1) // TILE) * STATE * self.dim

    @property
    def projected_bytes(self) -> int:
        return 4 * 4 * self.batch * self.length * self.projected


def decays(p: Problem, fmas_per_update: float, fmas_per_step: float, chains: int, run: int = LONG_RUN) -> Work:
    """A pass over all updates: each decay once and once over ``run`` steps, softplus, ``chains`` strings of warps."""
    exps = p.updates * (1 + 1 / run) + p.steps
    fmas = p.updates * (1 + fmas_per_update + (1 + chains) / run)
    return Work(0, exps, fmas + p.steps * (SOFTPLUS_FMAS + fmas_per_step))


def rank_products(p: Problem, multiply_adds: int, splits: int) -> Work:
    """dt from its projected numbers on the tensor cores, and back, eight ranks at a time: ``multiply_adds`` and
    ``splits`` of each are for one step, a split being one subtraction; and the sums of both parts of dt."""
    tiles = divide_up(p.rank, RANK_TILE)
    return Work(0, 0, p.steps * (tiles * splits + 1), p.steps * tiles * multiply_adds)


def merged_parts(p: Problem) -> int:
    """Images of partial sums that the forward pass writes before the merge; none if a block has all directions."""
    for directions in (4, 2, 1):
        if 4 // directions * p.batch * divide_up(p.dim, 8) >= 2 * MULTIPROCESSORS:
            break
    return 0 if directions == 4 else 4 // directions


def division(p: Problem) -> tuple[int, int]:
    """Parts of the channels and directions at once: best_division of csrc/kernels/cuda/ss2d_backward.cu."""
    tiles, blocks = divide_up(p.dim, 8), p.batch * divide_up(p.length, TILE)
    best, least = (0, 0), 0.0
    few = divide_up(tiles, 24) * blocks < 2 * MULTIPROCESSORS
    for directions in (1, 4) if few else (1,):
        for per_part in (24, 12, 6, 3):
            waves = divide_up(divide_up(tiles, per_part) * blocks * directions, MULTIPROCESSORS) * (4 // directions)
            time = waves * (min(per_part, tiles) + 1)
            if least == 0 or time < 0.9 * least:
                best, least = (divide_up(tiles, per_part), directions), time
    return best


def ss2d_forward(p: Problem) -> Work:
    parts = merged_parts(p)
    output = 4 * p.image * (1 + 2 * parts)
    memory = Work(p.element * p.image + p.projected_bytes + output + p.states_bytes)
    return memory + decays(p, 4 + MADE_AGAIN, 4, 1) + rank_products(p, 32, 1)


def ss2d_adjoint(p: Problem) -> Work:
    memory = Work(4 * p.image + p.projected_bytes + p.states_bytes)
    return memory + decays(p, 2, 2, 1) + rank_products(p, 32, 1)


def ss2d_gradient(p: Problem) -> Work:
    tile_rows = 4 * 4 * p.batch * divide_up(p.length, TILE) * (STATE + p.rank + 2) * p.dim
    parts, directions = division(p)
    sums = (1 if parts == 1 else 2 * parts + 1) * p.projected_bytes + 2 * tile_rows
    inputs = 4 * (p.element + 4) * p.image + p.projected_bytes + 2 * p.states_bytes
    # The gradient of x: written once, then three times added to; or four, which are read and added.
    memory = Work(inputs + 4 * p.image * (7 if directions == 1 else 9) + sums)
    return memory + decays(p, 14, 10, 2, SHORT_RUN) + rank_products(p, 64 + 32 + 24, 2 + 2 + 1)


def product(rows: int, columns: int, inner: int, split: int) -> Work:
    """A matrix product on the tensor cores, ``split`` (1 or 2) of whose factors are float32; no memory."""
    results = divide_up(rows, SIDE) * divide_up(columns, SIDE) * SIDE**2
    multiply_adds = results * divide_up(inner, SLAB) * SLAB
    # Splitting a number takes a subtraction, and in a warp's 32 x 32 results 32 products use it; then the sums.
    return Work(0, 0, multiply_adds * split / 32 + multiply_adds / SLAB, multiply_adds * (1 + split))


def project(p: Problem) -> Work:
    memory = Work(p.element * p.image + p.projected_bytes)
    return memory + product(p.batch * p.length, 4 * p.projected, p.dim, 2 if p.element == 4 else 1)


def project_backward(p: Problem) -> Work:
    """To the weights, whose sums over all pixels are short enough to stay in the L2 cache, and to x."""
    pixels, numbers = p.batch * p.length, 4 * p.projected
    memory = Work(2 * p.projected_bytes + (2 * p.element + 4) * p.image)
    of_weights = product(numbers, p.dim, pixels, 2 if p.element == 4 else 1)
    return memory + of_weights + product(pixels, p.dim, numbers, 2)


def cross_copy(p: Problem) -> Work:
    """cross_scan, cross_merge: one image and its four sequences."""
    return Work(5 * p.element * p.image)


def scan_forward(p: Problem) -> Work:
    """selective_scan of the four sequences of all channels, B and C shared in four groups."""
    matrices = 2 * 4 * p.element * p.batch * STATE * p.length
    return Work(3 * 4 * p.element * p.image + matrices + p.states_bytes) + decays(p, 4 + MADE_AGAIN, 4, 1)


def scan_backward(p: Problem) -> Work:
    matrices = 2 * 4 * p.batch * STATE * p.length
    parts = divide_up(p.dim, 48)
    adjoint = Work(2 * 4 * p.element * p.image + p.element * matrices / 2 + p.states_bytes) + decays(p, 2, 2, 1)
    sums = 4 * matrices * 2 * parts + p.element * matrices
    memory = Work(5 * 4 * p.element * p.image + p.element * matrices + 2 * p.states_bytes + sums)
    return adjoint + memory + decays(p, 14, 10, 2, SHORT_RUN)


def least_ss2d(p: Problem, backward: bool = False) -> Work:
    """What no kernel that spends each exp once can do without: the yardstick for measured times.

    Forward: read x and the projected numbers, write y; one exp and three FMA-unit instructions for each update.
    Backward: read x, the gradient of y and the projected numbers, write the gradients of x and of the projected
    numbers; one exp and eleven instructions.
    """
    if backward:
        return Work((p.element * 2 + 4) * p.image + 2 * p.projected_bytes, p.updates, 11 * p.updates)
    return Work((p.element + 4) * p.image + p.projected_bytes, p.updates, 3 * p.updates)


KERNELS = {
    "cross_scan, cross_merge": cross_copy,
    "selective_scan forward": scan_forward,
    "selective_scan backward": scan_backward,
    "ss2d forward": ss2d_forward,
    "ss2d forward, projection": project,
    "ss2d backward, adjoint pass": ss2d_adjoint,
    "ss2d backward, gradients": ss2d_gradient,
    "ss2d backward, projections": project_backward,
    "least work of ss2d forward": least_ss2d,
    "least work of ss2d backward": lambda p: least_ss2d(p, backward=True),
}


def tables() -> str:
    lines = []
    for name, work_of in KERNELS.items():
        lines += [
            f"### {name}",
            "",
            "| H, W, D | batch | MB | exps (M) | FMAs (M) | TF32 (M) | memory (µs) | exps (µs) | FMAs (µs) | TF32 (µs) "
            "| floor (µs) |",
            "| --- |" + " ---: |" * 10,
        ]
        for shape in SHAPES:
            for batch in BATCHES:
                work = work_of(Problem(*shape, batch))
                times = [f"{1e6 * t:.1f}" for t in (*work.seconds(), work.floor())]
                counts = [f"{v / 1e6:.1f}" for v in (work.bytes, work.exps, work.fmas, work.tensor)]
                lines.append("| " + " | ".join([", ".join(map(str, shape)), str(batch), *counts, *times]) + " |")
        lines.append("")
    return "\n".join(lines)


BEGIN, END = "<!-- tables: python benchmarks/cuda_model.py -->\n\n", "<!-- end of tables -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the document is up to date")
    check = parser.parse_args().check
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    wanted = f"{before}{BEGIN}{tables()}\n{END}{after}"
    if wanted == text:
        print(f"{DOCUMENT.name} is up to date")
    elif check:
        sys.exit(f"{DOCUMENT.name} is out of date; run python benchmarks/cuda_model.py")
    else:
        DOCUMENT.write_text(wanted)
        print(f"rewrote the tables of {DOCUMENT.name}")


if __name__ == "__main__":
    main()
