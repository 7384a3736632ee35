"""The operators on a CUDA device, against the definition in float64. Needs a GPU: python -m pytest -m gpu."""

from __future__ import annotations

import pytest
import torch

import swin_umamba_ext
from swin_umamba_ext import reference

from ..problems.arrays import DTYPES, ROUNDING, normal
from ..problems.depthwise_conv_silu import conv_problem
from ..problems.gated_layer_norm import gated_layer_norm_problem
from ..problems.instance_norm import instance_norm_problem
from ..problems.operators import scan_problem, slow_ss2d_problem, ss2d_problem
from ..problems.problem import Problem, assert_same_bits

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]

SCANS = [
    (1, 1, 3, 1, 1),
    (2, 2, 9, 131, 16),
    (1, 1, 50, 64, 16),
    (3, 1, 20, 300, 5),
    (1, 3, 8, 65, 40),
    (1, 1, 9, 200, 81),
]
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


def check(problem: Problem) -> None:
    problem = problem.to("cuda")
    problem.check(problem.run(), tolerance=5e-5, smallest=1e-6)


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("sizes", SCANS)
def test_selective_scan(sizes, dtype):
    check(scan_problem(*sizes, dtype=dtype))


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("sizes", IMAGES)
def test_ss2d(sizes, dtype):
    check(ss2d_problem(*sizes, dtype=dtype))


@pytest.mark.parametrize(
    "problem",
    [
        instance_norm_problem(2, 33, 9, 15, with_residual=True),
        instance_norm_problem(1, 33, 9, 15, channels_last=True),
        conv_problem(2, 9, 15, 33),
        gated_layer_norm_problem(270, 33),
    ],
    ids=repr,
)
def test_operators_without_kernels_of_their_own(problem: Problem) -> None:
    problem = problem.to("cuda")
    with torch.backends.cudnn.flags(allow_tf32=False):
        problem.check(problem.run(), tolerance=5e-5)


def test_ss2d_with_slow_decays():
    check(slow_ss2d_problem(80, 80, 192))


def test_growing_scan_is_finite_where_float64_is():
    """Decays of e^60: infinite over a warp's steps, of a state that stays zero."""
    problem = scan_problem(2, 1, 35, 300, 33, steps=(0, 1), softplus=False)
    problem.inputs["A"] *= 0.1
    problem.inputs["A"][:, 2] = 60.0
    problem.inputs["B"][..., 2, :] = 0
    problem = problem.to("cuda")
    problem.check_where_it_fits(problem.run())


def image_arguments(*sizes: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    return ss2d_problem(*sizes, dtype=dtype).to("cuda").arguments


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(2, 3, 33, 65), (1, 1, 1, 7), (1, 2, 40, 1)])
def test_cross_scan_and_merge(size, dtype):
    x = normal(*size, dtype=dtype).cuda()
    y = swin_umamba_ext.cross_scan(x)
    assert torch.equal(y, reference.cross_scan(x))
    merged = swin_umamba_ext.cross_merge(y, *size[2:])
    assert torch.equal(merged, 4 * x)


@pytest.mark.parametrize(
    "problem", [scan_problem(2, 2, 50, 300, 16), ss2d_problem(2, 20, 20, 100, 16, 6, dtype=torch.bfloat16)]
)
def test_the_same_bits_on_every_run(problem):
    problem = problem.to("cuda")
    first = problem.run()
    for _ in range(5):
        assert_same_bits(problem.run(), first)


def test_other_stream():
    arguments = image_arguments(1, 40, 40, 96, 16, 6)
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
    arguments = image_arguments(1, 9, 9, 16, 16, 2)
    y = swin_umamba_ext.ss2d(*(a.to("cuda:1") for a in arguments))
    assert y.device == torch.device("cuda:1")
    torch.testing.assert_close(y.cpu(), swin_umamba_ext.ss2d(*arguments).cpu())


def test_cuda_graph_with_gradients():
    arguments = [a.requires_grad_() for a in image_arguments(2, 20, 20, 64, 16, 4)]

    def step() -> list[torch.Tensor]:
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
    arguments = image_arguments(1, 9, 15, 32, 16, 2, dtype=torch.bfloat16)
    wanted = swin_umamba_ext.ss2d(*arguments)
    with torch.autocast("cuda", torch.bfloat16):
        assert torch.equal(swin_umamba_ext.ss2d(*arguments), wanted)


def test_projections_do_not_follow_torchs_tf32_setting():
    problem = ss2d_problem(1, 20, 20, 100, 16, 6).to("cuda")
    wanted = problem.run()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        got = problem.run()
    finally:
        torch.set_float32_matmul_precision(before)
    assert_same_bits(got, wanted)


def test_data_that_is_not_aligned():
    arguments = image_arguments(2, 5, 5, 12, 16, 2, dtype=torch.bfloat16)
    wanted = swin_umamba_ext.ss2d(*arguments)
    storage = torch.empty(arguments[0].numel() + 1, dtype=torch.bfloat16, device="cuda")
    moved = storage[1:].view_as(arguments[0]).copy_(arguments[0])
    assert torch.equal(swin_umamba_ext.ss2d(moved, *arguments[1:]), wanted)


def test_a_direct_call_does_not_read_another_devices_memory():
    x, *parameters = image_arguments(1, 3, 3, 4, 2, 1)
    for mixed in ([x, *(p.cpu() for p in parameters)], [x.cpu(), *parameters]):
        with pytest.raises(RuntimeError, match="all tensors must be on one device"):
            torch.ops.swin_umamba.ss2d(*mixed, False)


def test_float64_scans_say_where_to_go():
    arguments = [a.double() for a in image_arguments(1, 3, 3, 4, 2, 1)]
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
    arguments = image_arguments(1, 64, 64, 1024, 1, 1, dtype=torch.bfloat16)
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
    u, delta, A, B, C, D, _, bias = scan_problem(1, 1, 1024, 4096, 1, dtype=torch.bfloat16).to("cuda").arguments
    wanted = swin_umamba_ext.selective_scan(u, delta, A, B, C, D, delta_bias=bias, delta_softplus=True)
    u, delta, B, C = (t.expand(513, *t.shape[1:]).contiguous() for t in (u, delta, B, C))
    assert u.numel() > 2**31
    y = swin_umamba_ext.selective_scan(u, delta, A, B, C, D, delta_bias=bias, delta_softplus=True)
    assert torch.equal(y[-1:], wanted)
