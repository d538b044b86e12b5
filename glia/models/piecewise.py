"""Numbers for networks: robust scaling, and an embedding that lets a network bend where a tree would split.

Source: Gorishniy et al., On Embeddings for Numerical Features in Tabular Deep Learning (2203.05556), section 3.2,
equation 1. Two differences: the outer bins are clamped as well, so that an outlier cannot reach further than the
training rows did, and the edges (`TableFacts.edges`) respect values that hold many rows.
"""

import torch
from torch import Tensor, nn

from glia.data.facts import TableFacts

LIMIT = 1e6  # robust z beyond this is cut, so that no product below can overflow
NARROW = 1e-9  # bins narrower than this (in units of the scale) are joined with the next


def smooth_clip(z: Tensor, bound: float = 3.0) -> Tensor:
    """z / sqrt(1 + (z / bound)^2): the identity near 0, never beyond +-bound."""
    return z * torch.rsqrt(1 + (z / bound).square())


class Numbers(nn.Module):
    """Raw table (N, F) to the robust z of its number columns (N, numbers), 0 where missing, and gap marks (N, gaps)."""

    columns: Tensor
    center: Tensor
    factor: Tensor
    gap_columns: Tensor

    def __init__(self, facts: TableFacts):
        super().__init__()
        columns = number_columns(facts)
        self.register_buffer("columns", torch.tensor(columns, dtype=torch.int64))
        self.register_buffer("center", torch.tensor([facts.median[c] for c in columns], dtype=torch.float32))
        self.register_buffer("factor", torch.tensor([1 / facts.scale[c] for c in columns], dtype=torch.float32))
        gaps = [place for place, column in enumerate(columns) if facts.gaps[column]]
        self.register_buffer("gap_columns", torch.tensor(gaps, dtype=torch.int64))
        self.width, self.gaps = len(columns), len(gaps)

    def forward(self, table: Tensor) -> tuple[Tensor, Tensor]:
        z = (table.index_select(1, self.columns) - self.center) * self.factor
        missing = z.isnan()
        z = torch.where(missing, 0.0, z).clamp(-LIMIT, LIMIT)
        return z, missing.index_select(1, self.gap_columns).to(z.dtype)


class PiecewiseLinear(nn.Module):
    """Robust z (N, numbers) to how far it has passed through each bin (N, `width`): clamp(slope * z + start, 0, 1)."""

    column: Tensor
    slope: Tensor
    start: Tensor

    def __init__(self, facts: TableFacts):
        super().__init__()
        bins = [(place, *line) for place, lines in enumerate(_lines(facts)) for line in lines]
        self.register_buffer("column", torch.tensor([b[0] for b in bins], dtype=torch.int64))
        self.register_buffer("slope", torch.tensor([b[1] for b in bins], dtype=torch.float32))
        self.register_buffer("start", torch.tensor([b[2] for b in bins], dtype=torch.float32))
        self.width = len(bins)

    def forward(self, z: Tensor) -> Tensor:
        return torch.addcmul(self.start, z.index_select(1, self.column), self.slope).clamp(0, 1)


class PiecewiseEmbedding(nn.Module):
    """Robust z (N, numbers) to one learned vector a number, flat (N, `width`): linear at first, bent by training.

    h = weight * smooth_clip(z) + bias + bend^T PLE(z), with bend = 0 at the start (the authors' "version B").
    """

    slope: Tensor
    start: Tensor

    def __init__(self, facts: TableFacts, generator: torch.Generator, size: int = 16):
        super().__init__()
        lines = _lines(facts)
        most = max((len(each) for each in lines), default=0)
        padded = torch.tensor([[*each, *[(0.0, 0.0)] * (most - len(each))] for each in lines], dtype=torch.float32)
        padded = padded.reshape(len(lines), 1, most, 2)
        self.register_buffer("slope", padded[..., 0].contiguous())  # (numbers, 1, bins)
        self.register_buffer("start", padded[..., 1].contiguous())
        self.weight = nn.Parameter(torch.empty(len(lines), 1, size).uniform_(-1, 1, generator=generator))
        self.bias = nn.Parameter(torch.empty(len(lines), 1, size).uniform_(-1, 1, generator=generator))
        self.bend = nn.Parameter(torch.zeros(len(lines), most, size))
        self.width = len(lines) * size

    def forward(self, z: Tensor) -> Tensor:
        z = z.t().unsqueeze(-1)  # (numbers, N, 1)
        shares = torch.addcmul(self.start, z, self.slope).clamp(0, 1)  # (numbers, N, bins)
        line = torch.addcmul(self.bias, smooth_clip(z), self.weight)
        return torch.baddbmm(line, shares, self.bend).transpose(0, 1).flatten(1)


def number_columns(facts: TableFacts) -> list[int]:
    """Places of the number columns."""
    return [place for place, levels in enumerate(facts.levels) if not levels]


def _lines(facts: TableFacts) -> list[list[tuple[float, float]]]:
    """For each number column the slope and start of each of its bins, in units of robust z."""
    lines = []
    for column in number_columns(facts):
        edges = [(edge - facts.median[column]) / facts.scale[column] for edge in facts.edges[column]]
        lines.append(_bins(edges))
    return lines


def _bins(edges: list[float]) -> list[tuple[float, float]]:
    kept: list[float] = []
    for edge in sorted(edges):
        # Narrower bins than float32 can tell apart would divide by rounding error.
        if not kept or edge - kept[-1] > max(NARROW, 4e-7 * abs(edge)):
            kept.append(edge)
    return [(1 / (high - low), -low / (high - low)) for low, high in zip(kept, kept[1:])]
