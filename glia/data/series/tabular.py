"""Series in one table: a row a step, or a row a series."""

from typing import Any

import numpy as np
import polars as pl

from glia.data.forecast.panel import read_times, time_column
from glia.data.series.found import Asked, SeriesSet, made
from glia.data.tables.columns import Plan, named_as_key, plan_column, read_plan
from glia.data.tables.read import open_table, read
from glia.data.tables.source import Int64s, Piece
from glia.data.tables.target import find_column, find_targets
from glia.errors import GliaError

NUMBERS = ("number", "yes/no")


def open_wide(source: Any, asked: Asked, labelled: bool) -> SeriesSet:
    """A row a series, a column a step; what is empty at the end of a row is past its end."""
    piece = read(open_table(source, asked.options), asked.options.limits)
    targets = find_targets(piece, asked.targets, ()) if labelled else ()
    apart: set[str | None] = {*targets, *(asked.targets if not labelled else ())}
    group = find_column(asked.group, piece) if asked.group and labelled else asked.group
    apart |= {find_column(name, piece) for name in asked.drop} | {group}
    plans = [_numbers(piece, name) for name in piece.frame.columns if name not in apart]
    steps = [plan for plan in plans if plan is not None]
    if not steps:
        raise GliaError(f"{piece.name}: no column of numbers to be a step", hint="a column for each step")
    values = np.stack([read_plan(piece, plan).cast(pl.Float64).to_numpy() for plan in steps], axis=1)
    there = np.where(np.isfinite(values), np.arange(1, values.shape[1] + 1), 0).max(axis=1)
    if (there == 0).any():
        raise GliaError(f"{piece.place(int(there.argmin()))}: a series of no steps", expected="at least one value")
    rows = [values[i, :end, None] for i, end in enumerate(there.tolist())]
    kept = piece.frame.select([*targets, *([group] if group and labelled else [])])
    frame = kept if kept.width else pl.DataFrame({"series": range(len(piece))})
    table = Piece(piece.name, piece.decimal, frame, piece.rows, piece.lines)
    return made(
        piece.name, rows, table, [str(row) for row in piece.rows.tolist()], channels=("value",), targets=targets,
        form={"format": "a row a series"},
    )  # fmt: skip


def _numbers(piece: Piece, name: str) -> Plan | None:
    """How a column of numbers is read, a constant one too; None where it holds something else."""
    plan = plan_column(piece, name)
    if plan.kind in NUMBERS:
        return plan
    if plan.kind in ("identifier", "constant"):
        whole = Plan(name, "number", plan.why)
        try:
            read_plan(piece, whole)
        except GliaError:  # words
            return None
        return whole
    return None


def open_long(source: Any, asked: Asked, labelled: bool) -> SeriesSet:
    """A row a step: the series by name in one column, its answer the same in all of its rows."""
    piece = read(open_table(source, asked.options), asked.options.limits)
    name = find_column(asked.series or "", piece)
    labels = piece.column(name).cast(pl.String)
    if labels.null_count():
        raise GliaError(f"{piece.place(int(labels.is_null().arg_max() or 0))}: no series in column {name!r}")
    targets = find_targets(piece, asked.targets, ()) if labelled else ()
    time = plan_column(piece, find_column(asked.time, piece)) if asked.time else time_column(piece, {*targets, name})
    apart = {name, *targets, *asked.targets, asked.group, time.name if time else None}
    apart |= {find_column(one, piece) for one in asked.drop}
    plans = _channels(piece, asked, apart)
    values = np.stack([read_plan(piece, plan).cast(pl.Float64).to_numpy() for plan in plans], axis=1)
    order = np.arange(len(piece)) if time is None else np.argsort(read_times(piece, time)[0], kind="stable")
    names, first, members = _members(labels, order)
    rows = [values[one] for one in members]
    for label, row, one in zip(names, rows, members):
        if not np.isfinite(row).any():
            raise GliaError(f"{piece.place(int(one[0]))}: series {label!r} has no values", expected="at least one")
    columns = [*targets, *([find_column(asked.group, piece)] if asked.group and labelled else [])]
    for column in columns:
        _same_within(piece, column, members, names)
    frame = piece.frame[first].select(columns) if columns else pl.DataFrame({"series": names})
    table = Piece(piece.name, piece.decimal, frame, np.arange(len(names)))
    return made(
        piece.name, rows, table, names, channels=tuple(plan.name for plan in plans), targets=targets,
        form={"format": "a row a step", "series": name, **({"time": time.name} if time else {})},
    )  # fmt: skip


def _channels(piece: Piece, asked: Asked, apart: set[str | None]) -> list[Plan]:
    if asked.channels:
        for name in asked.channels:
            piece.column(name)
        return [Plan(name, "number", "as in training") for name in asked.channels]
    plans = []
    for name in piece.frame.columns:
        plan = _numbers(piece, name) if name not in apart else None
        if plan is not None and not (plan_column(piece, name).kind == "identifier" and named_as_key(name)):
            plans.append(plan)
    if not plans:
        raise GliaError(f"{piece.name}: no column of numbers to be a channel of the series")
    return plans


def _members(labels: pl.Series, order: Int64s) -> tuple[list[str], Int64s, list[Int64s]]:
    """The series by first appearance, the first row of each, and its rows in the order of time."""
    kinds, first, of = np.unique(labels.to_numpy(), return_index=True, return_inverse=True)
    ranked = np.argsort(first, kind="stable")
    place = np.empty(len(kinds), dtype=np.int64)
    place[ranked] = np.arange(len(kinds))
    sorted_rows = order[np.argsort(place[of][order], kind="stable")]
    ends = np.cumsum(np.bincount(place[of], minlength=len(kinds)))
    return [str(kinds[i]) for i in ranked], first[ranked], np.split(sorted_rows, ends[:-1])


def _same_within(piece: Piece, column: str, members: list[Int64s], names: list[str]) -> None:
    """Raises GliaError where a series has more than one value in a column."""
    codes = piece.column(column).cast(pl.String).fill_null("").rank("dense").to_numpy()
    for name, rows in zip(names, members):
        other = np.flatnonzero(codes[rows] != codes[rows[0]])
        if len(other):
            row = int(rows[other[0]])
            values = [str(piece.column(column)[int(i)]) for i in (rows[0], row)]
            raise GliaError(
                f"{piece.place(row)}: {column!r} changes within series {name!r}", got=" and ".join(values),
                expected="one value in all rows of a series",
            )  # fmt: skip
