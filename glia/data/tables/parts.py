"""The rows of a table divided into train, valid and test, so that no answer leaks from one to another."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from glia.data.split import Split, rare_together, split_by_time, split_rows
from glia.data.tables.cells import numbers
from glia.data.tables.columns import read_plan
from glia.data.tables.duplicates import equal_rows, is_coarse, merged, shared_rows
from glia.data.tables.source import Int64s, Piece, no_column
from glia.data.tables.study import Study
from glia.data.tables.target import Answer, answered
from glia.errors import GliaError

if TYPE_CHECKING:
    from glia.recipe import Data


@dataclass(frozen=True)
class Parts:
    """pieces: by name of the part; a part without rows is not there. duplicates: rows whose inputs came before."""

    pieces: dict[str, Piece]
    how: str
    duplicates: int
    notes: tuple[str, ...]


def divide(study: Study, given: dict[str, Piece], data: "Data", seed: int) -> Parts:
    """Own shares of the source, and the parts that were given as files."""
    if study.time and study.group:
        raise GliaError("rows cannot be divided by group and by time at once", hint="give one of the two")
    piece = study.piece
    valid_share, test_share = (0.0 if name in given else share for name, share in _shares(data))
    least = 1 + (valid_share > 0) + (test_share > 0)
    if len(piece) < least:
        raise GliaError(f"{piece.name} has {len(piece)} usable rows", expected=f"at least {least}")
    equal = equal_rows(piece.frame.select(study.inputs))
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
        same = shared_rows(own[name].frame.select(study.inputs), own["train"].frame.select(study.inputs))
        if same:
            notes.append(f"{same} rows of {other.name} have the same inputs as a training row")
    pieces = {name: own[name] for name in Split._fields if name in own}
    _check_classes(pieces, study.answer)
    duplicates = 0 if equal is None else len(equal) - len(np.unique(equal))
    return Parts(pieces, how, duplicates, tuple(notes))


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
    plan = next((plan for plan in study.plans if plan.name == name), None)
    if plan is not None and plan.kind == "date":
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
