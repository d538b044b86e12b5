"""Equal rows: rows that share every input, which must not stand on both sides of a split."""

import numpy as np
import polars as pl

from glia.data.tables.source import Int64s, Piece
from glia.data.tables.stored import Stored, row_hashes

REPEATS, FEW_ROWS = 10, 1000  # fewer different rows than FEW_ROWS, each REPEATS times: chance, not copies


def equal_rows(frame: pl.DataFrame) -> Int64s | None:
    """(N,) number of the first row that equals each row; None when all rows differ."""
    if frame.height < 2 or not frame.is_duplicated().any():
        return None
    first = pl.col("glia row").min().over(frame.columns)
    return frame.with_row_index("glia row").select(first).to_series().to_numpy().astype(np.int64)


def is_coarse(first: Int64s) -> bool:
    """So few different rows that equal ones are no copies: keeping them together would leave out whole cases."""
    distinct = len(np.unique(first))
    return distinct < FEW_ROWS and distinct * REPEATS <= len(first)


def merged(groups: Int64s, others: Int64s) -> Int64s:
    """Groups so large that neither a group nor an other is cut: each row gets the lowest row it is linked with."""
    sides = [np.unique(side, return_inverse=True)[1] for side in (groups, others)]
    label = np.arange(len(groups))
    while True:
        before = label
        for side in sides:  # every row of a group takes the group's lowest label, until nothing changes
            lowest = np.full(int(side.max()) + 1, len(groups))
            np.minimum.at(lowest, side, label)
            label = lowest[side]
        if np.array_equal(label, before):
            return label


def shared_rows(frame: pl.DataFrame, other: pl.DataFrame) -> int:
    """How many rows of `frame` equal a row of `other` in all columns."""
    if [*frame.schema.items()] != [*other.schema.items()]:
        frame, other = frame.cast(pl.String), other.cast(pl.String)
    return frame.join(other.unique(), on=frame.columns, how="semi", nulls_equal=True).height


def equal_stored(piece: Stored, names: list[str]) -> Int64s | None:
    """As `equal_rows`, of a table on disk."""
    _, first, which = np.unique(row_hashes(piece, names), return_index=True, return_inverse=True)
    return first[which].astype(np.int64) if len(first) < len(piece) else None


def shared_stored(piece: Piece, stored: Stored, names: list[str]) -> int:
    """As `shared_rows`, where the others are on disk."""
    kinds = [[one.column(name).dtype for name in names] for one in (piece, stored)]
    ours, theirs = (row_hashes(one, names, as_text=kinds[0] != kinds[1]) for one in (piece, stored))
    return int(np.isin(ours, theirs).sum())
