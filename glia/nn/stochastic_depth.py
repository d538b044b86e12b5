"""Stochastic depth: in training, whole residual branches are left out, row by row."""

import torch
from torch import Tensor, nn

from glia.errors import GliaError


class StochasticDepth(nn.Module):
    """Leaves each row of a residual branch out with probability `drop`: x + depth(branch(x)). (N, ...) -> the same.

    Huang et al. 2016, arXiv 1603.09382, section 3. Differs from the paper, which drops a branch for the whole batch and
    shrinks it in evaluation: each row has a draw of its own, and what is kept is enlarged by 1 / (1 - drop), so that
    the expectation is that of evaluation, where nothing happens.
    """

    def __init__(self, drop: float):
        super().__init__()
        if not 0 <= drop < 1:
            raise GliaError("stochastic depth", got=drop, expected="a probability from 0 to below 1")
        self.drop = drop

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or not self.drop:
            return branch
        kept = torch.rand(len(branch), *[1] * (branch.ndim - 1), device=branch.device) >= self.drop
        return torch.where(kept, branch / (1 - self.drop), 0.0)

    def extra_repr(self) -> str:
        return f"drop={self.drop:g}"


def rising(last: float, blocks: int) -> list[float]:
    """The probability of each block: a line up to that of the last one, l / L * last (equation 4 of the paper)."""
    return [last * (number + 1) / blocks for number in range(blocks)]
