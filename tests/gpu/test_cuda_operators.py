"""The operators on a CUDA device, against the definition in float64. Needs a GPU: python -m pytest -m gpu."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import swin_umamba_ext
from swin_umamba_ext import reference

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]

ROUNDING = {torch.float32: 0.0, torch.bfloat16: 2**-8, torch.float16: 2**-11}
SCANS = [(1, 1, 3, 1, 1), (2, 2, 9, 131, 16), (1, 1, 50, 64, 16), (3, 1, 20, 300, 5), (1, 3, 8, 65, 40)]
IMAGES = [
    (1, 1, 1, 1, 1, 1),
    (2, 9, 15, 33, 16, 3),
    (1, 70, 2, 64, 16, 4),
    (1, 20, 20, 100, 16, 6),
    (2, 7, 5, 8, 20, 2),
    # The first and the last stage of the encoder.
    (1, 80, 80, 192, 16, 6),
    (1, 10, 10, 1536, 16, 48),
]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).cuda()


def scan_arguments(
    batch: int, groups: int, per_group: int, length: int, state: int, dtype: torch.dtype
) -> list[Tensor]:
    dim = groups * per_group
    data = [normal(batch, dim, length, seed=1), normal(batch, dim, length, seed=2)]
    matrices = [normal(batch, groups, state, length, seed=3), normal(batch, groups, state, length, seed=4)]
    u, delta, B, C, z = (t.to(dtype) for t in (*data, *matrices, normal(batch, dim, length, seed=5)))
    return [u, delta, -torch.exp(normal(dim, state, seed=6)), B, C, normal(dim, seed=7), z, normal(dim, seed=8)]


def image_arguments(
    batch: int, height: int, width: int, dim: int, state: int, rank: int, dtype: torch.dtype
) -> list[Tensor]:
    return [
        normal(batch, height, width, dim, seed=1).to(dtype),
        normal(4, rank + 2 * state, dim, seed=2) / dim**0.5,
        normal(4, dim, rank, seed=3) / rank**0.5,
        normal(4, dim, seed=4) - 2,
        normal(4 * dim, state, seed=5) * 0.5,
        normal(4 * dim, seed=6),
    ]


def selective_scan(*arguments: Tensor, module=swin_umamba_ext) -> Tensor:
    return module.selective_scan(*arguments, delta_softplus=True)


def run(function: Callable[..., Tensor], arguments: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Output and the gradients of a fixed projection of it, whose weights ``dtype`` holds exactly."""
    inputs = [a.detach().clone().requires_grad_() for a in arguments]
    y = function(*inputs)
    weight = normal(*y.shape, seed=9).to(dtype)
    return [y.detach(), *torch.autograd.grad((y.double() * weight).sum(), inputs)]


def assert_close(got: list[Tensor], wanted: list[Tensor]) -> None:
    for number, (g, w) in enumerate(zip(got, wanted, strict=True)):
        assert torch.isfinite(g).all()
        error = float((g.double() - w).abs().max() / w.abs().max().clamp_min(1e-6))
        assert error <= 5e-5 + ROUNDING[g.dtype], f"result {number}: relative error {error:.2e} in {g.dtype}"


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("sizes", SCANS)
def test_selective_scan(sizes, dtype):
    arguments = scan_arguments(*sizes, dtype)
    wanted = run(lambda *a: selective_scan(*a, module=reference), [a.double() for a in arguments], dtype)
    assert_close(run(selective_scan, arguments, dtype), wanted)


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("sizes", IMAGES)
def test_ss2d(sizes, dtype):
    arguments = image_arguments(*sizes, dtype)
    wanted = run(reference.ss2d, [a.double() for a in arguments], dtype)
    assert_close(run(swin_umamba_ext.ss2d, arguments, dtype), wanted)


@pytest.mark.parametrize("dtype", [*ROUNDING, torch.float64])
@pytest.mark.parametrize("size", [(2, 3, 33, 65), (1, 1, 1, 7), (1, 2, 40, 1)])
def test_cross_scan_and_merge(size, dtype):
    x = normal(*size).to(dtype)
    y = swin_umamba_ext.cross_scan(x)
    assert torch.equal(y, reference.cross_scan(x))
    merged = swin_umamba_ext.cross_merge(y, *size[2:])
    assert torch.equal(merged, 4 * x)


def test_the_same_bits_on_every_run():
    for function, arguments in (
        (selective_scan, scan_arguments(2, 2, 50, 300, 16, torch.float32)),
        (swin_umamba_ext.ss2d, image_arguments(2, 20, 20, 100, 16, 6, torch.bfloat16)),
    ):
        first = run(function, arguments, torch.float32)
        for _ in range(5):
            assert all(torch.equal(a, b) for a, b in zip(first, run(function, arguments, torch.float32), strict=True))


def test_other_stream():
    arguments = image_arguments(1, 40, 40, 96, 16, 6, torch.float32)
    wanted = swin_umamba_ext.ss2d(*arguments)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # were the kernels on another stream, they would read x before it is there
        x = arguments[0] * 1
        y = swin_umamba_ext.ss2d(x, *arguments[1:])
    stream.synchronize()
    assert torch.equal(y, wanted)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_device_that_is_not_current():
    arguments = image_arguments(1, 9, 9, 16, 16, 2, torch.float32)
    y = swin_umamba_ext.ss2d(*(a.to("cuda:1") for a in arguments))
    assert y.device == torch.device("cuda:1")
    torch.testing.assert_close(y.cpu(), swin_umamba_ext.ss2d(*arguments).cpu())


def test_cuda_graph_with_gradients():
    arguments = [a.requires_grad_() for a in image_arguments(2, 20, 20, 64, 16, 4, torch.float32)]

    def step() -> list[Tensor]:
        y = swin_umamba_ext.ss2d(*arguments)
        return [y, *torch.autograd.grad(y.square().sum(), arguments)]

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    with torch.no_grad():
        arguments[0].mul_(0.5)
    graph.replay()
    for a, b in zip(captured, step(), strict=True):
        torch.testing.assert_close(a, b)


def test_autocast_changes_nothing():
    arguments = image_arguments(1, 9, 15, 32, 16, 2, torch.bfloat16)
    wanted = swin_umamba_ext.ss2d(*arguments)
    with torch.autocast("cuda", torch.bfloat16):
        assert torch.equal(swin_umamba_ext.ss2d(*arguments), wanted)


def test_projections_do_not_follow_torchs_tf32_setting():
    arguments = image_arguments(1, 20, 20, 100, 16, 6, torch.float32)
    wanted = run(swin_umamba_ext.ss2d, arguments, torch.float32)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        got = run(swin_umamba_ext.ss2d, arguments, torch.float32)
    finally:
        torch.set_float32_matmul_precision(before)
    assert all(torch.equal(g, w) for g, w in zip(got, wanted, strict=True))


def test_data_that_is_not_aligned():
    arguments = image_arguments(2, 5, 5, 12, 16, 2, torch.bfloat16)
    wanted = swin_umamba_ext.ss2d(*arguments)
    storage = torch.empty(arguments[0].numel() + 1, dtype=torch.bfloat16, device="cuda")
    moved = storage[1:].view_as(arguments[0]).copy_(arguments[0])
    assert torch.equal(swin_umamba_ext.ss2d(moved, *arguments[1:]), wanted)


def test_float64_scans_say_where_to_go():
    arguments = [a.double() for a in image_arguments(1, 3, 3, 4, 2, 1, torch.float32)]
    with pytest.raises(RuntimeError, match="move the tensors to the CPU"):
        swin_umamba_ext.ss2d(*arguments)


def has_memory(gibibytes: int) -> bool:
    return torch.cuda.is_available() and torch.cuda.get_device_properties(0).total_memory >= gibibytes * 2**30


@pytest.mark.skipif(not has_memory(30), reason="needs 30 GiB of GPU memory")
def test_cross_scan_of_more_than_2_to_31_elements():
    x = torch.randn(3, 4096, 16, 11_000, device="cuda", dtype=torch.float16)
    y = swin_umamba_ext.cross_scan(x)
    assert y.numel() > 2**31
    assert torch.equal(y[-1:, :, -8:], reference.cross_scan(x[-1:, -8:]))


@pytest.mark.skipif(not has_memory(70), reason="needs 70 GiB of GPU memory")
def test_ss2d_of_more_than_2_to_31_elements():
    arguments = image_arguments(1, 64, 64, 1024, 1, 1, torch.bfloat16)
    x = arguments[0].expand(513, -1, -1, -1).contiguous()
    assert x.numel() > 2**31
    alone = [a.detach().requires_grad_() for a in arguments]
    many = [x.requires_grad_(), *(a.detach() for a in arguments[1:])]
    wanted = swin_umamba_ext.ss2d(*alone)
    (wanted_grad,) = torch.autograd.grad(wanted.sum(), alone[:1])
    y = swin_umamba_ext.ss2d(*many)
    torch.testing.assert_close(y[-1:], wanted, rtol=1e-4, atol=1e-4)
    (grad,) = torch.autograd.grad(y[-1:].sum(), many[:1])
    torch.testing.assert_close(grad[-1:], wanted_grad, rtol=1e-2, atol=1e-2)
    assert not grad[0].any()


@pytest.mark.skipif(not has_memory(40), reason="needs 40 GiB of GPU memory")
def test_selective_scan_of_more_than_2_to_31_elements():
    u, delta, A, B, C, D, _, bias = scan_arguments(1, 1, 1024, 4096, 1, torch.bfloat16)
    wanted = swin_umamba_ext.selective_scan(u, delta, A, B, C, D, delta_bias=bias, delta_softplus=True)
    u, delta, B, C = (t.expand(513, *t.shape[1:]).contiguous() for t in (u, delta, B, C))
    assert u.numel() > 2**31
    y = swin_umamba_ext.selective_scan(u, delta, A, B, C, D, delta_bias=bias, delta_softplus=True)
    assert torch.equal(y[-1:], wanted)
