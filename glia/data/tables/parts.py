"""The rows of a table divided into train, valid and test, so that no answer leaks from one to another."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from glia.data.split import Split, rare_together, split_by_time, split_rows
from glia.data.tables.cells import numbers
from glia.data.tables.columns import Plan, read_plan
from glia.data.tables.duplicates import equal_rows, equal_stored, is_coarse, merged, shared_rows, shared_stored
from glia.data.tables.keyed import Rule, time_values
from glia.data.tables.source import Int64s, Piece, no_column
from glia.data.tables.stored import Stored
from glia.data.tables.study import Study
from glia.data.tables.target import Answer, answered
from glia.errors import GliaError
from glia.seed import mix

if TYPE_CHECKING:
    from glia.recipe import Data

FEW = 10  # rows of a class so few that they all train, where rows are divided one by one


@dataclass(frozen=True)
class Parts:
    """pieces: by name of the part; a part without rows is not there. duplicates: rows whose inputs came before.

    rule: says the part of rows that are in no piece, where the table has more than were drawn.
    """

    pieces: dict[str, Piece]
    how: str
    duplicates: int
    notes: tuple[str, ...]
    rule: Rule | None = None


def divide(study: Study, given: dict[str, Piece], data: "Data", seed: int) -> Parts:
    """Own shares of the source, and the parts that were given as files."""
    if study.time and study.group:
        raise GliaError("rows cannot be divided by group and by time at once", hint="give one of the two")
    piece = study.piece
    valid_share, test_share = (0.0 if name in given else share for name, share in _shares(data))
    least = 1 + (valid_share > 0) + (test_share > 0)
    if len(piece) < least:
        raise GliaError(f"{piece.name} has {len(piece)} usable rows", expected=f"at least {least}")
    equal = _equal(piece, study.inputs)
    rule = None
    if isinstance(piece, Stored) and piece.drawn:
        rule, how, notes = _rule(study, equal, valid_share, test_share, seed)
        which = np.concatenate([rule(some) for some in piece.pieces()])
        split = Split(*(np.flatnonzero(which == number) for number in range(len(Split._fields))))
    else:
        split, how, notes = _own_split(study, equal, valid_share, test_share, seed)
    shares = {"test": test_share, "valid": valid_share}
    for name, share in shares.items():
        if share and not len(getattr(split, name)):
            notes.append(f"no row could be spared for the {name} part: too few rows or groups")
    how = f"{', '.join(f'{share:.0%} {name}' for name, share in shares.items() if share) or 'all rows train'}, {how}"
    own = {name: piece.take(rows) for name, rows in split._asdict().items() if len(rows)}
    for name, other in given.items():
        own[name] = _given(other, study)
        how += f"; {name} rows from {other.name}"
        same = _shared(own[name], own["train"], study.inputs)
        if same:
            notes.append(f"{same} rows of {other.name} have the same inputs as a training row")
    pieces = {name: own[name] for name in Split._fields if name in own}
    _check_classes(pieces, study.answer)
    duplicates = 0 if equal is None else len(equal) - len(np.unique(equal))
    return Parts(pieces, how, duplicates, tuple(notes), rule)


def _equal(piece: Piece, names: list[str]) -> Int64s | None:
    return equal_stored(piece, names) if isinstance(piece, Stored) else equal_rows(piece.frame.select(names))


def _shared(piece: Piece, train: Piece, names: list[str]) -> int:
    if isinstance(train, Stored):
        return shared_stored(piece, train, names)
    return shared_rows(piece.frame.select(names), train.frame.select(names))


def _own_split(
    study: Study, equal: Int64s | None, valid_share: float, test_share: float, seed: int
) -> tuple[Split, str, list[str]]:
    """The parts of the source, how they were made, and what to say. equal: (N,) rows with the same inputs."""
    if study.time:
        split = split_by_time(_times(study), valid_share, test_share)
        return split, f"by {study.time}: train, then valid, then test", []
    notes = []
    if equal is not None:
        distinct = len(np.unique(equal))
        if is_coarse(equal):
            equal = None
            notes.append(f"the inputs take only {distinct} different forms, so equal rows are in every part")
        else:
            repeats = len(equal) - distinct
            notes.append(f"rows that repeat the inputs of an earlier one: {repeats}; equal rows stay in one part")
    strata, groups = _strata(study), _groups(study, equal)
    split = split_rows(len(study.piece), seed, valid_share, test_share, strata, groups)
    return split, _said(study, strata is not None, seed), notes


def _rule(
    study: Study, equal: Int64s | None, valid_share: float, test_share: float, seed: int
) -> tuple[Rule, str, list[str]]:
    """As `_own_split`, of a table of which some rows were drawn."""
    rule = Rule(mix(seed, "split", "rows"), valid_share, test_share, study.answer)
    if study.time:
        rows = split_by_time(_times(study), valid_share, test_share)
        values = time_values(study.piece, _time_plan(study))
        cuts = tuple(float(values[part].min()) if len(part) else np.inf for part in (rows.valid, rows.test))
        rule = replace(rule, time=_time_plan(study), cuts=(cuts[0], cuts[1]))
        return rule, f"by {study.time}: train, then valid, then test", []
    notes = []
    if study.group is None and not (equal is not None and is_coarse(equal)):
        rule = replace(rule, plans=tuple(plan for plan in study.plans if plan.used))
    if equal is not None and not rule.plans and not study.group:
        notes.append(f"the inputs take only {len(np.unique(equal))} different forms, so equal rows are in every part")
    rule = replace(rule, group=study.group)
    if study.answer.task.kind == "classify":
        counts = np.bincount(study.answer.values(study.piece).numpy())
        rule = replace(rule, rare=tuple(np.flatnonzero(counts < FEW).tolist()))
    return rule, _said(study, False, seed), notes


def _time_plan(study: Study) -> Plan:
    known = next((plan for plan in study.plans if plan.name == study.time and plan.kind == "date"), None)
    return known or Plan(study.time or "", "number", "")


def _shares(data: "Data") -> tuple[tuple[str, float], tuple[str, float]]:
    for name in ("valid_share", "test_share"):
        if not 0 <= getattr(data, name) < 1:
            raise GliaError(f"bad {name}", got=getattr(data, name), expected="0 to less than 1")
    return ("valid", data.valid_share), ("test", data.test_share)


def _said(study: Study, stratified: bool, seed: int) -> str:
    ways = ["stratified by class" if stratified else "shuffled", f"seed {seed}"]
    if study.group:
        ways.append(f"no {study.group} in two parts")
    return ", ".join(ways)


def _strata(study: Study) -> Int64s | None:
    task = study.answer.task
    if task.kind == "regress":
        return None
    values = study.answer.values(study.piece).numpy()
    if task.kind == "classify":
        return values.astype(np.int64)
    return rare_together(np.unique(values, axis=0, return_inverse=True)[1].reshape(-1))


def _groups(study: Study, equal: Int64s | None) -> Int64s | None:
    """Rows that must stay together: those of the user's groups, and equal ones. A row without a group is its own."""
    if study.group is None:
        return equal
    column = study.piece.column(study.group).cast(pl.String)
    known = column.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    groups = np.where(known > 0, known, -1 - np.arange(len(known)))
    if len(np.unique(groups)) < 2:
        raise GliaError(f"all rows of {study.piece.name} have one value in group column {study.group!r}")
    return groups if equal is None else merged(groups, equal)


def _times(study: Study) -> Int64s:
    """(N,) numbers that sort as the times do."""
    name = study.time or ""
    series = study.piece.column(name)
    if series.null_count():
        where = study.piece.place(int(series.is_null().arg_max() or 0))
        raise GliaError(f"{where}: no value in time column {name!r}", expected="a time in every row")
    plan = _time_plan(study)
    if plan.kind == "date":
        return read_plan(study.piece, plan).dt.epoch("us").to_numpy().astype(np.int64)
    values = numbers(series, study.piece.decimal)
    if values.null_count():
        index = int(values.is_null().arg_max() or 0)
        what = f"{study.piece.place(index)}, time column {name!r}: {str(series[index])[:40]!r}"
        raise GliaError(what, expected="numbers or dates")
    return np.unique(values.to_numpy(), return_inverse=True)[1].astype(np.int64)


def _given(other: Piece, study: Study) -> Piece:
    """The rows of a given file that have an answer."""
    targets = study.answer.task.targets
    for name in [*study.inputs, *targets]:
        if name not in other.frame.columns:
            raise no_column(name, other.frame.columns, other.name)
    piece = other.take(answered(other, targets))
    if not len(piece):
        raise GliaError(f"no row of {other.name} has a value in target {', '.join(map(repr, targets))}")
    return piece


def _check_classes(pieces: dict[str, Piece], answer: Answer) -> None:
    """Each class is in train. Errors: a class that is only in another part."""
    if answer.task.kind != "classify":
        return
    found = {name: set(answer.values(piece).unique().tolist()) for name, piece in pieces.items()}
    for name, classes in found.items():
        if alone := sorted(classes - found["train"]):
            what = (
                f"class {answer.task.classes[alone[0]]!r} of target {answer.task.targets[0]!r} is in {name} rows only"
            )
            raise GliaError(what, expected="every class among the training rows", hint="other shares, or no time order")
