"""Labels of pictures, as texts, to a Task and a tensor of targets."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glia.data.images.listing import natural
from glia.data.task import Task
from glia.errors import GliaError

Answers = dict[str, list[str]]  # target -> a text for each picture
_YES_NO = {"1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0, "true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
_MANY = 50  # distinct whole numbers in one column: beyond, they are taken for quantities and no longer for classes


def kind_of(answers: Answers, asked: str, folders: bool) -> str:
    """The kind of task that the labels speak for, unless one was asked for."""
    if asked != "auto":
        return asked
    if len(answers) > 1:
        yes_no = all(cell.lower() in _YES_NO for cells in answers.values() for cell in cells)
        return "multilabel" if yes_no else "regress"
    cells = next(iter(answers.values()))
    numbers = None if folders else _numbers(cells)
    if numbers is None:
        return "classify"
    distinct = len(set(cells))
    fractions = bool((numbers != np.round(numbers)).any())
    if fractions:
        return "regress" if distinct > 10 else "classify"
    return "regress" if distinct > max(_MANY, 0.1 * len(cells)) or 2 * distinct > len(cells) > 4 else "classify"


def task_of(answers: Answers, kind: str, train: NDArray[np.int64]) -> Task:
    """The task, with classes and scales from the rows `train` alone."""
    names = tuple(answers)
    seen = {name: [cells[i] for i in train] for name, cells in answers.items()}
    if kind == "classify":
        if len(names) > 1:
            raise GliaError("a row has one class", got=f"{len(names)} targets", hint="task=multilabel")
        classes = sorted_classes(seen[names[0]])
        if len(classes) < 2:
            raise GliaError("there is only one class to learn", got=", ".join(classes), expected="two or more")
        return Task("classify", names, classes)
    if kind == "multilabel":
        return Task("multilabel", names)
    values = np.stack([_values(name, cells) for name, cells in seen.items()], 1)
    scale = values.std(0)
    return Task("regress", names, center=tuple(values.mean(0).tolist()), scale=tuple(np.where(scale > 0, scale, 1.0)))


def sorted_classes(cells: Sequence[str]) -> tuple[str, ...]:
    """Distinct labels: by value where all are numbers, otherwise naturally."""
    distinct = sorted(set(cells), key=natural)
    numbers = _numbers(distinct)
    return tuple(distinct if numbers is None else (distinct[i] for i in np.argsort(numbers, kind="stable")))


def encode(answers: Answers, task: Task, names: Sequence[str]) -> Tensor:
    """Class indices (N,) int64, or (N, targets) float32; `names` says which picture a wrong label belongs to."""
    for target in task.targets:
        if target not in answers:
            raise GliaError(f"no labels called {target!r}", got=", ".join(answers) or "none")
    if task.kind == "classify":
        place = {name: i for i, name in enumerate(task.classes)}
        cells = answers[task.targets[0]]
        for cell, name in zip(cells, names):
            if cell not in place:
                what = f"class {cell!r} (of {name}) does not occur in the training rows"
                raise GliaError(what, expected=f"one of {', '.join(task.classes[:12])}")
        return torch.tensor([place[cell] for cell in cells], dtype=torch.int64)
    columns = [_yes_no(t, answers[t]) if task.kind == "multilabel" else _values(t, answers[t]) for t in task.targets]
    values = np.stack(columns, 1)
    if task.kind == "regress":
        values = (values - np.array(task.center)) / np.array(task.scale)
    return torch.from_numpy(values.astype(np.float32))


def _numbers(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """All cells as finite numbers, or None."""
    try:
        values = np.array([float(cell) for cell in cells])
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None


def _values(name: str, cells: Sequence[str]) -> NDArray[np.float64]:
    values = _numbers(cells)
    if values is None:
        bad = next(cell for cell in cells if _numbers([cell]) is None)
        raise GliaError(f"target {name!r} is not a number everywhere", got=repr(bad), hint="task=classify")
    return values


def _yes_no(name: str, cells: Sequence[str]) -> NDArray[np.float64]:
    for cell in cells:
        if cell.lower() not in _YES_NO:
            raise GliaError(f"target {name!r} is not yes or no everywhere", got=repr(cell), expected="0 or 1")
    return np.array([_YES_NO[cell.lower()] for cell in cells])
