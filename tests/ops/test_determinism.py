"""Same input, same bits: from run to run and for any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

import swin_umamba_ext

from .cases import run, scan_arguments, ss2d_arguments


@pytest.fixture
def restore_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def _scan(*tensors: torch.Tensor) -> torch.Tensor:
    return swin_umamba_ext.selective_scan(*tensors, delta_softplus=True)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (_scan, scan_arguments(2, 2, 100, 150, 16, with_z=True)),
        (swin_umamba_ext.ss2d, ss2d_arguments(2, 13, 15, 200, 6, 16)),
        (swin_umamba_ext.ss2d, ss2d_arguments(2, 13, 15, 200, 6, 16, dtype=torch.bfloat16)),
    ],
    ids=["selective_scan", "ss2d", "ss2d bfloat16"],
)
def test_bits_do_not_depend_on_threads(
    restore_threads: None, function: Callable[..., torch.Tensor], arguments: list[torch.Tensor]
) -> None:
    results = []
    for threads in (1, 2, 3, 8, 1):
        torch.set_num_threads(threads)
        y, grads = run(function, arguments)
        results.append([y, *grads])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
