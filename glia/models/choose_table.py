"""Which network fits a table, by its number of rows, and how it trains."""

from collections.abc import Callable
from math import ceil, log2
from typing import Any

from glia.data.facts import TableFacts
from glia.data.task import Task
from glia.errors import unknown
from glia.models.suggestion import Suggestion

FEW, MANY, HUGE = 20, 1_000, 100_000  # rows


def choose_table(facts: TableFacts, rows: int, task: Task) -> Suggestion:
    """The default network for `rows` training rows."""
    if rows < FEW:
        name, why = "linear", f"{rows} rows are too few for more than a linear model (below {FEW})"
    elif rows < MANY:
        name = "folds"
        why = f"below {MANY:,} rows: ten small networks, each kept from a fifth of the rows, beside linear models"
    else:
        name = "tabm"
        why = f"{MANY:,} rows or more: eight members that share their weights, with piecewise-linear embeddings"
    return Suggestion(name, {}, train_settings(name, rows), why)


def train_settings(name: str, rows: int) -> dict[str, Any]:
    """How "linear", "folds" or "tabm" trains on `rows` rows, also where it was asked for by name."""
    by_name: dict[str, Callable[[int], dict[str, Any]]] = {"linear": _linear, "folds": _folds, "tabm": _tabm}
    if name not in by_name:
        raise unknown("model for tables with settings of its own", name, by_name)
    return by_name[name](max(rows, 1))


def _linear(rows: int) -> dict[str, Any]:
    return _settings(min(rows, 256), epochs=1000, patience=200, lr=0.01, weight_decay=0.01)


def _folds(rows: int) -> dict[str, Any]:
    """1,500 to 4,000 steps, 100 epochs where that lies between; stops after 30 % of them without gain."""
    batch = _power_of_two(rows / 16, 32)
    steps = ceil(rows / batch)  # an epoch
    budget = min(max(100 * steps, 1500), 4000)
    epochs = ceil(budget / steps)
    return _settings(batch, epochs=epochs, patience=ceil(0.3 * epochs), lr=2e-3, weight_decay=3e-4)


def _tabm(rows: int) -> dict[str, Any]:
    batch = _power_of_two(rows / 16, 64) if rows <= HUGE else 1024
    return _settings(batch, epochs=100, patience=8, lr=2e-3, weight_decay=3e-4)


def _power_of_two(size: float, least: int) -> int:
    """The power of two that is nearest to `size`, within least .. 256."""
    return min(max(1 << max(round(log2(size)), 0), least), 256)


def _settings(batch: int, *, epochs: int, patience: int, lr: float, weight_decay: float) -> dict[str, Any]:
    """A constant rate is possible because the averaged weights (ema) are what is validated and kept: no epoch count
    has to be guessed, as a falling rate would need."""
    return {
        "epochs": epochs,
        "patience": patience,
        "batch_size": batch,
        "optimizer": "adamw",
        "lr": lr,
        "weight_decay": weight_decay,
        "clip": 1.0,
        "schedule": "constant",
        "warmup": 0.05,
        "ema": 0.999,
        "label_smoothing": 0.0,
    }
