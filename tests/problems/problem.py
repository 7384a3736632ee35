"""A problem of an operator: its arguments, what any backend makes of them, and how far that is from the definition."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType

import torch
from torch import Tensor

import swin_umamba_ext
from swin_umamba_ext import reference

from .arrays import ROUNDING, to_numpy, to_torch

# What a backend gives, by name; the gradient of argument NAME is "grad NAME".
Results = dict[str, Tensor]


def relative_error(seen: Tensor, wanted: Tensor, smallest: float = 1e-27) -> float:
    """Largest difference over the largest magnitude of ``wanted``, or over ``smallest`` if that is larger.

    Decays below 2^-126 = 1e-38 may be zero in a kernel. Where a gradient of A has none but these, and values up to
    some thousands beside them, the exact one and that of the kernel are both below 1e-27.
    """
    return (seen.double() - wanted).abs().max().item() / max(wanted.abs().max().item(), smallest)


@dataclass
class Problem:
    operator: str
    options: dict[str, bool]
    inputs: dict[str, Tensor | None]
    grads: dict[str, Tensor | None]  # the gradient of every result, by the result's name
    length: int

    def __repr__(self) -> str:
        shapes = {n: None if t is None else tuple(t.shape) for n, t in self.inputs.items()}
        return f"Problem({self.operator}, {next(iter(self.inputs.values())).dtype}, {shapes}, {self.options})"

    @property
    def arguments(self) -> list[Tensor | None]:
        return list(self.inputs.values())

    def arrays(self) -> dict[str, object]:
        """Arguments of ``self.operator`` in a module over numpy."""
        return {n: to_numpy(t) for n, t in self.inputs.items()} | self.options

    def grad_arrays(self) -> dict[str, object]:
        """What its backward pass takes besides these and what the forward pass has saved."""
        return {f"grad_{n}": to_numpy(t) for n, t in self.grads.items()}

    def to(self, device: str) -> Problem:
        def moved(tensors: dict[str, Tensor | None]) -> dict[str, Tensor | None]:
            return {n: None if t is None else t.to(device) for n, t in tensors.items()}

        return replace(self, inputs=moved(self.inputs), grads=moved(self.grads))

    def run(self, module: ModuleType = swin_umamba_ext, dtype: torch.dtype | None = None) -> Results:
        """Results and gradients that an operator on tensors gives, in ``dtype`` if that is given."""
        leaves = {
            n: None if t is None else t.detach().to(dtype or t.dtype).requires_grad_() for n, t in self.inputs.items()
        }
        several = {"return_last_state": True} if len(self.grads) > 1 else {}
        outputs = getattr(module, self.operator)(**leaves, **self.options, **several)
        results = dict(zip(self.grads, outputs if several else [outputs], strict=True))
        loss = [(y, self.grads[n].to(y.dtype)) for n, y in results.items() if self.grads[n] is not None]
        given = {f"grad {n}": t for n, t in leaves.items() if t is not None}
        gradients = torch.autograd.grad([y for y, _ in loss], list(given.values()), [g for _, g in loss])
        return {n: y.detach() for n, y in results.items()} | dict(zip(given, gradients, strict=True))

    def run_numpy(self, module: object, **options: int) -> Results:
        """Results and gradients that a module over numpy gives."""
        results = getattr(module, self.operator)(**self.arrays(), **options)
        saved = {n: results.pop(n) for n in list(results) if n not in self.grads}
        backward = getattr(module, f"{self.operator}_backward")
        gradients = backward(**self.arrays(), **self.grad_arrays(), **saved, **options)
        return {n: to_torch(a) for n, a in (results | {f"grad {n}": a for n, a in gradients.items()}).items()}

    @cached_property
    def wanted(self) -> Results:
        """What the definition gives in float64."""
        return self.run(reference, torch.float64)

    def definition_errors(self, beside: bool) -> dict[str, float]:
        """Errors of the definition in float32, the larger of those at A and, if ``beside``, at the numbers next to it.

        Where only one decay exp(delta A) is left in a gradient, its error is delta A times that of A or of the
        product, and whether a single evaluation rounds well there is luck.
        """
        places = [self]
        if beside and "A" in self.inputs:
            for end in (torch.tensor(-torch.inf), torch.tensor(torch.inf)):
                places.append(replace(self, inputs=self.inputs | {"A": torch.nextafter(self.inputs["A"], end)}))
        runs = [problem.run(reference, torch.float32) for problem in places]
        return {n: max(relative_error(seen[n], wanted) for seen in runs) for n, wanted in self.wanted.items()}

    def check(
        self,
        seen: Results,
        label: str = "",
        *,
        tolerance: float | None = None,
        smallest: float = 1e-27,
        beside: bool = True,
    ) -> None:
        """Every result is within 2e-6 sqrt(length) of ``wanted``, or four times the error of the float32 definition.

        With ``tolerance`` it is within that instead. A 16-bit result may be off by half a unit in the last place
        more, and a float64 result by 1e-11. The other arguments are those of the functions above.
        """
        assert seen.keys() == self.wanted.keys(), label
        definition = None
        for name, result in seen.items():
            wanted = self.wanted[name]
            assert result.shape == wanted.shape, f"{label}: {name} has shape {tuple(result.shape)}"
            assert result.isfinite().all(), f"{label}: {name} is not finite"
            error, rounding = relative_error(result, wanted, smallest), ROUNDING.get(result.dtype, 0)
            allowed = (2e-6 * self.length**0.5 if tolerance is None else tolerance) + rounding
            if result.dtype == torch.float64:
                allowed = 1e-11
            elif allowed < error and tolerance is None:
                definition = definition or self.definition_errors(beside)
                allowed = max(allowed, 4 * definition[name] + rounding)
            assert error <= allowed, (
                f"{label}: {name} ({result.dtype}) has relative error {error:.2e}, above {allowed:.2e}"
            )

    def check_where_it_fits(self, seen: Results, label: str = "") -> None:
        """Every result is finite and within 1e-3 where ``wanted`` is a number of its type."""
        for name, wanted in self.wanted.items():
            fits = wanted.abs() < 0.99 * torch.finfo(seen[name].dtype).max
            result, right = seen[name][fits].double(), wanted[fits]
            assert result.isfinite().all(), f"{label}: {name} is not finite"
            if right.numel():
                error = relative_error(result, right)
                assert error < 1e-3 + ROUNDING[seen[name].dtype], f"{label}: {name} is off by {error}"


def assert_same_bits(seen: Results, wanted: Results, label: str = "") -> None:
    assert seen.keys() == wanted.keys(), label
    for name, result in seen.items():
        bits = [array.flatten().view(torch.uint8) for array in (result, wanted[name])]
        assert torch.equal(*bits), f"{label}: {name} has other bits"
