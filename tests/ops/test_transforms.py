"""torch.func, torch.compile and torch.export around the operators: the same numbers, or an error that says why not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

import swin_umamba_ext
from swin_umamba_ext import reference

from ..problems.depthwise_conv_silu import conv_problem
from ..problems.gated_layer_norm import gated_layer_norm_problem
from ..problems.instance_norm import instance_norm_problem
from ..problems.operators import scan_problem, ss2d_problem


def _scan(*tensors: Tensor | None) -> Tensor:
    return swin_umamba_ext.selective_scan(*tensors, delta_softplus=True)


def _merge(y: Tensor) -> Tensor:
    return swin_umamba_ext.cross_merge(y, 3, 4)


def _norm(*tensors: Tensor) -> Tensor:
    return swin_umamba_ext.instance_norm(*tensors, negative_slope=0.01)


CALLS = {
    "cross_scan": (swin_umamba_ext.cross_scan, [torch.randn(2, 5, 3, 4)]),
    "cross_merge": (_merge, [torch.randn(2, 4, 5, 12)]),
    "selective_scan": (_scan, scan_problem(2, 2, 5, 40, 3, with_D=False).arguments),
    "ss2d": (swin_umamba_ext.ss2d, ss2d_problem(2, 3, 4, 5, 3, 2).arguments),
    "instance_norm": (_norm, instance_norm_problem(2, 5, 3, 4, with_residual=True).arguments),
    "depthwise_conv_silu": (swin_umamba_ext.depthwise_conv_silu, conv_problem(2, 3, 4, 5).arguments),
    "gated_layer_norm": (swin_umamba_ext.gated_layer_norm, gated_layer_norm_problem(6, 5).arguments),
}
COMPOSED = ("depthwise_conv_silu", "gated_layer_norm")
"""Compilers are given PyTorch's functions instead, which make one pass of them too."""
OPERATORS = pytest.mark.parametrize(
    ("name", "function", "arguments"), [(name, *call) for name, call in CALLS.items()], ids=CALLS
)


def test_every_operator_is_among_them() -> None:
    assert set(CALLS) == set(swin_umamba_ext.__all__)


def _refused(name: str):
    message = rf"\(jvp, jacfwd\) of {name} are not implemented; .*swin_umamba_ext\.reference\.{name}"
    return pytest.raises(NotImplementedError, match=message)


@OPERATORS
def test_forward_mode_is_an_error(name: str, function: Callable[..., Tensor], arguments: list) -> None:
    for position in (0, len(arguments) - 1):
        tensor = arguments[position]

        def of_one(t: Tensor, position: int = position) -> Tensor:
            return function(*arguments[:position], t, *arguments[position + 1 :])

        with _refused(name):
            torch.func.jvp(of_one, (tensor,), (torch.ones_like(tensor),))
        with _refused(name):
            torch.func.jacfwd(of_one)(tensor)
        with _refused(name):
            torch.func.jvp(torch.vmap(of_one), (tensor[None],), (torch.ones_like(tensor)[None],))
        with forward_ad.dual_level(), _refused(name):
            of_one(forward_ad.make_dual(tensor, torch.ones_like(tensor)))


@OPERATORS
def test_forward_mode_of_something_else(name: str, function: Callable[..., Tensor], arguments: list) -> None:
    wanted = function(*arguments)
    with forward_ad.dual_level():
        assert torch.equal(function(*arguments), wanted)


def test_the_reference_has_forward_mode() -> None:
    arguments = ss2d_problem(1, 2, 3, 2, 2, 1, dtype=torch.float64).arguments
    x, step = arguments[0], torch.randn(arguments[0].shape, dtype=torch.float64)

    def function(t: Tensor) -> Tensor:
        return reference.ss2d(t, *arguments[1:])

    _, seen = torch.func.jvp(function, (x,), (step,))
    torch.testing.assert_close(seen, (function(x + 1e-6 * step) - function(x - 1e-6 * step)) / 2e-6)


@OPERATORS
def test_compiled_operator(name: str, function: Callable[..., Tensor], arguments: list) -> None:
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    seen, wanted = compiled(*arguments), function(*arguments)
    if name in COMPOSED:
        torch.testing.assert_close(seen, wanted)
    else:
        assert torch.equal(seen, wanted)


def test_forward_mode_of_a_compiled_operator_is_an_error() -> None:
    x = torch.randn(1, 2, 3, 4)
    compiled = torch.compile(swin_umamba_ext.cross_scan, backend="aot_eager")
    compiled(x)
    with forward_ad.dual_level(), _refused("cross_scan"):
        compiled(forward_ad.make_dual(x, x))


@pytest.mark.parametrize("grad", [False, True])
def test_compiled_selective_scan_of_any_size(grad: bool) -> None:
    # a function of its own, since torch.compile keeps what it knows of sizes with the function
    def function(*tensors: Tensor | None) -> Tensor:
        return swin_umamba_ext.selective_scan(*tensors, delta_softplus=True)

    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend="aot_eager")
    for batch, groups, length in ((2, 2, 50), (3, 4, 130)):
        arguments = [t.requires_grad_(grad) for t in scan_problem(batch, groups, 6, length, 5).arguments]
        outputs = [f(*arguments) for f in (compiled, function)]
        assert torch.equal(*outputs)
        if grad:
            grads = [torch.autograd.grad(y.square().sum(), arguments) for y in outputs]
            assert all(torch.equal(*pair) for pair in zip(*grads, strict=True))


def test_compiled_selective_scan_with_different_groups() -> None:
    u, delta, A, B, C, *rest = scan_problem(2, 6, 2, 20, 3, with_z=False).arguments
    arguments = (u, delta, A, B[:, :2], C[:, :3], *rest)
    compiled = torch.compile(_scan, fullgraph=True, dynamic=True, backend="aot_eager")
    assert torch.equal(compiled(*arguments), _scan(*arguments))


DIFFERENTIATED = pytest.mark.parametrize(
    ("name", "arguments", "options"),
    [
        (
            "selective_scan",
            scan_problem(2, 2, 3, 40, 2, with_z=False, dtype=torch.float64).arguments,
            {"delta_softplus": True},
        ),
        ("ss2d", ss2d_problem(1, 11, 13, 3, 2, 1, dtype=torch.float64).arguments, {}),
        (
            "instance_norm",
            instance_norm_problem(2, 3, 4, 5, with_residual=True, dtype=torch.float64).arguments,
            {"negative_slope": 0.1},
        ),
        ("depthwise_conv_silu", conv_problem(1, 3, 4, 5, dtype=torch.float64).arguments, {}),
        ("gated_layer_norm", gated_layer_norm_problem(6, 5, dtype=torch.float64).arguments, {}),
    ],
    ids=["selective_scan", "ss2d", "instance_norm", "depthwise_conv_silu", "gated_layer_norm"],
)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@DIFFERENTIATED
def test_transforms_of_reverse_mode(name: str, arguments: list, options: dict) -> None:
    *rest, parameter = [a for a in arguments if a is not None]
    if name == "selective_scan":
        u, delta, A, B, C, D, bias = [a for a in arguments if a is not None]
        rest, parameter = [u, delta], A

        def call(module: object, t: Tensor, p: Tensor) -> Tensor:
            return module.selective_scan(t, delta, p, B, C, D, None, bias, **options)
    elif name == "instance_norm":
        x, weight, bias, parameter = arguments
        rest = [x]

        def call(module: object, t: Tensor, p: Tensor) -> Tensor:
            return module.instance_norm(t, weight, bias, p, **options)
    else:
        weights = rest[1:]

        def call(module: object, t: Tensor, p: Tensor) -> Tensor:
            return getattr(module, name)(t, *weights, p)

    first = rest[0]
    batched = torch.stack([first, -first, 0.5 * first])

    def results(module: object) -> list[Tensor]:
        def loss(t: Tensor, p: Tensor) -> Tensor:
            return call(module, t, p).sin().sum()

        value, pullback = torch.func.vjp(lambda t: call(module, t, parameter), first)
        leaf = batched.clone().requires_grad_()
        torch.vmap(loss, in_dims=(0, None))(leaf, parameter).sum().backward()
        return [
            *torch.func.grad(loss, argnums=(0, 1))(first, parameter),
            *pullback(torch.ones_like(value)),
            torch.func.jacrev(lambda p: call(module, first, p).flatten()[:5])(parameter),
            *torch.vmap(torch.func.grad(loss, argnums=(0, 1)), in_dims=(0, None))(batched, parameter),
            torch.func.grad(lambda t: torch.vmap(loss, in_dims=(0, None))(t, parameter).sum())(batched),
            leaf.grad,
        ]

    for seen, wanted in zip(results(swin_umamba_ext), results(reference), strict=True):
        torch.testing.assert_close(seen, wanted, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["cross_scan", "cross_merge"])
def test_transforms_of_cross_scan(name: str) -> None:
    shape, options = ((2, 3, 4, 5), ()) if name == "cross_scan" else ((2, 4, 3, 20), (4, 5))
    x = torch.randn(shape, dtype=torch.float64)

    def results(module: object) -> list[Tensor]:
        function = getattr(module, name)

        def loss(t: Tensor) -> Tensor:
            return function(t, *options).pow(3).sum()

        second = torch.func.grad(lambda t: torch.func.grad(loss)(t).sin().sum())
        return [second(x), torch.func.jacrev(lambda t: function(t, *options))(x[:1]), torch.vmap(second)(x[:, None])]

    for seen, wanted in zip(results(swin_umamba_ext), results(reference), strict=True):
        torch.testing.assert_close(seen, wanted)


@DIFFERENTIATED
def test_second_derivatives_are_an_error(name: str, arguments: list, options: dict) -> None:
    first, *rest = arguments

    def loss(t: Tensor) -> Tensor:
        return getattr(swin_umamba_ext, name)(t, *rest, **options).sin().sum()

    message = rf"second derivatives of {name} are not implemented; those of swin_umamba_ext\.reference\.{name} are"
    with pytest.raises(NotImplementedError, match=message):
        torch.func.grad(lambda t: torch.func.grad(loss)(t).square().sum())(first)
    with _refused(name):
        torch.func.hessian(loss)(first)


@OPERATORS
def test_nested_tensors_are_an_error(name: str, function: Callable[..., Tensor], arguments: list) -> None:
    nested = torch.nested.nested_tensor([arguments[0][0], arguments[0][0][..., :2]])
    with pytest.raises(TypeError, match=r"must not be nested: call the operator for each of its tensors"):
        function(nested, *arguments[1:])


class _Network(torch.nn.Module):
    def __init__(self, parameters: list[Tensor]) -> None:
        super().__init__()
        self.weights = torch.nn.ParameterList(parameters)

    def forward(self, x: Tensor) -> Tensor:
        return swin_umamba_ext.ss2d(x, *self.weights)


@pytest.mark.parametrize("strict", [False, True])
def test_exported_ss2d_of_any_height(strict: bool) -> None:
    x, *parameters = ss2d_problem(2, 9, 7, 5, 3, 2).arguments
    network = _Network(parameters)
    sizes = ({1: torch.export.Dim("height", min=2, max=200)},)
    exported = torch.export.export(network, (x,), dynamic_shapes=sizes, strict=strict).module()
    for height in (2, 18, 19, 200):  # 128 pixels lie between the second and the third
        image = torch.randn(2, height, 7, 5)
        seen = exported(image)
        assert torch.equal(seen, network(image))
    with pytest.raises(RuntimeError, match=r"through graphs of torch\.export are not supported"):
        seen.sum().backward()


def test_exported_selective_scan_of_any_length() -> None:
    class Scan(torch.nn.Module):
        def forward(self, *tensors: Tensor) -> Tensor:
            return _scan(*tensors)

    arguments = [t.requires_grad_() for t in scan_problem(2, 2, 3, 40, 3).arguments]
    length = torch.export.Dim("length", min=2, max=500)
    sizes = (tuple({t.dim() - 1: length} if 40 in t.shape else None for t in arguments),)
    exported = torch.export.export(Scan(), tuple(arguments), dynamic_shapes=sizes).module()
    other = scan_problem(2, 2, 3, 333, 3).arguments
    assert torch.equal(exported(*other), _scan(*other))
