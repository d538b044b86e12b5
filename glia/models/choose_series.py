"""Which network fits a set of labelled series, and how each is trained within about two minutes on two cores."""

from math import sqrt
from typing import Any

from glia.data.facts import SeriesFacts
from glia.data.task import Task
from glia.models.suggestion import Suggestion

PASSES = 1e7  # steps of series through an FCN of width 128, or 4000 random kernels, in a run: two minutes on two cores
FEW = 100  # training series below which no kernels are learnt
MOST_EPOCHS, LEAST_EPOCHS, ROCKET_EPOCHS = 150, 5, 30
_FCN = {"lr": 1e-3, "weight_decay": 0.01, "optimizer": "adamw", "ema": 0.0}
_ROCKET = {"lr": 3e-4, "weight_decay": 0.1, "optimizer": "adamw", "ema": 0.0}
_RECURRENT = {"lr": 2e-3, "weight_decay": 0.01, "optimizer": "adamw", "ema": 0.0}


def choose_series(facts: SeriesFacts, rows: int, task: Task) -> Suggestion:
    """The default network for `rows` training series: random convolutions for few of them, an FCN for more.

    Each erred less there on folds of the training parts of six sets (docs/series.md): of at most 67 series, and of 200
    and 270. Where between these one overtakes the other was not measured.
    """
    work = rows * facts.length
    if rows < FEW and work * LEAST_EPOCHS <= PASSES:
        why = "few whole series: thousands of random convolutions and a learnt line"
        return Suggestion("rocket", {}, series_settings("rocket", facts, rows, task), why)
    width = 128 if work * 2 * LEAST_EPOCHS <= PASSES else max(16, int(128 * sqrt(PASSES / (2 * LEAST_EPOCHS * work))))
    width -= width % 8
    why = "whole series: three convolutions and a mean over time are hard to beat"
    return Suggestion("fcn", {"width": width}, series_settings("fcn", facts, rows, task, width=width), why)


def series_settings(name: str, facts: SeriesFacts, rows: int, task: Task, *, width: int = 128) -> dict[str, Any]:
    """How a network is trained on `rows` series, also where it was asked for by name."""
    common = {"schedule": "cosine", "warmup": 0.05, "clip": 1.0, "patience": 0}
    if name == "rocket":
        epochs = max(LEAST_EPOCHS, min(ROCKET_EPOCHS, round(PASSES / max(1, rows * facts.length))))
        return {**_ROCKET, **common, "epochs": epochs, "batch_size": max(8, min(512, rows // 8))}
    settings: dict[str, Any] = dict(_RECURRENT if name in ("rnn", "lstm", "gru") else _FCN)
    pace = PASSES * (128 / width) ** 2 / (2 if name == "resnet1d" else 1)
    epochs = max(LEAST_EPOCHS, min(MOST_EPOCHS, round(pace / max(1, rows * facts.length))))
    return {**settings, **common, "epochs": epochs, "batch_size": max(8, min(64, rows // 12))}
