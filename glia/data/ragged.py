"""Rows of unequal lengths, kept end to end; a batch is filled up to its own longest row."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from glia.errors import GliaError


@dataclass(frozen=True)
class Ragged:
    """Rows (length, ...) of one dtype, one after the other in `values` (all lengths together, ...).

    ends: (rows,) int64, where each row ends. pad: what fills shorter rows up, at their end.
    """

    values: Tensor
    ends: Tensor
    pad: float

    @classmethod
    def of(cls, rows: Sequence[Tensor], pad: float) -> "Ragged":
        """From the rows one by one."""
        if not rows:
            raise GliaError("there are no rows")
        return cls(torch.cat(list(rows)), torch.tensor([len(row) for row in rows]).cumsum(0), pad)

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def lengths(self) -> Tensor:
        """(rows,) int64."""
        return torch.diff(self.ends, prepend=self.ends.new_zeros(1))

    def take(self, index: Tensor) -> Tensor:
        """(n, longest of them, ...), filled up with `pad`."""
        lengths = self.lengths[index]
        starts = self.ends[index] - lengths
        places = torch.arange(int(lengths.max()) if len(index) else 0)
        there = places < lengths.unsqueeze(1)
        out = self.values.new_full((*there.shape, *self.values.shape[1:]), self.pad)
        out[there] = self.values[(starts.unsqueeze(1) + places)[there]]
        return out
