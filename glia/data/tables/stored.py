"""A table that memory cannot hold: its cells on disk, read by columns, and rows of numbers in a mapped file."""

import io
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from glia.data.cache import cache_folder
from glia.data.images.draws import splitmix64
from glia.data.tables.source import Int64s, Piece, no_column
from glia.disk import Scratch

RESIDENT = 1 << 30  # bytes of a mapped file that may stay in memory; beyond it the system is told to forget them
_SEEN = 1 << 16  # bytes that it brings in for each row that is asked for, at most
_COLUMNS = 1 << 27  # bytes of columns that are taken out of the rows at once


class Cells:
    """Columns of text, numbers, dates, in the pieces that they came in."""

    def __init__(self) -> None:
        self.file, self.schema = Scratch(cache_folder("tables")), dict[str, pl.DataType]()
        self._places: dict[str, list[tuple[int, int]]] = {}

    def add(self, frame: pl.DataFrame) -> None:
        for name in frame.columns:
            with io.BytesIO() as packed:
                frame.select(name).write_ipc(packed, compression="lz4")
                place = self.file.add(packed.getvalue())
            self._places.setdefault(name, []).append((place, self.file.length - place))
            kind = frame.schema[name]
            if self.schema.setdefault(name, kind) != kind:
                self.schema[name] = pl.concat([pl.Series(name, [], k) for k in (self.schema[name], kind)]).dtype

    def column(self, name: str) -> pl.Series:
        return pl.concat([self._read(place, name) for place in self._places[name]])

    def pieces(self) -> Iterator[pl.DataFrame]:
        """The frames as they were added, every column of one type."""
        for places in zip(*self._places.values()):
            yield pl.DataFrame([self._read(place, name) for name, place in zip(self._places, places)])

    def _read(self, place: tuple[int, int], name: str) -> pl.Series:
        return pl.read_ipc(io.BytesIO(self.file.read(*place)))[name].cast(self.schema[name])


@dataclass(frozen=True)
class Stored(Piece):
    """A piece whose cells are on disk; its frame has the columns, but no rows.

    index: (N,) its rows among the cells; None for all of them.

    source_rows, missing: how many rows its source has, and how many of them have no value, for each column.
    drawn: these are but some of them, drawn evenly.
    """

    cells: Cells = field(default_factory=Cells)
    index: Int64s | None = None
    source_rows: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    drawn: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Int64s) -> "Stored":
        lines = None if self.lines is None else self.lines[index]
        return replace(
            self, rows=self.rows[index], lines=lines, index=index if self.index is None else self.index[index]
        )

    def column(self, name: str) -> pl.Series:
        if name not in self.frame.columns:
            raise no_column(name, self.frame.columns, self.name)
        column = self.cells.column(name)
        return column if self.index is None else column[self.index]

    def pieces(self) -> Iterator[Piece]:
        """Its rows, which must be in order, in the pieces that they were stored in."""
        done, index = 0, np.arange(len(self)) if self.index is None else self.index
        for frame in self.cells.pieces():
            here = slice(*np.searchsorted(index, [done, done + frame.height]))
            lines = None if self.lines is None else self.lines[here]
            yield Piece(self.name, self.decimal, frame[index[here] - done], self.rows[here], lines)
            done += frame.height


def row_hashes(piece: Piece, names: list[str], *, as_text: bool = False) -> NDArray[np.uint64]:
    """(N,) a number that rows share which are equal in these columns, and of others one pair in 2**64."""
    found = np.zeros(len(piece), dtype=np.uint64)
    for name in names:
        column = piece.column(name)
        column = column.cast(pl.String) if as_text else column
        found = splitmix64(0, (found ^ column.hash(seed=1).to_numpy()).view(np.int64))
    return found


class Written:
    """Rows of numbers that go to a file, piece by piece."""

    def __init__(self) -> None:
        self.file, self.rows = Scratch(cache_folder("tables")), 0

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
    """Rows (N, ...) of a mapped file: `Rows` of `glia.data.batches`."""

    def __init__(self, memory: mmap.mmap, dtype: np.dtype[Any], shape: tuple[int, ...]):
        self.memory, self.values = memory, np.frombuffer(memory, dtype=dtype).reshape(shape)
        self._seen = 0

    def __len__(self) -> int:
        return len(self.values)

    def take(self, index: Tensor) -> Tensor:
        """The rows at `index`, read in the order in which they lie."""
        order = index.numpy().argsort(kind="stable")
        found = np.empty((len(order), *self.values.shape[1:]), dtype=self.values.dtype)
        found[order] = self.values[index.numpy()[order]]
        self._forget(len(order) * (_SEEN + self.values[:1].nbytes))
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
