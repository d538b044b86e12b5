"""Which network fits a set of texts, and how it trains within minutes on two CPU cores."""

from dataclasses import dataclass
from typing import Any

from glia.catalog import entry as catalog
from glia.data.facts import TextFacts
from glia.data.task import Task
from glia.models.suggestion import Suggestion

BUDGET = 1.5e7  # tokens, over all epochs, that a bag-gru reads within some minutes on two cores
EPOCHS = (3, 2.4)  # fewest; most, in multiples of those for 7,000 rows


@dataclass(frozen=True)
class Pace:
    """How a family of networks likes to be trained on texts."""

    lr: float
    epochs: int  # for 7,000 rows; more for fewer
    batch: int = 64
    weight_decay: float = 0.0
    label_smoothing: float = 0.05
    cost: float = 0.3  # of a token, that of a bag-gru being 1


_PACES = {
    "bag": Pace(3e-3, 5, cost=0.1),
    "bag-gru": Pace(3e-3, 12, cost=1.0),
    "recurrent": Pace(3e-3, 12, cost=0.3),
    "bert": Pace(5e-4, 8, weight_decay=0.01, cost=1.0),
}


def choose_text(facts: TextFacts, rows: int, task: Task) -> Suggestion:
    """The default network for `rows` training texts."""
    name = "bag-gru"
    if _tokens(facts, rows) * _PACES[name].cost * EPOCHS[0] > BUDGET:
        name = "bag"
    train = text_settings(name, facts, rows, task)
    what = (
        "naive Bayes, a bag of words and a GRU that answer together"
        if name == "bag-gru"
        else "a bag of words and pairs of words, which reads so many texts in minutes"
    )
    why = f"{rows:,} texts of at most {facts.length} tokens: {what}, {train['epochs']} epochs"
    return Suggestion(name, {}, train, why)


def text_settings(name: str, facts: TextFacts, rows: int, task: Task) -> dict[str, Any]:
    """Train settings of a text network for `rows` texts: those of its family, with fewer epochs where texts are many.

    The rate rises, then falls to the end of the run. The best epoch by validation loss is kept, which counts most for
    bags of words: they know the training texts by heart soon.
    """
    entry = catalog.find("models", name)
    pace = _PACES.get(entry.name) or _PACES.get(entry.facts.get("family", "")) or _PACES["recurrent"]
    wanted = pace.epochs * (7_000 / max(rows, 1)) ** 0.3
    allowed = BUDGET / (_tokens(facts, rows) * pace.cost)
    return {
        "epochs": max(EPOCHS[0], round(min(wanted, allowed, EPOCHS[1] * pace.epochs))),
        "batch_size": min(pace.batch, max(8, rows // 16)),
        "optimizer": "adamw",
        "lr": pace.lr,
        "schedule": "linear",
        "warmup": 0.05,
        "weight_decay": pace.weight_decay,
        "label_smoothing": pace.label_smoothing if task.kind == "classify" else 0.0,
        "clip": 1.0,
        "ema": 0.0,
        "patience": 0,
    }


def _tokens(facts: TextFacts, rows: int) -> float:
    """Tokens of an epoch, about: most texts are half as long as the longest that is read."""
    return max(rows * facts.length / 2, 1.0)
