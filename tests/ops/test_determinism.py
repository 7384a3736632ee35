"""Same input, same bits: from run to run and for any number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ..problems.depthwise_conv_silu import conv_problem
from ..problems.gated_layer_norm import gated_layer_norm_problem
from ..problems.instance_norm import instance_norm_problem
from ..problems.operators import scan_problem, ss2d_problem
from ..problems.problem import Problem, assert_same_bits


@pytest.fixture
def restore_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "problem",
    [
        scan_problem(2, 2, 100, 150, 16),
        ss2d_problem(2, 13, 15, 200, 16, 6),
        ss2d_problem(2, 13, 15, 200, 16, 6, dtype=torch.bfloat16),
        instance_norm_problem(2, 50, 61, 67, with_residual=True, negative_slope=0.01),
        instance_norm_problem(2, 50, 61, 67, with_residual=True, negative_slope=0.01, channels_last=True),
        conv_problem(2, 13, 15, 100),
        conv_problem(2, 13, 15, 100, dtype=torch.bfloat16),
        gated_layer_norm_problem(1000, 100),
        gated_layer_norm_problem(1000, 100, dtype=torch.bfloat16),
    ],
    ids=[
        "selective_scan",
        "ss2d",
        "ss2d bfloat16",
        "instance_norm",
        "instance_norm channels last",
        "depthwise_conv_silu",
        "depthwise_conv_silu bfloat16",
        "gated_layer_norm",
        "gated_layer_norm bfloat16",
    ],
)
def test_bits_do_not_depend_on_threads(restore_threads: None, problem: Problem) -> None:
    results = []
    for threads in (1, 2, 3, 8, 1):
        torch.set_num_threads(threads)
        results.append(problem.run())
    for other in results[1:]:
        assert_same_bits(other, results[0])
