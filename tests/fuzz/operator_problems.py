"""Problems of the operators with extreme values and odd sizes, and what the kernels make of them."""

from __future__ import annotations

import random
from pathlib import Path

import torch

from swin_umamba_ext import cross_merge, cross_scan, reference
from tests.problems.depthwise_conv_silu import conv_problem
from tests.problems.gated_layer_norm import gated_layer_norm_problem
from tests.problems.instance_norm import instance_norm_problem
from tests.problems.operators import scan_problem, ss2d_problem
from tests.problems.problem import Problem

SIZES = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 33]
LENGTHS = [*SIZES, 63, 64, 65, 129, 200]
SCALES = [0.0, 1e-40, 1e-20, 1e-3, 1.0, 1.0, 1.0, 30.0, 1e3]
STEPS = [(0.0, 0.0), (0.0, 1e-30), (0.0, 1.0), (0.0, 1.0), (0.5, 100.0), (0.0, 1e6), (0.0, 1e18)]
ODD = [float("nan"), float("inf"), -float("inf"), 3.4e38, -3.4e38, 1e-45]
SMALLEST, LARGEST = 1e-15, 1e30
"""Results between them have no float32 beyond its range on the way to them, with inputs such as these."""


class Target:
    """Problems of the scans and the norms, of moderate and of any values, and the copies along four directions."""

    def __init__(self, _folder: Path) -> None:
        torch.set_num_threads(1)
        self.readers = [self.definition, self.definition, self.any_values, self.directions]
        for seed in range(8):  # what is imported at first use, is not the problems' doing
            generator = random.Random(seed)
            problem = self.make(generator)
            for reader in (self.any_values, self.directions):
                reader(problem)
            problem.run(reference, torch.float64)

    def make(self, generator: random.Random) -> Problem:
        dtype = generator.choice([torch.float32, torch.float32, torch.float64, torch.bfloat16, torch.float16])
        seed, self.generator = generator.randrange(2**31), generator
        if generator.random() < 0.3:
            return self.norm(generator, dtype, seed)
        if generator.random() < 0.7:
            names = ("constant_B", "constant_C", "with_D", "with_z", "with_bias", "with_grad_last_state")
            options = {name: generator.random() < 0.5 for name in names}
            sizes = (generator.choice([1, 2]), generator.choice([1, 2, 3]), generator.choice(SIZES))
            problem = scan_problem(
                *sizes,
                generator.choice(LENGTHS),
                generator.choice(SIZES[:9]),
                dtype=dtype,
                softplus=generator.random() < 0.3,
                steps=generator.choice(STEPS) if dtype in (torch.float32, torch.float64) else (0.0, 1.0),
                largest_rate=generator.choice([1e-6, 1.0, 50.0, 1e4]),
                seed=seed,
                **options,
            )
        else:
            sizes = [generator.choice(SIZES) for _ in range(4)]
            problem = ss2d_problem(
                1, *sizes[:3], generator.choice(SIZES[:9]), rank=min(9, sizes[3]), dtype=dtype, seed=seed
            )
        if dtype in (torch.float32, torch.float64):
            for name, tensor in problem.inputs.items():
                if tensor is not None and name in ("u", "B", "C", "D", "z", "x"):
                    tensor *= generator.choice(SCALES)
        return problem

    def norm(self, generator: random.Random, dtype: torch.dtype, seed: int) -> Problem:
        """Of planes and rows whose squares float32 holds, also constant and of one number."""
        chosen = generator.random()
        if chosen < 0.2:
            problem = conv_problem(*(generator.choice(SIZES) for _ in range(4)), dtype=dtype, seed=seed)
        elif chosen < 0.4:
            problem = gated_layer_norm_problem(
                generator.choice(SIZES), generator.choice(LENGTHS), dtype=dtype, seed=seed
            )
        else:
            names = ("channels_last", "with_weight", "with_bias", "with_residual")
            problem = instance_norm_problem(
                *(generator.choice(SIZES) for _ in range(4)),
                dtype=dtype,
                negative_slope=generator.choice([0.0, 0.01, 1.0, 1.5]),
                offset=generator.choice([0.0, 1.0, 30.0]),
                seed=seed,
                **{name: generator.random() < 0.5 for name in names},
            )
        if dtype in (torch.float32, torch.float64):
            name = generator.choice(list(problem.inputs))
            if problem.inputs[name] is not None:
                problem.inputs[name] *= generator.choice(SCALES)
        return problem

    def definition(self, problem: Problem) -> None:
        """Finite where the definition is, and near it."""
        seen, wanted = problem.run(), problem.run(reference, torch.float64)
        narrow = next(iter(problem.inputs.values())).dtype in (torch.bfloat16, torch.float16)
        for name, values in wanted.items():
            sane = bool((values.abs() < (1e4 if narrow else LARGEST)).all())
            if not sane:
                continue
            assert bool(seen[name].isfinite().all()), f"{name} is not finite: {problem}"
            error = (seen[name].double() - values).abs().max() if values.numel() else 0.0
            largest = max(values.abs().max().item(), SMALLEST)
            assert error <= (0.1 if narrow else 0.01) * largest, f"{name} is {error} of {largest} off: {problem}"

    def any_values(self, problem: Problem) -> None:
        """NaN, infinite and largest numbers: it ends, with results of the right shapes."""
        for tensor in problem.inputs.values():
            if tensor is not None and self.generator.random() < 0.4:
                place = tuple(self.generator.randrange(size) for size in tensor.shape)
                tensor[place] = self.generator.choice(ODD)
        for name, result in problem.run().items():
            assert not name.startswith("grad ") or result.shape == problem.inputs[name.removeprefix("grad ")].shape

    def directions(self, problem: Problem) -> None:
        """The copies hold the bits of the image, and their sum is the definition's."""
        x = torch.randn([self.generator.choice(SIZES) for _ in range(4)])
        x.view(-1)[0] = self.generator.choice(ODD)
        copies = cross_scan(x)
        assert torch.equal(copies.view(torch.int32), reference.cross_scan(x).view(torch.int32))
        merged, wanted = cross_merge(copies, *x.shape[2:]), reference.cross_merge(copies, *x.shape[2:])
        torch.testing.assert_close(merged, wanted, equal_nan=True)
