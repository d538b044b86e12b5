"""Which network fits a set of pictures, by their size and number, and how it trains within minutes on two CPU cores."""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from glia.catalog import entry as catalog
from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.models.build import build, example
from glia.models.normalise import halvings
from glia.models.suggestion import Suggestion

MANY = 20_000  # rows
GREY_MANY = 10_000  # rows from which a narrow network is enough for grey pictures
BUDGET = 1.4e13  # multiplications forward in a whole run: five minutes of training on two cores at 25e9 a second each
LEAST_EPOCHS = 3
MANY_STEPS = 200  # of an epoch


@dataclass(frozen=True)
class Pace:
    """How a family of networks likes to be trained. lr: the peak rate at 256 rows a step; it goes with the root of
    their number, which is what was measured here from 16 to 256.
    """

    lr: float
    weight_decay: float
    label_smoothing: float
    epochs: int  # for 45,000 rows
    batch: int = 128  # most rows a step
    optimizer: str = "nesterov"


_PACES = {
    "resnet9": Pace(0.3, 5e-4, 0.1, 12, batch=256),
    "resnet8": Pace(0.3, 5e-4, 0.1, 12),
    "resnet20": Pace(0.3, 5e-4, 0.1, 12),
    "lenet5": Pace(0.07, 5e-4, 0.0, 15),
    # Families, by the rates of their papers.
    "resnet_small": Pace(0.3, 5e-4, 0.1, 12),
    "resnet": Pace(0.1, 1e-4, 0.1, 12),
    "alexnet": Pace(0.01, 5e-4, 0.0, 12),
    "vgg": Pace(0.01, 5e-4, 0.0, 12),
    "mobilenet_v1": Pace(0.1, 4e-5, 0.1, 12),
    "mobilenet_v2": Pace(0.1, 4e-5, 0.1, 12),
    "mobilenet_v3": Pace(0.1, 1e-5, 0.1, 12),
    "vit": Pace(1e-3, 0.05, 0.1, 20, optimizer="adamw"),
}


def choose_image(facts: ImageFacts, rows: int, task: Task) -> Suggestion:
    """The default network for `rows` training pictures."""
    width = 8 if facts.channels == 1 and rows >= GREY_MANY else 16
    train = image_settings("resnet9", facts, rows, task, width=width)
    shrunk = 2 ** halvings(facts)
    size = f"{facts.height} x {facts.width} pixels" + (
        f", shrunk {shrunk} times by the first layers" if shrunk > 1 else ""
    )
    why = (
        f"{rows:,} pictures of {size}: a wide, shallow residual network with {width} channels at first, "
        f"{train['epochs']} epochs of {train['batch_size']} rows a step, sized for minutes on two cores"
    )
    return Suggestion("resnet9", {"width": width}, train, why)


def image_settings(name: str, facts: ImageFacts, rows: int, task: Task, width: int = 16) -> dict[str, Any]:
    """Train settings of an image network for `rows` pictures: its own in the catalogue, or those of its family here, or
    those of resnet9.

    One rise and one fall of the rate over the whole run (Smith and Topin 2018, arXiv 1708.07120; both straight, as in
    Page 2018), so it may not stop early: patience is 0. Where an epoch of resnet9 has many steps, the rate rises within
    half an epoch, and averaged weights make the network good long before it falls; elsewhere there are none, since
    batch norm's running figures are those of the live ones. Their loss on labels as they are is least while they are
    not at their best: what smoothed labels teach is to be a little unsure. So the accuracy says which are kept.
    """
    entry = catalog.find("models", name)
    if "train" in entry.facts:
        return dict(entry.facts["train"])
    pace = _PACES.get(entry.name) or _PACES.get(entry.facts.get("family", "")) or _PACES["resnet9"]
    batch = min(_batch(rows, width), pace.batch)
    soon = entry.name == "resnet9" and rows >= MANY_STEPS * batch
    cost = products(facts, width) if entry.name == "resnet9" else counted(entry.name, facts, task)
    return {
        "epochs": _epochs(pace, rows, cost),
        "batch_size": batch,
        "optimizer": pace.optimizer,
        "momentum": 0.9,
        "lr": float(f"{pace.lr * sqrt(batch / 256):.1e}"),
        "schedule": "linear",
        "warmup": 0.05 if soon else 0.2,
        "weight_decay": pace.weight_decay,
        "label_smoothing": pace.label_smoothing if task.kind == "classify" else 0.0,
        # squared errors have no bound; transformers are clipped in their paper
        "clip": 1.0 if task.kind == "regress" or pace.optimizer == "adamw" else 0.0,
        "ema": 0.99 if soon else 0.0,  # of a hundred steps
        "patience": 0,
        "monitor": "valid_accuracy" if soon and task.kind == "classify" else "valid_loss",
    }


def _batch(rows: int, width: int) -> int:
    """At least a dozen steps an epoch, so that there are some hundreds in all; 256 only where a step is heavy."""
    if rows >= MANY and width >= 16:
        return 256
    return next((batch for least, batch in ((5_000, 128), (1_000, 64), (300, 32)) if rows >= least), 16)


def _epochs(pace: Pace, rows: int, cost: float) -> int:
    """More epochs where rows are few, by their fifth root; fewer where the whole would take too long.

    cost: multiplications for one picture, forward.
    """
    wanted = pace.epochs * (45_000 / max(rows, 1)) ** 0.2
    allowed = BUDGET / (max(rows, 1) * cost)
    return max(round(min(wanted, allowed)), LEAST_EPOCHS)


def products(facts: ImageFacts, width: int) -> float:
    """Multiplications of a resnet9 for one picture, forward."""
    pixels = facts.height * facts.width / 4 ** halvings(facts)
    stem, *rest = 9 * facts.channels * width, *(18 * width**2,) * 5  # each of five groups costs the same
    return pixels * (stem + sum(rest))


def counted(name: str, facts: ImageFacts, task: Task) -> float:
    """Multiplications of any network for one picture, forward, counted on a copy that has shapes but no memory."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        build(name, facts, task).eval()(example(facts, rows=1))
    return counter.get_total_flops() / 2  # it counts additions too
