"""A table that memory cannot hold: its cells on disk, read by columns."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glia.data.cache import cache_folder
from glia.data.images.draws import splitmix64
from glia.data.tables.source import Int64s, Piece, no_column
from glia.disk import Scratch


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
