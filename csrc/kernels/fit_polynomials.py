"""Fit the polynomials of polynomials.h to the least largest relative error.

    python csrc/kernels/fit_polynomials.py

prints their coefficients, rounded to float32, of which the lowest is given, and their relative errors.
Lawson's algorithm: least squares, with each point's weight multiplied by its error until all peaks are equal.
"""

from __future__ import annotations

import numpy as np


def fit(x: np.ndarray, target: np.ndarray, degrees: range, fixed: float = 0.0) -> tuple[np.ndarray, float]:
    """Fit ``fixed + sum(c_i * x**i for i in degrees)`` to ``target``."""
    rows = (x[:, None] ** np.array(degrees)) / target[:, None]
    rest = (target - fixed) / target
    weight = np.full(len(x), 1.0 / len(x))
    best, least = None, np.inf
    for _ in range(500):
        root = np.sqrt(weight)[:, None]
        coefficients = np.linalg.lstsq(rows * root, rest * root[:, 0], rcond=None)[0]
        error = np.abs(rows @ coefficients - rest)
        if error.max() < least:
            best, least = coefficients, error.max()
        weight *= error
        weight /= weight.sum()
    rounded = best.astype(np.float32).astype(np.float64)
    return rounded, float(np.abs(rows @ rounded - rest).max())


def show(name: str, lowest: float, fitted: tuple[np.ndarray, float]) -> None:
    coefficients, error = fitted
    print(f"{name}, relative error {error:.1e}:", ", ".join(f"{np.float32(c)}f" for c in (lowest, *coefficients)))


def main() -> None:
    points = np.cos(np.linspace(0, np.pi, 2002)[1:-1])
    f = points / 2
    show("exp2", 1.0, fit(f, np.exp2(f), range(1, 6), fixed=1.0))
    e = (points + 1) / 2
    show("log1p", 0.0, fit(e, np.log1p(e), range(1, 11)))


if __name__ == "__main__":
    main()
