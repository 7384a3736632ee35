"""Wrong arguments: the error names the argument, what was seen and what is wanted."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch

import swin_umamba_ext
from swin_umamba_ext import reference

from ..problems.depthwise_conv_silu import conv_problem
from ..problems.gated_layer_norm import gated_layer_norm_problem
from ..problems.instance_norm import instance_norm_problem
from ..problems.operators import scan_problem, ss2d_problem


@pytest.fixture(params=[swin_umamba_ext, reference], ids=["kernels", "reference"])
def operators(request: pytest.FixtureRequest):
    return request.param


@pytest.mark.parametrize("name", swin_umamba_ext.__all__)
def test_every_operator_has_a_twin_with_its_arguments(name: str) -> None:
    assert inspect.signature(getattr(reference, name)) == inspect.signature(getattr(swin_umamba_ext, name))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda x: x[0], ValueError, r"x must have shape \(B, C, H, W\), 4 dimensions, got \(3, 4, 5\)"),
        (lambda x: x[:, :, :0], ValueError, r"x must have shape .* got \(2, 3, 0, 5\)"),
        (lambda x: x.int(), TypeError, "x must have one of the dtypes float32, .* got torch.int32"),
        (lambda x: x.to(torch.complex64), TypeError, "x must be real"),
        (lambda x: x.numpy(), TypeError, "x must be a torch.Tensor, got ndarray"),
        (lambda x: x.to_sparse(), TypeError, "x must be a dense"),
    ],
)
def test_cross_scan(operators, change: Callable, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        operators.cross_scan(change(torch.randn(2, 3, 4, 5)))


@pytest.mark.parametrize(
    ("height", "width", "error", "message"),
    [
        (4, 6, ValueError, r"y must have shape \(B, 4, C, height\*width\) = \(≥1, 4, ≥1, 24\), got \(2, 4, 3, 20\)"),
        (-4, -5, ValueError, "height must be at least 1, got -4"),
        (4.0, 5, TypeError, "height must be an int, got float"),
    ],
)
def test_cross_merge(operators, height: int, width: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        operators.cross_merge(torch.randn(2, 4, 3, 20), height, width)


@pytest.mark.parametrize(
    ("name", "change", "error", "message"),
    [
        ("u", lambda t: t[0], ValueError, r"u must have shape \(B, D, L\)"),
        ("delta", lambda t: t[..., 1:], ValueError, r"delta must have shape .* = \(2, 6, 7\), got \(2, 6, 6\)"),
        ("A", lambda t: t[1:], ValueError, r"A must have shape \(D, N\) = \(6, ≥1\), got \(5, 3\)"),
        ("A", lambda t: t.to(torch.complex64), TypeError, "A must be real"),
        ("B", lambda t: t[:, :, 1:], ValueError, r"B must have shape .*, got \(2, 2, 2, 7\)"),
        ("B", lambda t: t.repeat(1, 2, 1, 1), ValueError, "B has 4 groups, which do not divide the 6 channels"),
        ("C", lambda t: t[0, 0, 0], ValueError, r"C must have shape \(D, N\), \(B, N, L\) or \(B, G, N, L\)"),
        ("D", lambda t: t[1:], ValueError, r"D must have shape \(D\) = \(6\), got \(5,\)"),
        ("z", lambda t: t[:1], ValueError, "z must have shape"),
        ("delta_bias", lambda t: t.long(), TypeError, "delta_bias must have one of the dtypes"),
        ("u", lambda t: t.double(), TypeError, "float64 must be used for all arguments or none"),
        ("A", lambda t: t.to("meta"), ValueError, "A is on meta but u is on cpu"),
        ("delta_softplus", lambda _: "False", TypeError, "delta_softplus must be a bool, got str"),
        ("return_last_state", lambda _: None, TypeError, "return_last_state must be a bool, got NoneType"),
    ],
)
def test_selective_scan(operators, name: str, change: Callable, error: type[Exception], message: str) -> None:
    arguments = scan_problem(2, 2, 3, 7, 3).inputs
    arguments[name] = change(arguments.get(name))
    with pytest.raises(error, match=message):
        operators.selective_scan(**arguments)


@pytest.mark.parametrize(
    ("name", "change", "error", "message"),
    [
        ("x", lambda t: t[0], ValueError, r"x must have shape \(B, H, W, D\)"),
        (
            "x_proj_weight",
            lambda t: t[:, 1:],
            ValueError,
            r"x_proj_weight must have shape .* = \(4, 8, 5\), got \(4, 7",
        ),
        ("dt_projs_weight", lambda t: t[:3], ValueError, r"dt_projs_weight must have shape \(4, D, R\)"),
        ("dt_projs_bias", lambda t: t.flatten(), ValueError, "dt_projs_bias must have shape"),
        ("A_logs", lambda t: t[:-1], ValueError, r"A_logs must have shape \(4\*D, N\) = \(20, ≥1\), got \(19, 3\)"),
        ("Ds", lambda t: t[:-1], ValueError, r"Ds must have shape"),
        ("x", lambda t: t.double(), TypeError, "float64 must be used for all arguments or none"),
        ("Ds", lambda t: t.to("meta"), ValueError, "Ds is on meta but x is on cpu"),
    ],
)
def test_ss2d(operators, name: str, change: Callable, error: type[Exception], message: str) -> None:
    arguments = ss2d_problem(1, 3, 4, 5, 3, 2).inputs
    arguments[name] = change(arguments[name])
    with pytest.raises(error, match=message):
        operators.ss2d(**arguments)


@pytest.mark.parametrize(
    ("name", "change", "error", "message"),
    [
        ("x", lambda t: t[0], ValueError, r"x must have shape \(B, C, H, W\)"),
        ("x", lambda t: t.double(), TypeError, "float64 must be used for all arguments or none"),
        ("weight", lambda t: t[1:], ValueError, r"weight must have shape \(C\) = \(5\), got \(4,\)"),
        ("bias", lambda t: t.long(), TypeError, "bias must have one of the dtypes"),
        ("bias", lambda t: t.to("meta"), ValueError, "bias is on meta but x is on cpu"),
        ("residual", lambda t: t[:1], ValueError, r"residual must have shape .* = \(2, 5, 3, 4\), got \(1, 5, 3, 4\)"),
        ("eps", lambda _: 0.0, ValueError, r"eps must be above 0, got 0\.0"),
        ("eps", lambda _: "1e-5", TypeError, "eps must be a number, got str"),
        ("negative_slope", lambda _: -0.1, ValueError, r"negative_slope must be at least 0, got -0\.1"),
        ("negative_slope", lambda _: float("nan"), ValueError, "negative_slope must be at least 0, got nan"),
    ],
)
def test_instance_norm(operators, name: str, change: Callable, error: type[Exception], message: str) -> None:
    arguments = instance_norm_problem(2, 5, 3, 4, with_residual=True).inputs
    arguments[name] = change(arguments.get(name))
    with pytest.raises(error, match=message):
        operators.instance_norm(**arguments)


@pytest.mark.parametrize(
    ("name", "change", "error", "message"),
    [
        ("x", lambda t: t[0], ValueError, r"x must have shape \(B, H, W, D\)"),
        ("x", lambda t: t.double(), TypeError, "float64 must be used for all arguments or none"),
        ("x", lambda t: t.long(), TypeError, "x must have one of the dtypes"),
        ("weight", lambda t: t[1:], ValueError, r"weight must have shape \(D, 1, 3, 3\) = \(5, 1, 3, 3\), got \(4, 1"),
        ("weight", lambda t: t[:, 0], ValueError, r"weight must have shape \(D, 1, 3, 3\), 4 dimensions, got \(5, 3"),
        ("bias", lambda t: t[1:], ValueError, r"bias must have shape \(D\) = \(5\), got \(4,\)"),
        ("bias", lambda t: t.to("meta"), ValueError, "bias is on meta but x is on cpu"),
    ],
)
def test_depthwise_conv_silu(operators, name: str, change: Callable, error: type[Exception], message: str) -> None:
    arguments = conv_problem(2, 3, 4, 5).inputs
    arguments[name] = change(arguments.get(name))
    with pytest.raises(error, match=message):
        operators.depthwise_conv_silu(**arguments)


@pytest.mark.parametrize(
    ("name", "change", "error", "message"),
    [
        ("y", lambda t: t[1:], ValueError, r"y must have the shape of z, \(6, 5\), got \(5, 5\)"),
        ("y", lambda t: t.double(), TypeError, "float64 must be used for all arguments or none"),
        ("z", lambda t: t[:0], ValueError, r"z must have at least one dimension and not be empty, got shape \(0, 5\)"),
        ("z", lambda t: t.long(), TypeError, "z must have one of the dtypes"),
        ("weight", lambda t: t[1:], ValueError, r"weight must have shape \(D\) = \(5\), got \(4,\)"),
        ("bias", lambda t: t.to("meta"), ValueError, "bias is on meta but y is on cpu"),
        ("eps", lambda _: 0.0, ValueError, r"eps must be above 0, got 0\.0"),
        ("eps", lambda _: float("nan"), ValueError, "eps must be above 0, got nan"),
        ("eps", lambda _: "1e-5", TypeError, "eps must be a number, got str"),
    ],
)
def test_gated_layer_norm(operators, name: str, change: Callable, error: type[Exception], message: str) -> None:
    arguments = gated_layer_norm_problem(6, 5).inputs
    arguments[name] = change(arguments.get(name))
    with pytest.raises(error, match=message):
        operators.gated_layer_norm(**arguments)


def test_rows_of_any_other_matrix_must_lie_together() -> None:
    y, z, weight, bias = gated_layer_norm_problem(6, 5).arguments
    apart = torch.cat([y, y], dim=1)[:, :5]
    with pytest.raises(RuntimeError, match="y must be contiguous"):
        torch.ops.swin_umamba.gated_layer_norm(apart, z, weight, bias, 1e-5)
    with pytest.raises(RuntimeError, match="z must be contiguous"):
        torch.ops.swin_umamba.gated_layer_norm(y, z.t().contiguous().t(), weight, bias, 1e-5)
    with pytest.raises(RuntimeError, match="z has a wrong shape"):
        torch.ops.swin_umamba.gated_layer_norm(y, z[:, :4].contiguous(), weight, bias, 1e-5)


def test_pixels_that_lie_unequally_far_apart_are_refused() -> None:
    x, weight, bias = conv_problem(2, 3, 4, 5).arguments
    for other in (x.transpose(1, 2), x[:, :, :3], x[:, ::2], torch.cat([x, x])[::2], x.permute(0, 1, 3, 2)):
        with pytest.raises(RuntimeError, match="x must be contiguous"):
            torch.ops.swin_umamba.depthwise_conv_silu(other, weight, bias)


def test_a_direct_call_with_wrong_shapes_does_not_read_out_of_bounds() -> None:
    x, *weights = ss2d_problem(1, 3, 4, 5, 3, 2).arguments
    with pytest.raises(RuntimeError, match="x_proj_weight has a wrong shape"):
        torch.ops.swin_umamba.ss2d(x[..., :4].contiguous(), *weights, False)
