"""Panel: one or many series of a table on one clock, every step with its place in the source."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from glia.data.forecast.clock import Clock, clock_of, in_words
from glia.data.tables.cells import numbers
from glia.data.tables.columns import Plan, named_as_key, plan_column, read_plan
from glia.data.tables.source import Int64s, Piece
from glia.errors import GliaError

Values = np.ndarray[Any, Any]
TIME_NAMES = ("time", "date", "datetime", "timestamp", "ds", "day", "month", "year")


@dataclass(frozen=True)
class Columns:
    """What a table of series is made of. time: its plan, None for rows in their order. series: the column that names
    them. channels: targets first, then the covariates.
    """

    time: Plan | None
    series: str | None
    channels: tuple[str, ...]
    targets: int


@dataclass(frozen=True)
class Panel:
    """values: (steps of all series, channels) float32, NaN where there is none. ends: (series,) where each ends.

    first: (series,) step of the clock at which each begins. rows: (steps,) number of the row in the source, -1 in gaps.
    """

    names: tuple[str, ...]
    values: Values
    ends: Int64s
    first: Int64s
    rows: Int64s
    clock: Clock
    notes: tuple[str, ...] = field(default=())

    @property
    def starts(self) -> Int64s:
        return np.concatenate([[0], self.ends[:-1]])

    def filled(self) -> Values:
        """The values with each gap filled by the last value before it: nothing of the future. NaN before the first."""
        out = self.values.copy()
        for start, end in zip(self.starts.tolist(), self.ends.tolist()):
            for channel in range(out.shape[1]):
                one = out[start:end, channel]
                there = np.where(np.isnan(one), 0, np.arange(1, end - start + 1))
                last = np.maximum.accumulate(there)
                out[start:end, channel] = np.where(last > 0, one[np.maximum(last - 1, 0)], np.nan)
        return out


def find_columns(
    piece: Piece, *, targets: tuple[str, ...], time: str | None, series: str | None, covariates: tuple[str, ...]
) -> Columns:
    """The columns that were named, and for those that were not: the first date as time, every number as target."""
    names = piece.frame.columns
    for name in (*targets, *covariates, *((series,) if series else ())):
        piece.column(name)
    plan = plan_column(piece, time) if time else time_column(piece, {*targets, *covariates, series})
    if plan is not None and plan.kind not in ("date", "number", "identifier"):
        raise GliaError(f"{piece.name}: column {plan.name!r} holds no times", got=plan.why, expected="dates or numbers")
    if not targets:
        taken = {series, plan.name if plan else None, *covariates}
        targets = tuple(name for name in names if name not in taken and _is_measured(piece, name))
    if not targets:
        raise GliaError(f"{piece.name}: no column of numbers to forecast", hint="--target COLUMN")
    extra = tuple(name for name in covariates if name not in targets)
    return Columns(plan, series, (*targets, *extra), len(targets))


def _is_measured(piece: Piece, name: str) -> bool:
    """Numbers that may be forecast: a running number too, unless its name says that it only counts rows."""
    kind = plan_column(piece, name).kind
    if kind != "identifier" or named_as_key(name):
        return kind == "number"
    return numbers(piece.column(name), piece.decimal).null_count() == piece.column(name).null_count()


def time_column(piece: Piece, taken: set[str | None]) -> Plan | None:
    free = [name for name in piece.frame.columns if name not in taken]
    plans = [plan_column(piece, name) for name in free]
    dates = [plan for plan in plans if plan.kind == "date"]
    if dates:
        return dates[0]
    named = [plan for plan in plans if plan.name.lower() in TIME_NAMES]
    for plan in named:
        if plan.kind in ("number", "identifier"):
            return plan
        if plan.kind != "constant":  # dates, but for some cells: one of them is told
            read_times(piece, plan)
    return None


def read_panel(piece: Piece, columns: Columns, clock: Clock | None = None) -> Panel:
    """The series of a table. clock: the one to keep to (of the training data), where there is one.

    Raises GliaError for a time that cannot be read, two rows of one time, and cells that are no numbers, with the row.
    """
    plans = [_number_plan(piece, name) for name in columns.channels]
    read = [read_plan(piece, plan).cast(pl.Float64).to_numpy() for plan in plans]
    values = np.stack(read, axis=1).astype(np.float32)
    times, dates = read_times(piece, columns.time) if columns.time else (np.arange(len(piece)), False)
    labels = piece.column(columns.series).cast(pl.String).fill_null("") if columns.series else None
    names = tuple(labels.unique(maintain_order=True).to_list()) if labels is not None else ("",)
    groups = [np.flatnonzero((labels == name).to_numpy()) for name in names] if labels is not None else None
    members = groups if groups is not None else [np.arange(len(piece))]
    notes = [f"column {p.name!r}: {', '.join(map(repr, p.stray))} read as missing" for p in plans if p.stray]
    if any((np.diff(times[one]) < 0).any() for one in members):
        notes.append("the rows are not in the order of time, and were sorted")
    members = [one[np.argsort(times[one], kind="stable")] for one in members]
    for name, one in zip(names, members):
        _refuse_doubles(piece, times, one, name, dates=dates)
    clock = clock or clock_of([times[one] for one in members], dates=dates)
    return _on_clock(piece, clock, names, members, times, values, notes)


def _on_clock(
    piece: Piece, clock: Clock, names: tuple[str, ...], members: list[Int64s], times: Int64s, values: Values,
    notes: list[str],
) -> Panel:  # fmt: skip
    pieces, rows, first, gaps = [], [], [], 0
    for one in members:
        places = clock.places(times[one])
        if (np.diff(places) <= 0).any():
            raise GliaError(f"{piece.name}: two rows fall into one step of {clock.words}", hint="resample the rows")
        length = int(places[-1] - places[0]) + 1
        out = np.full((length, values.shape[1]), np.nan, dtype=np.float32)
        out[places - places[0]] = values[one]
        source = np.full(length, -1, dtype=np.int64)
        source[places - places[0]] = piece.rows[one]
        gaps += length - len(one)
        pieces.append(out)
        rows.append(source)
        first.append(int(places[0]))
    if gaps > 9 * len(times):
        raise GliaError(
            f"{piece.name}: the times leave {gaps:,} steps of {clock.words} empty", got=f"{len(times):,} rows"
        )
    if clock.kind == "order":
        notes.append("the steps between the times are not even: rows are taken as equally far apart")
    elif gaps:
        notes.append(f"{gaps:,} steps of {clock.words} have no row: they count as missing")
    every = np.concatenate(pieces)
    missing = int(np.isnan(every).sum()) - gaps * values.shape[1]
    if missing:
        notes.append(
            f"{missing:,} values are missing: the last one before stands in for them, and none is forecast there"
        )
    ends = np.cumsum([len(one) for one in pieces])
    return Panel(names, every, ends, np.array(first), np.concatenate(rows), clock, tuple(notes))


def _number_plan(piece: Piece, name: str) -> Plan:
    plan = plan_column(piece, name)
    if plan.kind == "constant":
        plan = Plan(name, "number", plan.why)
    if plan.kind not in ("number", "yes/no", "identifier"):
        raise GliaError(f"{piece.name}: column {name!r} holds no numbers", got=plan.why)
    kind = "number" if plan.kind == "identifier" else plan.kind
    return Plan(name, kind, plan.why, stray=plan.stray)


def read_times(piece: Piece, plan: Plan) -> tuple[Int64s, bool]:
    """Microseconds (dates), or numbers; every row has one."""
    kind = "number" if plan.kind in ("number", "identifier") else "date"
    values = read_plan(piece, Plan(plan.name, kind, plan.why, plan.form))
    if values.null_count():
        row = int(values.is_null().arg_max() or 0)
        raise GliaError(f"{piece.place(row)}, column {plan.name!r}: no time", expected="one in every row")
    dates = kind == "date"
    return (values.dt.epoch("us") if dates else values).to_numpy(), dates


def _refuse_doubles(piece: Piece, times: Int64s, one: Int64s, name: str, *, dates: bool) -> None:
    same = np.flatnonzero(np.diff(times[one]) == 0)
    if not len(same):
        return
    first, second = one[same[0]], one[same[0] + 1]
    when = in_words(float(times[first])) if dates else f"{times[first]:g}"
    of = f" of series {name!r}" if name else ""
    more = f", and {len(same) - 1:,} more pairs" if len(same) > 1 else ""
    raise GliaError(
        f"{piece.place(int(second))}: the time {when}{of} was there before{more}",
        got=f"also in {piece.place(int(first))}",
        hint="one row a time; or name the column that tells several series apart: --series COLUMN",
    )  # fmt: skip
