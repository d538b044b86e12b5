"""Columns as the network gets them: a fitted column knows how to turn raw cells into float32, at any time the same."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from glia.data.tables.cells import codes
from glia.data.tables.columns import Plan, read_plan
from glia.data.tables.source import Piece

Float32s = np.ndarray[Any, np.dtype[np.float32]]
Float64s = np.ndarray[Any, np.dtype[np.float64]]
LARGEST = 1e37  # beyond this a difference of two float32 numbers may overflow
DATE_PARTS = ("year", "month", "day", "weekday", "hour")
DAYS = "days"


@dataclass(frozen=True)
class Column:
    """One raw column, fitted on training rows.

    plan: how its cells are read. levels: the category with code 1, 2, ...; 0 is missing, rare or unseen.
    offset: taken off in float64, before float32 would lose what follows it.
    parts: what a date gives; the days count from the earliest training date, which is `offset` days after 1970.
    Of a text, the words whose presence is told.
    """

    plan: Plan
    levels: tuple[str, ...] = ()
    offset: float = 0.0
    parts: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the matrix columns it gives."""
        name = self.plan.name
        return tuple(f"{name}.{part}" for part in self.parts) if self.plan.kind in ("date", "text") else (name,)

    def encode(self, piece: Piece) -> Float32s:
        """(N, outputs) float32: NaN where a number is missing. Errors: a cell that does not fit, with its place."""
        if self.plan.kind == "category":
            return self._codes(piece)[:, None].astype(np.float32)
        if self.plan.kind == "date":
            return date_parts(read_plan(piece, self.plan), self.parts, self.offset).astype(np.float32)
        if self.plan.kind == "text":
            return word_marks(piece.column(self.plan.name), self.parts)
        if self.plan.kind == "filled":
            return piece.column(self.plan.name).is_not_null().to_numpy()[:, None].astype(np.float32)
        values = float64s(read_plan(piece, self.plan)) - self.offset
        return np.clip(values, -LARGEST, LARGEST)[:, None].astype(np.float32)

    def _codes(self, piece: Piece) -> "np.ndarray[Any, Any]":
        index = {level: code for code, level in enumerate(self.levels, 1)}
        labels = spelled(piece, self.plan)
        return labels.replace_strict(index, default=0, return_dtype=pl.Int32).fill_null(0).to_numpy()

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Column":
        plan = Plan(**data["plan"] | {"stray": tuple(data["plan"]["stray"])})
        return cls(plan, tuple(data["levels"]), data["offset"], tuple(data["parts"]))


def words_of(texts: pl.Series) -> pl.Series:
    """The different words of each cell, in small letters; none where a cell is empty."""
    return texts.cast(pl.String).fill_null("").str.to_lowercase().str.extract_all(r"\w+").list.unique()


def word_marks(texts: pl.Series, words: tuple[str, ...]) -> Float32s:
    """(N, words) float32: 1 where the cell holds the word."""
    held = words_of(texts)
    if not words:
        return np.empty((len(texts), 0), dtype=np.float32)
    return np.stack([held.list.contains(word).to_numpy() for word in words], axis=1).astype(np.float32)


def float64s(values: pl.Series) -> Float64s:
    """Missing and infinite values become NaN."""
    array = values.to_numpy().astype(np.float64)
    return np.where(np.isfinite(array), array, np.nan)


def spelled(piece: Piece, plan: Plan) -> pl.Series:
    """The cells of a category as its levels are spelled; words where numbers were expected stay words."""
    series = piece.column(plan.name)
    return codes(series, plan.numeric, piece.decimal).fill_null(series.cast(pl.String))


def date_parts(times: pl.Series, parts: tuple[str, ...], first_day: float) -> Float64s:
    """(N, parts) float64, NaN where there is no date. Months and weekdays count from 1, Monday is 1."""
    columns = []
    for part in parts:
        if part == DAYS:
            columns.append(float64s(times.dt.epoch("us").cast(pl.Float64)) / 86_400e6 - first_day)
        else:
            columns.append(float64s(getattr(times.dt, part)().cast(pl.Float64)))
    return np.stack(columns, axis=1) if columns else np.empty((len(times), 0))
