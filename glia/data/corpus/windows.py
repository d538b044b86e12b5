"""Windows: stretches of a long row of tokens as rows, cut out when they are asked for, wherever the tokens lie."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glia.seed import mix

EPOCH_TOKENS = (
    1 << 20
)  # of a training epoch at most: of a longer text an epoch shows every k-th window, the next others
CHECK_TOKENS = 1 << 18  # of validation and test, at even distances where there are more


@dataclass(frozen=True)
class Windows:
    """Rows (context,) of tokens: row i begins at first + i * distance of `values`.

    values: (tokens,) whole numbers, a plain or a memory-mapped array. bytes: of the text of the part in UTF-8, and
    tokens: how many it has.
    """

    values: Any
    first: int
    distance: int
    context: int
    count: int
    tokens: int
    bytes: int

    def __len__(self) -> int:
        return self.count

    def take(self, index: Tensor) -> Tensor:
        """(n, context) int64."""
        return self.at(self.first + index * self.distance)

    def at(self, places: Tensor) -> Tensor:
        """(n, context) int64: the tokens from each of these places of `values` on."""
        where = places.numpy()[:, None] + np.arange(self.context)
        return torch.from_numpy(self.values[where].astype(np.int64))


@dataclass(frozen=True)
class Part:
    """The tokens [start, end) of `values`, from a text of so many bytes."""

    values: Any
    start: int
    end: int
    bytes: int

    def __len__(self) -> int:
        return self.end - self.start

    def windows(self, context: int, *, most: int, shifting: bool = False) -> tuple[Windows, Windows, int]:
        """What is read, what is to be told (one token further), and every how many-th window is a row.

        Every token but the first is told once, but for fewer than `context` at the end. most: tokens of all rows.
        shifting: leave room to begin later.
        """
        total = max(1, (len(self) - (context if shifting else 1)) // context)
        every = -(-total // max(1, most // context))
        count = total // every if shifting else -(-total // every)
        read = Windows(self.values, self.start, every * context, context, count, len(self), self.bytes)
        told = Windows(self.values, self.start + 1, every * context, context, count, len(self), self.bytes)
        return read, told, every


@dataclass(frozen=True)
class Shifted:
    """Training windows anew in each epoch: they begin at an offset, and where an epoch shows every k-th window only,
    the next k epochs show all. A pure function of (seed, epoch, index), as `Batches.augment` wants it.
    """

    read: Windows
    told: Windows
    every: int
    room: int  # tokens by which all windows may begin later

    def __call__(self, inputs: Tensor, targets: Tensor, seed: int, epoch: int, index: Tensor) -> tuple[Tensor, Tensor]:
        turns = torch.Generator().manual_seed(mix(seed, "turns", epoch // self.every))
        turn = int(torch.randperm(self.every, generator=turns)[epoch % self.every])
        draw = torch.Generator().manual_seed(mix(seed, "offset", epoch))
        offset = int(torch.randint(0, self.room + 1, (1,), generator=draw))
        later = offset + turn * self.read.context + index * self.read.distance
        return self.read.at(self.read.first + later), self.told.at(self.told.first + later)
