"""Which problems the property tests draw: odd sizes, around those of vectors, chunks and parts, and every option."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from .arrays import DTYPES, ROUNDING
from .operators import scan_problem, ss2d_problem
from .problem import Problem

SIZES = st.one_of(st.integers(1, 6), st.sampled_from([7, 8, 9, 13, 15, 16, 17, 33]))
LENGTHS = st.one_of(st.integers(1, 5), st.sampled_from([63, 64, 65, 100, 129, 150, 200]))
CHANNELS = st.sampled_from([1, 2, 3, 5, 8, 15, 16, 17, 47, 48, 49, 50, 100, 196])
STATES = st.sampled_from([1, 2, 3, 4, 5, 7, 16, 17])
BATCHES = st.integers(1, 2)
SEEDS = st.integers(0, 2**31)
MULTIPLES = st.sampled_from([None, 0.0, 4e-7, 3e-5, 1e-3, 0.1])
ANY_DTYPE = st.sampled_from(DTYPES)
OPTIONS = ["constant_B", "constant_C", "with_D", "with_z", "with_bias", "with_grad_last_state", "softplus"]


def scans(**given: SearchStrategy) -> SearchStrategy[Problem]:
    """Problems of ``selective_scan``; ``given`` has strategies of the arguments of ``scan_problem``."""
    sizes = {"batch": BATCHES, "groups": st.integers(1, 3), "channels": CHANNELS, "length": LENGTHS, "state": STATES}
    options = {name: st.booleans() for name in OPTIONS}
    others = {"multiples": MULTIPLES, "dtype": ANY_DTYPE, "seed": SEEDS}
    return st.builds(scan_problem, **(sizes | options | others | given))


def images(**given: SearchStrategy) -> SearchStrategy[Problem]:
    """Problems of ``ss2d``; ``given`` has strategies of the arguments of ``ss2d_problem``."""
    sizes = {"batch": BATCHES, "height": SIZES, "width": SIZES, "dim": CHANNELS, "state": STATES}
    others = {"rank": st.integers(1, 9), "multiples": MULTIPLES, "dtype": ANY_DTYPE, "seed": SEEDS}
    return st.builds(ss2d_problem, **(sizes | others | given))


@st.composite
def growing_scans(draw, channels: tuple[int, ...] = (1, 2, 17, 50)) -> Problem:
    """Decays up to e^130, of which products leave float64 too, beside runs of zeros."""
    growth = draw(st.sampled_from([0.5, 3.0, 30.0, 88.0, 130.0]))
    problem = draw(
        scans(
            channels=st.sampled_from(channels),
            length=st.integers(1, 150),
            softplus=st.just(False),
            steps=st.just((0, 1)),
            with_bias=st.just(False),
            dtype=st.sampled_from(list(ROUNDING)),
        )
    )
    generator = torch.Generator().manual_seed(draw(SEEDS))
    problem.inputs["A"] *= -growth
    for tensors, name in [(problem.inputs, n) for n in ("A", "u", "B", "C")] + [(problem.grads, "out")]:
        share = draw(st.sampled_from([0.0, 0.5, 1.0]))  # of each sequence, which starts or ends with zeros
        x = tensors[name]
        zeros = torch.rand(x.shape[:-1], generator=generator).mul(share * x.shape[-1])[..., None]
        steps = torch.arange(x.shape[-1])
        x[steps < zeros if draw(st.booleans()) else steps >= x.shape[-1] - zeros] = 0
    return problem
