"""The visual state space (VSS) block and a stage of several."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .ss2d import SS2D


class VSSBlock(nn.Module):
    """Residual block around SS2D: ``x + drop_path(self_attention(ln_1(x)))``.

    As in the first version of VMamba (arXiv:2401.10166v1), which the paper builds on, there is no MLP.

    Parameters
    ----------
    dim : int
        Number of channels C.
    drop_path : float
        Probability of skipping the residual branch of a sample in training (stochastic depth,
        arXiv:1603.09382).
    d_state : int
        Number of states N per channel.
    """

    def __init__(self, dim: int, drop_path: float = 0.0, d_state: int = 16) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim)
        self.self_attention = SS2D(dim, d_state=d_state)
        self.drop_path = nn.Dropout(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        branch = self.self_attention(self.ln_1(x))
        if self.training and self.drop_path.p > 0:
            branch = branch * self.drop_path(branch.new_ones(len(branch), 1, 1, 1))
        return x + branch


class VSSStage(nn.Module):
    """VSS blocks of one width, one after the other.

    Parameters
    ----------
    dim : int
        Number of channels C.
    drop_path : sequence of float
        Stochastic depth of each block; its length is the number of blocks.
    d_state : int
        Number of states N per channel.
    """

    def __init__(self, dim: int, drop_path: Sequence[float], d_state: int = 16) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(VSSBlock(dim, rate, d_state) for rate in drop_path))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        return self.blocks(x)
