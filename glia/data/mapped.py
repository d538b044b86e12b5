"""Rows that memory cannot hold, in a file that is mapped: what is asked for comes in, and is forgotten again."""

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glia.data.cache import cache_folder
from glia.disk import Scratch

Int64s = NDArray[np.int64]
RESIDENT = 1 << 30  # bytes of a mapped file that may stay in memory; beyond it the system is told to forget them
ENOUGH = 1 << 21  # rows of a part from which its figures are told, where it has more
LONG = 4096  # bytes of a row from which a loop in Python costs less than copying twice
_SEEN = 1 << 16  # bytes that the system brings in for each row that is asked for, at most
_COLUMNS = 1 << 27  # bytes of columns that are taken out of the rows at once


class Written:
    """Rows of numbers that go to a file, piece by piece. kind: of what, for the folder of the cache."""

    def __init__(self, kind: str) -> None:
        self.file, self.rows = Scratch(cache_folder(kind)), 0

    def add(self, values: NDArray[Any]) -> None:
        """values: (n, ...), all of one type and width."""
        self.dtype, self.shape = values.dtype, values.shape[1:]
        self.file.add(np.ascontiguousarray(values).data.cast("B"))
        self.rows += len(values)

    def mapped(self) -> "MappedRows":
        return MappedRows(self.file.map(), self.dtype, (self.rows, *self.shape))

    def tensor(self) -> Tensor:
        """All rows, of which only those that are looked at come into memory."""
        values = np.frombuffer(self.file.map(private=True), dtype=self.dtype)
        return torch.from_numpy(values.reshape(self.rows, *self.shape))


class MappedRows:
    """Rows (N, ...) of a mapped file: `Rows` of `glia.data.batches`. places: where in the file each row lies."""

    def __init__(
        self, memory: mmap.mmap, dtype: np.dtype[Any], shape: tuple[int, ...], places: Int64s | None = None
    ) -> None:
        self.memory, self.values = memory, np.frombuffer(memory, dtype=dtype).reshape(shape)
        self.places, self._seen = places, 0

    def __len__(self) -> int:
        return len(self.values if self.places is None else self.places)

    def only(self, rows: Int64s) -> "MappedRows":
        """Some of the rows, nothing copied."""
        places = rows if self.places is None else self.places[rows]
        return MappedRows(self.memory, self.values.dtype, self.values.shape, places)

    def take(self, index: Tensor) -> Tensor:
        """The rows at `index`; long ones are read in the order in which they lie."""
        places = index.numpy() if self.places is None else self.places[index.numpy()]
        if self.values[:1].nbytes < LONG:
            found = np.take(self.values, places, axis=0)  # many times faster than with brackets, or in order
        else:
            found = np.empty((len(places), *self.values.shape[1:]), dtype=self.values.dtype)
            for place in places.argsort(kind="stable").tolist():  # so that each is copied but once
                found[place] = self.values[places[place]]
        self._forget(len(places) * (_SEEN + self.values[:1].nbytes))
        return torch.from_numpy(found)

    def columns(self, step: int = 1) -> Iterator[NDArray[Any]]:
        """Each column of every `step`th row."""
        rows, width = -(-len(self) // step), self.values.shape[1]
        some = max(1, _COLUMNS // max(1, rows * self.values.itemsize))
        for start in range(0, width, some):
            found = np.empty((min(some, width - start), rows), dtype=self.values.dtype)
            for first in range(0, rows, 1 << 14):
                part = self.values[first * step : (first + (1 << 14)) * step : step, start : start + some]
                found[:, first : first + len(part)] = part.T
                self._forget(len(part) * (step * self.values[:1].nbytes))
            yield from found

    def _forget(self, more: int) -> None:
        """Let the system take back what was read, once it may be much."""
        self._seen += more
        if self.values.nbytes > RESIDENT and self._seen > RESIDENT:
            self.memory.madvise(mmap.MADV_DONTNEED)
            self._seen = 0
