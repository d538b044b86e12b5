"""Which network learns to write, and how each is trained."""

from math import ceil
from typing import Any

from glia.catalog import entry as catalog
from glia.data.facts import TextFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.suggestion import Suggestion

READ = 10_000_000  # tokens that a run reads, about: half an hour of two cores for gpt-mini
MOST_EPOCHS = 40  # of a short text: more would be learning it by heart
SMALL = 200_000  # tokens of an epoch below which a smaller network learns as much
BATCH_TOKENS = 2048
_FAMILIES = ("gpt", "recurrent")


def choose_language(facts: TextFacts, rows: int, task: Task) -> Suggestion:
    """The default network for `rows` windows of facts.length tokens."""
    tokens = rows * facts.length
    name, why = "gpt-mini", "6 layers, 192 wide: what two cores can train on some million tokens in half an hour"
    if tokens < SMALL:
        name, why = "gpt-micro", f"{tokens:,} tokens to learn from are few: 4 layers, 128 wide"
    return Suggestion(name, {"dropout": 0.1}, language_settings(name, facts, rows, task), why)


def language_settings(name: str, facts: TextFacts, rows: int, task: Task) -> dict[str, Any]:
    """How a network is trained, also where it was asked for by name. Raises GliaError for one that cannot write.

    GPTs with Muon (Jordan et al. 2024), which needs about half the tokens that AdamW does here.
    """
    family = catalog.find("models", name).facts["family"]
    if family not in _FAMILIES:
        fitting = [n for n in catalog.names("models") if catalog.find("models", n).facts.get("family") in _FAMILIES]
        raise GliaError(f"model {name} does not tell the next token", expected=f"one of {', '.join(fitting)}")
    tokens = max(rows * facts.length, 1)
    epochs = min(max(1, round(READ / tokens)), MOST_EPOCHS)
    gpt = family == "gpt"
    return {
        "epochs": epochs, "batch_size": max(8, BATCH_TOKENS // facts.length), "optimizer": "muon" if gpt else "adamw",
        "lr": 3e-3 if gpt else 2e-3, "weight_decay": 0.01, "schedule": "cosine", "warmup": 0.03,
        "clip": 1.0, "ema": 0.0, "patience": max(3, ceil(epochs / 3)),
    }  # fmt: skip
