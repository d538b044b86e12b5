"""What every table reader gives: rows as a polars frame, in pieces, each row with its place in the source."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from glia.errors import GliaError, nearest

MISSING_WORDS = (
    *("", "?", "-", "NA", "N/A", "n/a", "na", "#N/A", "<NA>", "NaN", "nan", "NAN"),
    *("null", "NULL", "Null", "None", "none", "NONE"),
)
"""Cells that mean "no value", after the spaces around them are gone."""

Int64s = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class ReadOptions:
    """How a table is to be read. None: worked out from the file.

    likely_decimal: the decimal sign to assume when a file shows neither.
    names, optional: the columns of a file without a header, and which of them may be left out.
    limits: what of glia.limits the user raised.
    """

    header: bool | None = None
    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    likely_decimal: str = "."
    names: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    limits: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Any) -> "ReadOptions":
        """As the settings `data` (glia.recipe.Data) ask."""
        names = ("header", "separator", "decimal", "encoding", "limits")
        return cls(**{name: getattr(data, name) for name in names})


@dataclass(frozen=True)
class Piece:
    """Some rows of a table. Text cells are stripped, and null where a value is missing.

    `frame.columns` are its columns; those of a table on disk are not in the frame, so ask for `column`.
    name: what messages call the source. rows: (N,) number of each row in the source, from 0.
    lines: (N,) line of each row in its text file, from 1; None where there are no lines.
    """

    name: str
    decimal: str
    frame: pl.DataFrame
    rows: Int64s
    lines: Int64s | None = None

    def __len__(self) -> int:
        return self.frame.height

    def place(self, index: int) -> str:
        """Where a person finds row `index` of this piece."""
        if self.lines is not None:
            return f"{self.name}, line {self.lines[index]}"
        return f"{self.name}, row {self.rows[index]} (counted from 0)"

    def take(self, index: Int64s) -> "Piece":
        lines = None if self.lines is None else self.lines[index]
        return Piece(self.name, self.decimal, self.frame[index], self.rows[index], lines)

    def column(self, name: str) -> pl.Series:
        if name not in self.frame.columns:
            raise no_column(name, self.frame.columns, self.name)
        return self.frame[name]


@dataclass(frozen=True)
class Opened:
    """A source that was looked at, but not read yet. `pieces(rows)` reads it in memory that does not grow with it."""

    name: str
    decimal: str
    columns: tuple[str, ...]
    format: dict[str, Any]
    pieces: Callable[[int], Iterator[Piece]]
    notes: tuple[str, ...] = ()
    rows: int | None = None  # as the file says
    most_rows: int = 0  # it has at most so many; 0 where the table is in memory already
    size: int = 0  # bytes of its text, or of its cells; 0 likewise
    targets: tuple[str, ...] = field(default=())  # columns that the source itself calls the answer


def join(pieces: list[Piece]) -> Piece:
    """The rows of several pieces of one source, in order."""
    first = pieces[0]
    lines = None if first.lines is None else np.concatenate([p.lines for p in pieces if p.lines is not None])
    frame = pl.concat([piece.frame for piece in pieces], how="vertical_relaxed")
    return Piece(first.name, first.decimal, frame, np.concatenate([p.rows for p in pieces]), lines)


def tidy(frame: pl.DataFrame) -> pl.DataFrame:
    """Text is stripped and missing words become null; odd types become text or numbers. Row order stays."""
    frame = frame.select(_plain_column(frame[name]) for name in frame.columns)
    text = pl.col(pl.String).str.strip_chars()
    return frame.with_columns(pl.when(~text.is_in(MISSING_WORDS)).then(text)).rechunk()


def _plain_column(series: pl.Series) -> pl.Series:
    kind = series.dtype
    if kind in (pl.Categorical, pl.Enum, pl.Null):
        return series.cast(pl.String)
    if kind == pl.Decimal:
        return series.cast(pl.Float64)
    if kind == pl.Duration:
        return series.dt.total_microseconds() / 1e6
    if kind == pl.Time:
        return series.cast(pl.Int64) / 1e9
    if kind == pl.Date or isinstance(kind, pl.Datetime):
        # What no calendar has, or not even a year of, is damage.
        return series.set(~series.dt.year().is_between(1, 9999).fill_null(value=False), None)
    return series.fill_nan(None) if kind.is_float() else series


def no_column(name: str, columns: list[str] | tuple[str, ...], source: str) -> GliaError:
    """The error for a column that is not there, with the nearest name offered."""
    close = nearest(name, columns)
    shown = ", ".join(columns[:12]) + (f", ... ({len(columns)} in all)" if len(columns) > 12 else "")
    hint = f"{close!r}" if close else None
    return GliaError(f"no column {name!r} in {source}", expected=f"one of {shown}", hint=hint)


def check_names(names: list[str], source: str) -> tuple[str, ...]:
    """Names are there once each."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise GliaError(f"{source} has two columns called {name!r}", hint="rename one of them")
        seen.add(name)
    return tuple(names)
