"""Wrong arguments of the module over numpy raise ValueError and say what was seen and what is wanted."""

from __future__ import annotations

import numpy as np
import pytest

from ..problems.operators import scan_problem, ss2d_problem


@pytest.fixture(scope="module")
def kernels(kernel_sets):
    return kernel_sets[0]


@pytest.mark.parametrize(
    ("x", "threads", "message"),
    [
        (np.zeros((2, 3, 4), np.float32), 1, r"x must have 4 dimensions and not be empty, got shape \(2, 3, 4\)"),
        (np.zeros((2, 3, 0, 4), np.float32), 1, r"x must have 4 dimensions and not be empty, got shape \(2, 3, 0, 4\)"),
        (np.zeros((1, 1, 2, 2), np.int32), 1, "x must be float32, float64, float16 or uint16 .* got int32"),
        (np.zeros((1, 1, 2, 2), np.complex64), 1, "x must be float32, .* got complex64"),
        (np.zeros((1, 1, 2, 2), np.float32), 0, "threads must be from 1 to 256, got 0"),
    ],
)
def test_cross_scan(kernels, x, threads, message):
    with pytest.raises(ValueError, match=message):
        kernels.cross_scan(x=x, threads=threads)


@pytest.mark.parametrize(
    ("height", "width", "message"),
    [(4, 6, r"y must have shape \(2, 4, 3, 24\), got \(2, 4, 3, 20\)"), (-4, -5, "must be at least 1, got -4 and -5")],
)
def test_cross_merge(kernels, height, width, message):
    with pytest.raises(ValueError, match=message):
        kernels.cross_merge(y=np.zeros((2, 4, 3, 20), np.float32), height=height, width=width)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("u", lambda a: a[0], "u must have 3 dimensions"),
        ("delta", lambda a: a[..., 1:], r"delta must have shape \(2, 6, 70\), got \(2, 6, 69\)"),
        ("A", lambda a: a[1:], r"A must have shape \(6, 3\), got \(5, 3\)"),
        ("A", lambda a: a.astype(np.float64), "A must be float32, got float64"),
        ("B", lambda a: a[:, :, 1:], r"B must have shape \(2, 2, 3, 70\)"),
        ("B", lambda a: a.repeat(2, axis=1), "must divide the 6 channels, got 4"),
        ("C", lambda a: a[:, 0], r"C must have shape \(2, 2, 3, 70\), got \(2, 3, 70\)"),
        ("D", lambda a: a[1:], r"D must have shape \(6,\), got \(5,\)"),
        ("z", lambda a: a[:1], "z must have shape"),
        ("delta_bias", lambda a: a.astype(np.float16), "delta_bias must be float32, got float16"),
        ("grad_out", lambda a: a[:, 1:], "grad_out must have shape"),
        ("grad_last_state", lambda a: a[:, 1:], "grad_last_state must have shape"),
        ("states", lambda a: a[:, 1:], "states must have shape"),
    ],
)
def test_selective_scan(kernels, name, change, message):
    problem = scan_problem(2, 2, 3, 70, 3)
    arrays = problem.arrays() | problem.grad_arrays()
    arrays["states"] = kernels.selective_scan(**problem.arrays())["states"]
    arrays[name] = change(arrays[name])
    with pytest.raises(ValueError, match=message):
        kernels.selective_scan_backward(**arrays)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("x", lambda a: a[0], "x must have 4 dimensions"),
        ("x_proj_weight", lambda a: a[:, 1:], r"x_proj_weight must have shape \(4, 8, 5\), got \(4, 7, 5\)"),
        ("dt_projs_weight", lambda a: a[:, 1:], "dt_projs_weight must have shape"),
        ("dt_projs_bias", lambda a: a.reshape(-1), r"dt_projs_bias must have shape \(4, 5\), got \(20,\)"),
        ("A_logs", lambda a: a[1:], r"A_logs must have shape \(20, 3\), got \(19, 3\)"),
        ("Ds", lambda a: a.astype(np.float64), "Ds must be float32, got float64"),
    ],
)
def test_ss2d(kernels, name, change, message):
    arrays = ss2d_problem(1, 3, 4, 5, 3, 2).arrays()
    arrays[name] = change(arrays[name])
    with pytest.raises(ValueError, match=message):
        kernels.ss2d(**arrays)
