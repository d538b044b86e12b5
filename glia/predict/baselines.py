"""Baselines: what simple and well-known models reach on the same rows, to be read beside a network's measures."""

import math
import warnings
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import torch

from glia.data.batches import Batches
from glia.data.facts import ImageFacts
from glia.data.prepared import Prepared
from glia.errors import GliaError
from glia.predict.matrix import LARGEST_SIDE, matrix
from glia.predict.measure import Array, measure, own_units
from glia.predict.rivals import Fitted, Rival, rivals
from glia.seed import mix

FOLDS = 5
MOST_CELLS = 4 * 10**7  # of a matrix to fit on; where there are more, rows are drawn
FEWEST_ROWS = 200  # a fit on fewer drawn rows would say nothing
_SMALL_WORK = 10**6  # rows x columns x outputs below which a fit is quick enough not to be timed first
_CHUNK = 4096


@dataclass
class _Trial:
    """One rival on one data set, in the seconds it is given."""

    prepared: Prepared
    rival: Rival
    budget_s: float
    notes: list[str] = field(default_factory=list)
    began: float = field(default_factory=perf_counter)

    def spent_s(self) -> float:
        return perf_counter() - self.began


def baselines(prepared: Prepared, budget_s: float = 60.0) -> list[dict[str, Any]]:
    """One entry a rival: {"name", "valid": measures, "test": measures, "seconds", "note"}, or "error" for measures.

    The measures on validation rows are of a fit on the training rows; those on test rows of a fit on the training
    and validation rows, since a network uses both. Without validation rows "valid" is out-of-fold over the training
    rows. Rows are drawn, or a rival is left out, to keep all within about `budget_s` seconds. Nothing here raises
    for the data's sake: a rival that fails has its "error", one line.
    """
    entries = []
    chosen = rivals(prepared.task, prepared.facts)
    waiting = sum(not rival.blind for rival in chosen)
    began = perf_counter()
    for rival in chosen:
        left = max(budget_s - (perf_counter() - began), 0.0)
        entries.append(_entry(_Trial(prepared, rival, left / max(waiting, 1))))
        waiting -= not rival.blind
    return entries


def _entry(trial: _Trial) -> dict[str, Any]:
    from sklearn.exceptions import ConvergenceWarning  # a second to import, and a training begins without it

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = _out_of_fold(trial) if trial.prepared.valid is None else _held_out(trial, trial.prepared.valid)
        except GliaError as error:
            result = {"error": str(error)}
        except Exception as error:  # whatever it was: it is reported, and no run is lost for a baseline
            result = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
    if any(issubclass(one.category, ConvergenceWarning) for one in caught):
        trial.notes.append(f"stopped after {trial.rival.iterations} iterations, before it had settled")
    note = {"note": "; ".join(trial.notes)} if trial.notes else {}
    return {"name": trial.rival.name, **result, "seconds": round(trial.spent_s(), 3), **note}


def _held_out(trial: _Trial, valid: Batches) -> dict[str, Any]:
    train, test = trial.prepared.train, trial.prepared.test
    rows = _affordable(trial, fits=2)
    fitted = _fit(trial, *_take(trial, [train], rows))
    result = {"valid": _score(trial, fitted, valid)}
    if test is None:
        return result
    if trial.rival.blind or trial.spent_s() < 0.6 * trial.budget_s:
        both = [train, valid]
        fitted = _fit(trial, *_take(trial, both, math.ceil(rows / len(train) * sum(map(len, both)))))
        trial.notes.append("test: fitted on training and validation rows")
    else:
        trial.notes.append("test: fitted on the training rows alone, to save time")
    return result | {"test": _score(trial, fitted, test)}


def _out_of_fold(trial: _Trial) -> dict[str, Any]:
    task, train, test = trial.prepared.task, trial.prepared.train, trial.prepared.test
    x, y = _take(trial, [train], _affordable(trial, fits=FOLDS + 1))
    fold = _folds(y)
    out = np.zeros((len(y), task.outputs))
    for held in (fold == f for f in range(FOLDS)):
        if held.any() and not held.all():
            out[held] = _fit(trial, x[~held], y[~held])(x[held])
    trial.notes.append(f"valid: out-of-fold over the training rows, {FOLDS} folds")
    result = {"valid": measure(task, own_units(task, torch.tensor(out)), own_units(task, torch.tensor(y)))}
    return result if test is None else result | {"test": _score(trial, _fit(trial, x, y), test)}


def _folds(y: Array) -> Array:
    """The fold (N,) of each row; classes are spread evenly over the folds."""
    order = np.random.default_rng(mix("baselines", "folds")).permutation(len(y))
    if y.ndim == 1:
        order = order[np.argsort(y[order], kind="stable")]
    fold = np.empty(len(y), dtype=np.int64)
    fold[order] = np.arange(len(y)) % FOLDS
    return fold


def _affordable(trial: _Trial, fits: int) -> int:
    """How many training rows a fit may take, so that `fits` of them stay within the time and the memory."""
    rival, train, task, facts = trial.rival, trial.prepared.train, trial.prepared.task, trial.prepared.facts
    if rival.blind:
        return len(train)
    if isinstance(facts, ImageFacts) and max(facts.height, facts.width) > LARGEST_SIDE:
        trial.notes.append(f"on images averaged down to at most {LARGEST_SIDE} pixels a side")
    columns = rival.columns(facts)
    rows = min(len(train), max(MOST_CELLS // max(columns, 1), FEWEST_ROWS))
    if rows * columns * task.outputs > _SMALL_WORK:
        each_s, full_s = trial.budget_s / fits, _foreseen_s(trial, rows)
        if full_s > each_s:
            rows = int(rows * each_s / full_s)
            if rows < FEWEST_ROWS:
                what = f"left out: it would take about {full_s * fits:.0f} s"
                raise GliaError(what, expected=f"at most {trial.budget_s:.0f} s")
    if rows < len(train):
        trial.notes.append(f"fitted on {rows:,} of {len(train):,} training rows, drawn evenly, to save time and memory")
    return rows


def _foreseen_s(trial: _Trial, rows: int) -> float:
    """Seconds of a fit on `rows` rows, from a short one. A fit without iterations grows faster with the rows at first,
    so it is timed on fewer."""
    full = trial.rival.iterations
    part, few = max(1, full // 20), min(rows, 20_000 if full > 1 else 2_000)
    x, y = _take(trial, [trial.prepared.train], few)
    began = perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a short fit is bound to stop too early
        trial.rival.fit(trial.prepared.task, trial.prepared.facts, x, y, part)
    return (perf_counter() - began) * full / part * rows / few


def _take(trial: _Trial, parts: list[Batches], rows: int) -> tuple[Array, Array]:
    """x (rows, P) and y of `rows` rows of all the parts together, drawn evenly when they hold more."""
    total = sum(map(len, parts))
    generator = torch.Generator().manual_seed(mix("baselines", "rows"))
    drawn = torch.arange(total) if rows >= total else torch.randperm(total, generator=generator)[:rows].sort().values
    x, y, first = [], [], 0
    for part in parts:
        index = drawn[(drawn >= first) & (drawn < first + len(part))] - first
        x.append(_inputs(trial, part, index))
        targets = part.targets.index_select(0, index)
        y.append((targets if trial.prepared.task.kind == "classify" else targets.double()).numpy())
        first += len(part)
    return np.concatenate(x), np.concatenate(y)


def _inputs(trial: _Trial, part: Batches, index: torch.Tensor) -> Array:
    return np.empty((len(index), 0)) if trial.rival.blind else matrix(part, index, trial.prepared.facts)


def _fit(trial: _Trial, x: Array, y: Array) -> Fitted:
    return trial.rival.fit(trial.prepared.task, trial.prepared.facts, x, y, trial.rival.iterations)


def _score(trial: _Trial, fitted: Fitted, part: Batches) -> dict[str, float]:
    task = trial.prepared.task
    pieces = [fitted(_inputs(trial, part, index)) for index in torch.arange(len(part)).split(_CHUNK)]
    out = np.concatenate(pieces) if pieces else np.zeros((0, task.outputs))
    return measure(task, own_units(task, torch.tensor(out)), own_units(task, part.targets))
