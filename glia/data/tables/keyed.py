"""To which part a row goes, by what is in the row alone: for tables of which no list of all rows is held."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glia.data.images.draws import splitmix64, uniform
from glia.data.tables.cells import numbers
from glia.data.tables.columns import Plan, read_plan
from glia.data.tables.source import Piece
from glia.data.tables.target import Answer

TRAIN, VALID, TEST = range(3)


@dataclass(frozen=True)
class Rule:
    """plans: of the columns whose equal rows stay in one part; none where a row's number decides. group: or the column
    that does. cuts: or the earliest times of validation and test, by the column `time`.

    rare: class indices whose rows all train. Any two machines divide alike: no library's own hash is used.
    """

    key: int
    valid_share: float
    test_share: float
    answer: Answer
    rare: tuple[int, ...] = ()
    plans: tuple[Plan, ...] = ()
    group: str | None = None
    time: Plan | None = None
    cuts: tuple[float, float] = (np.inf, np.inf)

    def __call__(self, piece: Piece) -> NDArray[np.int8]:
        """(N,) number of each row's part."""
        if self.time is not None:
            at = time_values(piece, self.time)
            return np.where(at >= self.cuts[1], TEST, np.where(at >= self.cuts[0], VALID, TRAIN)).astype(np.int8)
        drawn = uniform(self.key, self._keys(piece).view(np.int64))
        valid = self.test_share + (1 - self.test_share) * self.valid_share
        parts = np.where(drawn < self.test_share, TEST, np.where(drawn < valid, VALID, TRAIN)).astype(np.int8)
        if self.rare:
            parts[np.isin(self.answer.values(piece).numpy(), self.rare)] = TRAIN
        return parts

    def _keys(self, piece: Piece) -> NDArray[np.uint64]:
        rows = piece.rows.astype(np.uint64)
        if self.group is not None:
            cells = piece.column(self.group).cast(pl.String)
            return np.where(cells.is_null().to_numpy(), rows, _text_keys(cells))
        if not self.plans:
            return rows
        found = np.zeros(len(piece), dtype=np.uint64)
        for plan in self.plans:
            found = splitmix64(self.key, (found ^ _keys_of(piece, plan)).view(np.int64))
        return found


def time_values(piece: Piece, plan: Plan) -> NDArray[np.float64]:
    """(N,) numbers that sort as the times do."""
    if plan.kind == "date":
        return read_plan(piece, plan).dt.epoch("us").to_numpy().astype(np.float64)
    return numbers(piece.column(plan.name), piece.decimal).to_numpy().astype(np.float64)


def _keys_of(piece: Piece, plan: Plan) -> NDArray[np.uint64]:
    """Of a number its bits, of anything else its spelling."""
    cells = piece.column(plan.name)
    if plan.kind != "number":
        return _text_keys(cells.cast(pl.String))
    values = numbers(cells, piece.decimal)
    keys = np.where(values.is_null(), np.nan, values.fill_null(0.0).to_numpy() + 0.0).view(np.uint64)  # -0 is 0
    if values.null_count() == cells.null_count():
        return keys
    odd = values.is_null() & cells.is_not_null()
    return np.where(odd, _text_keys(cells.cast(pl.String).set(~odd, None)), keys)


def _text_keys(cells: pl.Series) -> NDArray[np.uint64]:
    known = {text: _key(text) for text in cells.unique().drop_nulls()}
    return cells.replace_strict(known, default=0, return_dtype=pl.UInt64).fill_null(0).to_numpy()


def _key(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
