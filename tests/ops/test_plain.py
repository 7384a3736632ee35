"""The scans in plain torch operations: like the definition, however a sequence is cut, and chosen without kernels."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

import swin_umamba_ext
from swin_umamba_ext import plain
from swin_umamba_ext.ops import devices

from ..problems.operators import scan_problem, ss2d_problem
from ..problems.problem import Problem
from ..problems.strategies import images, scans

# Numbers of a step and of a group of steps: one chunk and one group; chunks of single steps; groups of several.
CUTS = st.sampled_from([(1, 1 << 30), (1 << 30, 1), (1 << 30, 1 << 12)])


def run(problem: Problem, cut: tuple[int, int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(plain._STEP_NUMBERS, "cpu", cut[0])
        patch.setitem(plain._GROUP_NUMBERS, "cpu", cut[1])
        problem.check(problem.run(plain), str(cut))


@given(scans(), CUTS)
def test_selective_scan_equals_reference(problem: Problem, cut: tuple[int, int]) -> None:
    run(problem, cut)


@given(images(), CUTS)
def test_ss2d_equals_reference(problem: Problem, cut: tuple[int, int]) -> None:
    run(problem, cut)


def test_long_sequence() -> None:
    options = {"with_z": False, "with_bias": False, "softplus": False}
    run(scan_problem(1, 1, 3, 5_000, 4, steps=(0.0, 1.0), **options), (1 << 30, 1 << 20))


def test_a_growing_decay_leaves_a_zero_state_zero() -> None:
    """The decay over a chunk is infinite, that of a step is not."""
    ones, A = torch.ones(1, 1, 400), torch.full((1, 1), 12.0)
    u = torch.zeros(1, 1, 400).index_fill_(2, torch.arange(395, 400), 1)
    arguments = (u, ones, A, ones, ones)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(plain._STEP_NUMBERS, "cpu", 1 << 30)
        seen = plain.selective_scan(*arguments)
    wanted = swin_umamba_ext.reference.selective_scan(*(t.double() for t in arguments))
    assert torch.allclose(seen.double(), wanted, rtol=2e-5)


@pytest.mark.parametrize("constant", [False, True])
def test_gradcheck(constant: bool) -> None:
    problem = scan_problem(1, 2, 2, 7, 3, dtype=torch.float64, constant_B=constant, constant_C=constant)
    inputs = [t.requires_grad_() for t in problem.arguments]
    assert torch.autograd.gradcheck(lambda *a: plain.selective_scan(*a, True, True), inputs)


def test_second_derivative_is_an_error() -> None:
    u, *others = scan_problem(1, 1, 2, 5, 2, with_z=False).arguments
    u.requires_grad_()
    (gradient,) = torch.autograd.grad(plain.selective_scan(u, *others).square().sum(), u, create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivatives"):
        torch.autograd.grad(gradient.sum(), u)


@pytest.mark.parametrize("operator", ["selective_scan", "ss2d"])
def test_several_gradients_at_once(operator: str) -> None:
    problem = scan_problem(2, 2, 3, 50, 4) if operator == "selective_scan" else ss2d_problem(1, 5, 7, 6, 4, 3)
    y, pullback = torch.func.vjp(getattr(plain, operator), *problem.arguments)
    grads = torch.randn(3, *y.shape)
    wanted = [torch.stack(of_one) for of_one in zip(*(pullback(grad) for grad in grads), strict=True)]
    torch.testing.assert_close(list(torch.vmap(pullback)(grads)), wanted)


class LargestTensor(TorchDispatchMode):
    """The numbers of the largest result of any operation."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        results = function(*args, **(kwargs or {}))
        for result in results if isinstance(results, (tuple, list)) else [results]:
            if isinstance(result, torch.Tensor):
                self.numbers = max(self.numbers, result.numel())
        return results


def test_holds_no_state_of_every_step() -> None:
    problem = scan_problem(1, 1, 64, 4096, 16)
    with LargestTensor() as largest:
        problem.run(plain)
    assert largest.numbers < 64 * 4096 * 16 / 8


@pytest.mark.parametrize("operator", ["selective_scan", "ss2d"])
def test_can_be_exported_and_differentiated_by_functions(operator: str) -> None:
    problem = scan_problem(2, 1, 3, 50, 4) if operator == "selective_scan" else ss2d_problem(2, 5, 7, 6, 4, 3)
    function = getattr(plain, operator)

    class Module(torch.nn.Module):
        def forward(self, *arguments: torch.Tensor) -> torch.Tensor:
            return function(*arguments)

    arguments = tuple(problem.arguments)
    wanted = function(*arguments)
    program = torch.export.export(Module(), arguments)
    assert not any("swin_umamba" in str(node.target) for node in program.graph.nodes)
    assert torch.allclose(program.module()(*arguments), wanted, rtol=1e-5, atol=1e-5)
    gradient = torch.func.grad(lambda x: function(x, *arguments[1:]).square().sum())(arguments[0])
    leaf = arguments[0].clone().requires_grad_()
    function(leaf, *arguments[1:]).square().sum().backward()
    assert torch.allclose(gradient, leaf.grad, rtol=1e-4, atol=1e-4)


def test_a_device_without_kernels_takes_them_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scan, image = scan_problem(2, 1, 3, 50, 4), ss2d_problem(2, 5, 7, 6, 4, 3)
    x = torch.randn(1, 2, 3, 4)
    monkeypatch.setattr(devices, "WITH_KERNELS", ())
    monkeypatch.setattr(devices, "_obstacles", {})
    wanted = [plain.selective_scan(*scan.arguments), plain.ss2d(*image.arguments), plain.cross_scan(x), 4 * x]
    with pytest.warns(UserWarning, match="on cpu: there are no kernels for cpu; plain torch operations are used"):
        seen = [swin_umamba_ext.selective_scan(*scan.arguments)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen += [swin_umamba_ext.ss2d(*image.arguments), swin_umamba_ext.cross_scan(x)]
        seen.append(swin_umamba_ext.cross_merge(seen[-1], 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(seen, wanted, strict=True))
