"""What is learnt from training rows alone: levels of categories, and the numeric facts of every column."""

from collections.abc import Iterable

import numpy as np

from glia.data.facts import TableFacts
from glia.data.tables.columns import Plan, read_plan
from glia.data.tables.encode import (
    DATE_PARTS,
    DAYS,
    Column,
    Float32s,
    Float64s,
    date_parts,
    float64s,
    spelled,
    words_of,
)
from glia.data.tables.source import Piece

MOST_LEVELS = 255
RARE_ROWS = 3  # a level with fewer rows counts as missing ...
SMALL_TABLE = 500  # ... unless the table is so small that every row counts
BINS = 48
WORD_SHARE, MOST_WORDS = 0.03, 24
SMALL_ROWS, SMALL_BINS, ROWS_A_BIN = 2000, (4, 16), 40


def fit_column(plan: Plan, piece: Piece) -> Column:
    """piece: training rows. A date or category in which nothing varies gives a column without outputs or levels."""
    if plan.kind == "category":
        return Column(plan, levels=_levels(plan, piece))
    if plan.kind == "date":
        return _fit_date(plan, piece)
    if plan.kind == "text":
        return Column(plan, parts=_telling_words(plan, piece))
    if plan.kind == "filled":
        return Column(plan)
    return Column(plan, offset=_offset(float64s(read_plan(piece, plan))))


def fit_facts(columns: tuple[Column, ...], matrix: Float32s) -> TableFacts:
    """Facts of the training matrix (N, outputs), in its own units."""
    return facts_of(columns, matrix.T, len(matrix))


def facts_of(columns: tuple[Column, ...], matrix: Iterable[Float32s], rows: int) -> TableFacts:
    """Facts of a matrix that is given by its columns. rows: of the whole, where the columns are but a sample."""
    names = [name for column in columns for name in column.outputs]
    levels = [
        len(column.levels) + 1 if column.plan.kind == "category" else 0 for column in columns for _ in column.outputs
    ]
    facts = [_number_facts(values, rows) if not coded else _NEUTRAL for values, coded in zip(matrix, levels)]
    median, scale, low, high, gaps, edges = zip(*facts)
    return TableFacts(tuple(names), tuple(levels), median, scale, low, high, gaps, edges, rows)


def bins(rows: int) -> int:
    """Bins of the piecewise-linear embedding for a table of so many rows."""
    fewest, most = SMALL_BINS
    return BINS if rows >= SMALL_ROWS else min(most, max(fewest, rows // ROWS_A_BIN))


def spike_edges(values: Float64s, count: int) -> tuple[float, ...]:
    """At most count + 1 bin edges, ascending; none for a constant.

    Plain quantiles waste their edges on a value that many rows share (92 % zeros give 5 different edges). So each
    value with more than 1 / count of the rows is an edge of its own, and the quantiles are those of the other rows.
    Few different values: each is an edge. Piecewise-linear encoding: Gorishniy et al. 2022 (arXiv 2203.05556), 3.2.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) < 2:
        return ()
    if len(distinct) <= count + 1:
        return tuple(distinct.tolist())
    spike = counts > len(values) / count
    rest = np.repeat(distinct[~spike], counts[~spike])
    ends = distinct[[0, -1]]
    left = count + 1 - len(np.union1d(distinct[spike], ends))
    inner = np.quantile(rest, np.linspace(0, 1, left + 2)[1:-1])
    return tuple(np.unique(np.concatenate([distinct[spike], inner, ends])).tolist())


_Facts = tuple[float, float, float, float, bool, tuple[float, ...]]
_NEUTRAL: _Facts = (0.0, 1.0, 0.0, 0.0, False, ())


def _number_facts(column: Float32s, rows: int) -> _Facts:
    """Median, scale, low, high, gaps, edges. Edges are rounded to float32, in which the network compares."""
    missing = np.isnan(column)
    values = column[~missing].astype(np.float64)
    if not len(values):
        return (0.0, 1.0, 0.0, 0.0, bool(missing.any()), ())
    quarter, median, three_quarters = np.quantile(values, [0.25, 0.5, 0.75])
    low, high = float(values.min()), float(values.max())
    spread = float(three_quarters - quarter) or (high - low) / 2 or 1.0
    edges = np.unique(np.array(spike_edges(values, bins(rows)), dtype=np.float32))
    return float(median), spread, low, high, bool(missing.any()), tuple(edges.tolist())


def _levels(plan: Plan, piece: Piece) -> tuple[str, ...]:
    """The levels worth a code, most frequent first."""
    counts = spelled(piece, plan).drop_nulls().value_counts()
    least = RARE_ROWS if len(piece) >= SMALL_TABLE else 1
    pairs = sorted((-count, level) for level, count in counts.iter_rows() if count >= least)
    return tuple(level for _, level in pairs[:MOST_LEVELS])


def _fit_date(plan: Plan, piece: Piece) -> Column:
    times = read_plan(piece, plan)
    every = (*DATE_PARTS, DAYS)
    values = date_parts(times, every, 0.0)
    if not len(times.drop_nulls()):
        return Column(plan)
    varying = [part for part, column in zip(every, values.T) if np.nanmin(column) < np.nanmax(column)]
    first = float(np.floor(np.nanmin(values[:, every.index(DAYS)])))
    return Column(plan, offset=first, parts=tuple(varying))


def _telling_words(plan: Plan, piece: Piece) -> tuple[str, ...]:
    """The most frequent words that some rows have and some have not, in at least 3 % of the rows (and 5 of them)."""
    counts = words_of(piece.column(plan.name)).explode().drop_nulls().value_counts()
    least, most = max(5, len(piece) * WORD_SHARE), len(piece) * (1 - WORD_SHARE)
    pairs = sorted((-count, word) for word, count in counts.iter_rows() if least <= count <= most)
    return tuple(word for _, word in pairs[:MOST_WORDS])


def _offset(values: Float64s) -> float:
    """The median where float32 would merge values that only their offset makes large, such as seconds since 1970."""
    present = values[~np.isnan(values)]
    if not len(present):
        return 0.0
    span = float(present.max() - present.min())
    largest = float(np.abs(present).max())
    if largest <= 2 * span or span == 0:
        return 0.0
    distinct = np.unique(present)
    merged = len(np.unique(distinct.astype(np.float32)))
    return float(np.median(present)) if merged < 0.99 * len(distinct) else 0.0
