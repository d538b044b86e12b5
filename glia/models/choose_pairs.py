"""Which network translates pairs of texts, and how each is trained."""

from typing import Any

from glia.data.facts import PairFacts
from glia.data.task import Task
from glia.models.suggestion import Suggestion

FEW = 5_000  # pairs, below which the smaller network is trained
STEPS = 4_500  # updates of a run, about: an hour of two cores for the pairs of captions that this was tried on
_SETTINGS = {
    "batch_size": 128, "weight_decay": 1e-4, "schedule": "cosine", "warmup": 0.1, "clip": 1.0, "label_smoothing": 0.1,
    "optimizer": "adamw", "patience": 4, "ema": 0.0,
}  # fmt: skip
_RATES = {"transformer": 1e-3, "seq2seq": 1e-3, "t5": 1e-3}


def choose_pairs(facts: PairFacts, rows: int, task: Task) -> Suggestion:
    """The default network for `rows` training pairs, on two cores."""
    if rows < FEW:
        name, why = "transformer-tiny", f"{rows:,} pairs: two layers on each side are learnt in minutes"
    else:
        name, why = "transformer-small", f"{rows:,} pairs: three layers on each side, what two cores train in an hour"
    return Suggestion(name, {}, pair_settings(name, facts, rows, task), why)


def pair_settings(name: str, facts: PairFacts, rows: int, task: Task) -> dict[str, Any]:
    """How a network is trained on `rows` pairs, also where it was asked for by name."""
    settings: dict[str, Any] = dict(_SETTINGS)
    settings["batch_size"] = max(8, min(128, rows // 32))
    steps = -(-rows // settings["batch_size"])
    rate = next((rate for family, rate in _RATES.items() if name.startswith(family)), 1e-3)
    return {**settings, "lr": rate, "epochs": max(5, min(60, round(STEPS / steps)))}
