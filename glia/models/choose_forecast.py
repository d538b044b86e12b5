"""Which network forecasts a table of series, and how each is trained."""

from typing import Any

from glia.data.facts import ForecastFacts
from glia.data.task import Task
from glia.models.suggestion import Suggestion

STEPS = 3000  # updates of a run, about; it ends earlier where validation gains no more
_LINEAR = {"lr": 1e-3, "batch_size": 32, "weight_decay": 0.0, "schedule": "cosine", "warmup": 0.0, "patience": 5}
_DEEP = {"lr": 5e-4, "batch_size": 64, "weight_decay": 0.01, "schedule": "cosine", "warmup": 0.05, "patience": 5}


def choose_forecast(facts: ForecastFacts, rows: int, task: Task) -> Suggestion:
    """The default network for `rows` training windows."""
    if facts.several:
        name, why = "nlinear", "several series: one line on each, less its last value, so that levels do not matter"
    else:
        name, why = "dlinear", "one line for the trend and one for the rest: larger networks seldom forecast better"
    return Suggestion(name, {}, forecast_settings(name, facts, rows, task), why)


def forecast_settings(name: str, facts: ForecastFacts, rows: int, task: Task) -> dict[str, Any]:
    """How a network is trained on `rows` windows, also where it was asked for by name."""
    settings: dict[str, Any] = dict(_LINEAR if name in ("dlinear", "nlinear") else _DEEP)
    steps = -(-rows // settings["batch_size"])
    return {**settings, "epochs": max(3, min(100, round(STEPS / steps))), "ema": 0.0, "clip": 1.0, "optimizer": "adam"}
