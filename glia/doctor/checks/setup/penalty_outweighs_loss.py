"""penalty-outweighs-loss (GL214)

Finds: a penalty in the loss of more than twice the loss of the data, or a weight decay far above the usual.
Hurts: the optimiser makes the weights small before it makes the answers right.
Evidence: the penalty and the loss of the data at the first step; the weight decay.
Cure: no penalty, or a hundredth of it.
Not a fault when: what is added is another task's loss, or the run learns.
Source: Krogh, Hertz 1991, "A simple weight decay can improve generalization"; Loshchilov, Hutter 2019, arXiv 1711.05101
    (decoupled decay is larger).
"""

from collections.abc import Iterator
from math import isfinite

from glia.doctor.finding import Finding, Rule
from glia.doctor.reading import loss_place
from glia.vitals.chart import Chart, LossFacts, OptimizerFacts

RULE = Rule("GL214", "penalty-outweighs-loss", "over_regularised", explains=("GL301", "GL310", "GL311", "GL402"))
TIMES, MOST_DECAY, MOST_DECOUPLED = 2.0, 0.05, 0.3


def check(chart: Chart) -> Iterator[Finding]:
    for loss in chart.losses:
        data = _data(loss)
        if 0 < TIMES * data < loss.added:
            yield RULE.finding(
                "warning", loss_place(loss), {"penalty": loss.added, "loss_of_the_data": data},
                "what is added to the loss is larger than the loss itself, so the weights shrink first",
                "take the penalty out of the loss, or make it a hundredth",
                safe=False, change={"l1": 0}, prior=0.7,
            )  # fmt: skip
    for optimizer in chart.optimizers:
        decay = optimizer.options.get("weight_decay", 0.0)
        if decay > _most(optimizer):
            yield RULE.finding(
                "warning", f"weight_decay of {optimizer.kind}", {"weight_decay": decay},
                "the weight decay pulls the weights to 0 faster than the loss pulls them away",
                "take the weight decay away, or use 1e-4",
                safe=False, change={"weight_decay": 0}, prior=0.7,
            )  # fmt: skip


def _data(loss: LossFacts) -> float:
    """The data's part of the scalar at the first step."""
    return loss.times * loss.value if isfinite(loss.times) and isfinite(loss.value) else 0.0


def _most(optimizer: OptimizerFacts) -> float:
    return MOST_DECOUPLED if optimizer.kind == "AdamW" else MOST_DECAY
