"""Random problems for the emulated kernels, and what the definition in PyTorch says of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from swin_umamba_ext import reference

# Largest error over the largest value of the exact result. The half types are rounded once, on output.
TOLERANCE = {"float32": 2e-5, "float16": 2e-3, "bfloat16": 1.5e-2}
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def to_numpy(x: torch.Tensor | None) -> np.ndarray | None:
    """Contiguous array; bfloat16 becomes its bits in uint16."""
    if x is None:
        return None
    x = x.detach().contiguous()
    return x.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else x.numpy()


def to_double(x: np.ndarray | torch.Tensor) -> torch.Tensor:
    if isinstance(x, np.ndarray):
        x = torch.from_numpy(x)
        x = x.view(torch.bfloat16) if x.dtype == torch.uint16 else x
    return x.double()


def assert_close(
    name: str, got: np.ndarray, wanted: torch.Tensor, dtype: str = "float32", scale: float | None = None
) -> None:
    """``got`` is within the tolerance of ``dtype`` of ``wanted``, relative to the largest value."""
    got = to_double(got)
    assert got.shape == wanted.shape, f"{name}: shape {tuple(got.shape)}, wanted {tuple(wanted.shape)}"
    if not wanted.numel():
        return
    assert torch.isfinite(got).all(), f"{name} has values that are not finite"
    scale = max(float(wanted.abs().max()), 1e-3) if scale is None else scale
    error = float((got - wanted).abs().max()) / scale
    assert error <= TOLERANCE[dtype], f"{name}: relative error {error:.2e} in {dtype}"


@dataclass
class ScanProblem:
    """One selective scan; sizes and options are what hypothesis draws."""

    batch: int
    groups: int
    channels_per_group: int
    length: int
    state: int
    constant_B: bool = False
    constant_C: bool = False
    with_D: bool = True
    with_z: bool = True
    with_bias: bool = True
    softplus: bool = True
    dtype: str = "float32"
    seed: int = 0
    tensors: dict[str, torch.Tensor | None] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        g = torch.Generator().manual_seed(self.seed)
        dim = self.groups * self.channels_per_group
        data = DTYPES[self.dtype]

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=g)

        def matrix(constant: bool) -> torch.Tensor:
            if constant:
                return normal(dim, self.state)
            return normal(self.batch, self.groups, self.state, self.length).to(data)

        sequence = (self.batch, dim, self.length)
        delta = normal(*sequence) if self.softplus else torch.rand(sequence, generator=g) * 0.5
        self.tensors = {
            "u": normal(*sequence).to(data),
            "delta": delta.to(data),
            "A": -torch.exp(normal(dim, self.state)),
            "B": matrix(self.constant_B),
            "C": matrix(self.constant_C),
            "D": normal(dim) if self.with_D else None,
            "z": normal(*sequence).to(data) if self.with_z else None,
            "delta_bias": torch.rand(dim, generator=g) * 0.1 if self.with_bias else None,
        }
        self.grad_out = normal(*sequence).to(data)
        self.grad_last_state = normal(self.batch, dim, self.state)

    def arrays(self) -> dict[str, object]:
        return {n: to_numpy(t) for n, t in self.tensors.items()} | {"delta_softplus": self.softplus}

    def forward(self) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """Output, last state and the differentiable inputs, in float64."""
        inputs = {n: t.double().requires_grad_() for n, t in self.tensors.items() if t is not None}
        arguments = {n: inputs.get(n) for n in self.tensors}
        out, last = reference.selective_scan(**arguments, delta_softplus=self.softplus, return_last_state=True)
        return out, last, inputs

    def gradients(self, with_last_state: bool) -> dict[str, torch.Tensor]:
        out, last, inputs = self.forward()
        loss = (out * self.grad_out.double()).sum()
        if with_last_state:
            loss = loss + (last * self.grad_last_state.double()).sum()
        return dict(zip(inputs, torch.autograd.grad(loss, list(inputs.values()), allow_unused=True), strict=True))


@dataclass
class ImageProblem:
    """One ss2d."""

    batch: int
    height: int
    width: int
    dim: int
    state: int
    rank: int
    dtype: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        g = torch.Generator().manual_seed(self.seed)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=g)

        rows = self.rank + 2 * self.state
        self.x = normal(self.batch, self.height, self.width, self.dim).to(DTYPES[self.dtype])
        self.x_proj_weight = normal(4, rows, self.dim) / self.dim**0.5
        self.parameters = {
            "dt_projs_weight": normal(4, self.dim, self.rank) / self.rank**0.5,
            "dt_projs_bias": normal(4, self.dim) - 2,
            "A_logs": normal(4 * self.dim, self.state) * 0.5,
            "Ds": normal(4 * self.dim),
        }
        self.grad_out = normal(self.batch, self.height, self.width, self.dim)

    def project(self) -> torch.Tensor:
        """(B, H*W, 4, R+2N), in float64."""
        return torch.einsum("blc,krc->blkr", self.x.double().flatten(1, 2), self.x_proj_weight.double())

    def arrays(self) -> dict[str, np.ndarray]:
        tensors = {"x": self.x, "x_proj_weight": self.x_proj_weight} | self.parameters
        return {n: to_numpy(t) for n, t in tensors.items()}

    def forward(self) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Output and the differentiable inputs x, x_proj_weight and the rest, in float64."""
        tensors = [self.x, self.x_proj_weight, *self.parameters.values()]
        inputs = [t.double().requires_grad_() for t in tensors]
        return reference.ss2d(*inputs), inputs

    def gradients(self) -> dict[str, torch.Tensor]:
        out, inputs = self.forward()
        names = ["x", "x_proj_weight", *self.parameters]
        return dict(zip(names, torch.autograd.grad(out, inputs, self.grad_out.double()), strict=True))
