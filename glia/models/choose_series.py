"""Which network fits a set of labelled series, and how each is trained within about two minutes on two cores."""

from math import sqrt
from typing import Any

from glia.data.facts import SeriesFacts
from glia.data.task import Task
from glia.models.suggestion import Suggestion

PASSES = 1e7  # steps of series through an FCN of width 128 in a run, about: two minutes on two cores
MOST_EPOCHS, LEAST_EPOCHS = 150, 5
_FCN = {"lr": 1e-3, "weight_decay": 0.01, "optimizer": "adamw", "ema": 0.0}
_ROCKET = {"lr": 1e-3, "weight_decay": 0.1, "optimizer": "adamw", "ema": 0.0, "epochs": 30, "batch_size": 512}
_RECURRENT = {"lr": 2e-3, "weight_decay": 0.01, "optimizer": "adamw", "ema": 0.0}


def choose_series(facts: SeriesFacts, rows: int, task: Task) -> Suggestion:
    """The default network for `rows` training series."""
    work = rows * facts.length
    width = 128 if work * 2 * LEAST_EPOCHS <= PASSES else max(16, int(128 * sqrt(PASSES / (2 * LEAST_EPOCHS * work))))
    width -= width % 8
    why = "whole series: three convolutions and a mean over time are hard to beat"
    return Suggestion("fcn", {"width": width}, series_settings("fcn", facts, rows, task, width=width), why)


def series_settings(name: str, facts: SeriesFacts, rows: int, task: Task, *, width: int = 128) -> dict[str, Any]:
    """How a network is trained on `rows` series, also where it was asked for by name."""
    common = {"schedule": "cosine", "warmup": 0.05, "clip": 1.0, "patience": 0}
    if name == "rocket":
        return {**_ROCKET, **common}
    settings: dict[str, Any] = dict(_RECURRENT if name in ("rnn", "lstm", "gru") else _FCN)
    pace = PASSES * (128 / width) ** 2 / (2 if name == "resnet1d" else 1)
    epochs = max(LEAST_EPOCHS, min(MOST_EPOCHS, round(pace / max(1, rows * facts.length))))
    return {**settings, **common, "epochs": epochs, "batch_size": max(8, min(64, rows // 12))}
