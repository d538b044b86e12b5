"""The answer: which columns are asked for, what kind of task that is, and the answers as tensors."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from torch import Tensor

from glia.data.tables.cells import codes, numbers, yes_no
from glia.data.tables.columns import Plan, plan_column, read_plan
from glia.data.tables.source import Int64s, Piece, no_column
from glia.data.task import Task
from glia.errors import GliaError, nearest

FEW_CLASSES = 20
ROWS_A_CLASS = 3  # whole numbers are classes only if each comes at least so often


@dataclass(frozen=True)
class Answer:
    """How the target columns become tensors. `task` gets its center and scale from the training rows.

    numeric: the class labels are numbers, so that 1 and 1.0 are one class. why: one line.
    """

    task: Task
    why: str
    numeric: bool = False

    def values(self, piece: Piece) -> Tensor:
        """Class indices (N,), yes or no (N, L), or numbers in the targets' own units (N, T), float64.

        Rows without a value must be gone. Errors: a class that is not among the task's, a cell that is no number.
        """
        if self.task.kind == "classify":
            return self._classes(piece)
        kind = "number" if self.task.kind == "regress" else "yes/no"
        columns = [read_plan(piece, Plan(name, kind, "")).to_numpy() for name in self.task.targets]
        return torch.from_numpy(np.stack(columns, axis=1))

    def encode(self, piece: Piece) -> Tensor:
        """What the loss wants: int64 class indices, float32 yes or no, float32 standardised numbers."""
        values = self.values(piece)
        if self.task.kind == "classify":
            return values
        if self.task.kind == "regress":
            center, scale = (torch.tensor(v, dtype=torch.float64) for v in (self.task.center, self.task.scale))
            values = (values - center) / scale
        return values.float()

    def standardised(self, values: Tensor) -> "Answer":
        """The answer with center and scale of the training rows' values (N, T), where it is numbers."""
        if self.task.kind != "regress":
            return self
        scale = values.std(0, correction=0)
        scale = torch.where(scale > 0, scale, 1.0)
        center = values.mean(0)
        return replace(self, task=replace(self.task, center=tuple(center.tolist()), scale=tuple(scale.tolist())))

    def _classes(self, piece: Piece) -> Tensor:
        name, classes = self.task.targets[0], self.task.classes
        labels = _labels(piece.column(name), self.numeric, piece.decimal, classes)
        index = {label: number for number, label in enumerate(classes)}
        found = labels.replace_strict(index, default=None, return_dtype=pl.Int64)
        if found.null_count():
            strange = labels.filter(found.is_null()).unique(maintain_order=True).to_list()
            raise _unseen(piece, name, strange, int(found.is_null().arg_max() or 0), classes)
        return torch.from_numpy(found.to_numpy().astype(np.int64))


def with_answers(
    found: Iterable[Piece], answer: Answer, where: str, targets: bool
) -> Iterator[tuple[Piece, Tensor | None]]:
    """The pieces of a source that have rows, with their answers where `targets` are wanted; rows without one are gone.

    Raises GliaError where no row is left of the source, which people call `where`.
    """
    empty = True
    for piece in found:
        some = piece.take(answered(piece, answer.task.targets)) if targets else piece
        if len(some):
            empty = False
            yield some, answer.encode(some) if targets else None
    if empty:
        names = ", ".join(map(repr, answer.task.targets))
        raise GliaError(f"no row of {where} has a value in target {names}")


def answered(piece: Piece, targets: tuple[str, ...]) -> Int64s:
    """The rows in which every target has a value."""
    missing = np.zeros(len(piece), dtype=bool)
    for name in targets:
        missing |= piece.column(name).is_null().to_numpy()
    return np.flatnonzero(~missing)


def find_targets(piece: Piece, asked: tuple[str, ...], offered: tuple[str, ...]) -> tuple[str, ...]:
    """The target columns: by name, or by position where no column has that name."""
    asked = asked or offered
    if not asked:
        shown = ", ".join(piece.frame.columns[:12]) + (", ..." if piece.frame.width > 12 else "")
        raise GliaError(f"no target for {piece.name}", expected=f"one of its columns: {shown}", hint="target=COLUMN")
    found = tuple(find_column(name, piece) for name in asked)
    if len(set(found)) < len(found):
        raise GliaError("a target is named twice", got=", ".join(asked))
    return found


def find_column(name: str, piece: Piece) -> str:
    """A column by its name, or by position, negative ones from the end."""
    names = piece.frame.columns
    if name in names:
        return name
    try:
        return names[int(name)]
    except (ValueError, IndexError):
        raise no_column(name, names, piece.name) from None


def plan_answer(piece: Piece, targets: tuple[str, ...], asked: str) -> Answer:
    """The task that the targets call for, or the asked one if they allow it. Rows without an answer must be gone."""
    for name in targets:
        if piece.column(name).dtype.is_nested():
            raise GliaError(f"target {name!r} of {piece.name} holds {piece.column(name).dtype}", expected="one value")
    if asked == "regress":
        return _regress(piece, targets, "you said so")
    if asked == "multilabel":
        return _multilabel(piece, targets, "you said so")
    if len(targets) == 1:
        return _one(piece, targets[0], asked)
    if asked == "classify":
        what = "classes of several targets cannot be learnt at once"
        raise GliaError(
            what, got=", ".join(targets), expected="one target", hint="task=multilabel if each is yes or no"
        )
    plans = [plan_column(piece, name) for name in targets]
    if all(plan.kind == "yes/no" or _is_binary(piece, plan.name) for plan in plans):
        return _multilabel(piece, targets, "every target is yes or no")
    for plan in plans:
        if plan.kind not in ("number", "yes/no", "identifier", "constant"):
            what = f"target {plan.name!r} of {piece.name} is a {plan.kind}"
            raise GliaError(what, expected="all numbers, or all yes/no, when there are several targets")
    return _regress(piece, targets, "every target is a number")


def _one(piece: Piece, name: str, asked: str) -> Answer:
    series = piece.column(name)
    values = numbers(series, piece.decimal)
    texts = values.null_count() if series.dtype in (pl.String, pl.Boolean) else 0
    if series.dtype == pl.Boolean:
        return _classify(piece, name, False, "true or false" if asked == "auto" else "you said so")
    if series.dtype.is_temporal():
        raise GliaError(f"target {name!r} of {piece.name} is a date", expected="a number or a class")
    if texts and texts <= 0.05 * len(series):
        bad = int(values.is_null().arg_max() or 0)
        if asked == "auto":
            what = f"{piece.place(bad)}, column {name!r}: {series[bad]!r} is not a number, as the other answers are"
            raise GliaError(what, hint="mend or empty the cell, or task=classify if these are names")
    if asked == "classify":
        return _classify(piece, name, not texts, "you said so")
    if texts:
        return _classify(piece, name, False, f"{name!r} holds texts")
    counts = values.value_counts()["count"].to_numpy()
    if not bool((values == values.round()).all()):
        return _regress(piece, (name,), f"{name!r} holds decimal numbers")
    if len(counts) <= FEW_CLASSES and counts.min() >= ROWS_A_CLASS:
        return _classify(piece, name, True, f"{name!r} holds {len(counts)} different whole numbers, each several times")
    return _regress(piece, (name,), f"{name!r} holds {len(counts)} different numbers")


def _is_binary(piece: Piece, name: str) -> bool:
    values = yes_no(piece.column(name), piece.decimal)
    return bool(values.is_in([0.0, 1.0]).all()) and values.null_count() == 0


def _classify(piece: Piece, name: str, numeric: bool, why: str) -> Answer:
    labels = codes(piece.column(name), numeric, piece.decimal)
    found = labels.unique().drop_nulls().to_list()
    if len(found) < 2:
        what = f"target {name!r} of {piece.name} has one class only, {found[0]!r}"
        raise GliaError(what, expected="at least two classes")
    if len(found) > max(FEW_CLASSES, len(labels) / 2):
        what = f"target {name!r} of {piece.name} has {len(found)} different values in {len(labels)} rows"
        raise GliaError(what, expected="classes that come several times each", hint="task=regress if it is a number")
    classes = sorted(found, key=float) if numeric else sorted(found)
    return Answer(Task("classify", (name,), tuple(classes)), why, numeric)


def _multilabel(piece: Piece, targets: tuple[str, ...], why: str) -> Answer:
    answer = Answer(Task("multilabel", targets), why)
    values = answer.values(piece)
    odd = ((values != 0) & (values != 1)).nonzero()
    if len(odd):
        row, column = (int(number) for number in odd[0])
        what = f"{piece.place(row)}, column {targets[column]!r}: {piece.column(targets[column])[row]!r}"
        raise GliaError(what, expected="yes or no (1 or 0) in every target of a multilabel task")
    return answer


def _regress(piece: Piece, targets: tuple[str, ...], why: str) -> Answer:
    answer = Answer(Task("regress", targets), why)
    values = answer.values(piece)
    for name, column in zip(targets, values.unbind(1)):
        if not bool(column.isfinite().all()):
            where = piece.place(int((~column.isfinite()).nonzero()[0]))
            raise GliaError(f"{where}, column {name!r}: the answer is infinite", expected="a number")
        if bool((column == column[0]).all()):
            raise GliaError(
                f"every value of target {name!r} of {piece.name} is {column[0]:g}", expected="values that vary"
            )
    return answer


def _labels(series: pl.Series, numeric: bool, decimal: str, classes: tuple[str, ...]) -> pl.Series:
    """Labels spelled as the classes are."""
    if series.dtype == pl.Boolean:  # the same table may have come as text before
        spelled = {word: label for label in classes for word in _truth(label)}
        return series.cast(pl.String).replace(spelled)
    labels = codes(series, numeric, decimal)
    return labels.fill_null(series.cast(pl.String))


def _truth(label: str) -> tuple[str, ...]:
    low = label.lower()
    return ("true",) if low in ("true", "1", "yes") else ("false",) if low in ("false", "0", "no") else ()


def _unseen(piece: Piece, name: str, strange: list[str], first: int, classes: tuple[str, ...]) -> GliaError:
    """The error for labels that training did not know; a dot at their end is the usual cause in old data sets."""
    if all(label.endswith(".") and label.rstrip(".") in classes for label in strange):
        what = f"labels in {piece.name}, column {name!r}, end in '.' ({strange[0]!r}), those of training do not"
        return GliaError(what, expected=f"one of {', '.join(classes[:12])}", hint="delete that dot at each line's end")
    close = nearest(strange[0], classes)
    what = f"{piece.place(first)}, column {name!r}: class {strange[0]!r} was not seen in training"
    hint = f"{close!r}, or delete these rows" if close else "add rows of it to the training data, or delete these"
    return GliaError(what, expected=f"one of {', '.join(classes[:12])}", hint=hint)
