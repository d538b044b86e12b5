"""loss-does-not-fit-task (GL221)

Finds: a loss for numbers on classes, or a loss for classes on numbers.
Hurts: its gradient fades where the answers are most wrong, or it cannot reach the targets at all.
Evidence: the loss that was recognised, the kind of labels, what follows the last layer.
Cure: cross-entropy for classes, binary cross-entropy for yes and no, squared error for numbers.
Not a fault when: the run learns with it (squared error on classes often does); the numbers are shares between 0 and 1.
Source: Golik, Doetsch, Ney 2013, "Cross-entropy vs. squared error training"; Janocha, Czarnecki 2017, arXiv 1702.05659;
    Bishop 2006, section 5.2.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from glia.doctor.finding import Finding, Rule
from glia.doctor.reading import (
    CROSS_ENTROPY,
    OF_CLASSES,
    OF_YES,
    SHIFTED,
    WITH_LOGITS,
    classes_on_one_output,
    first_loss,
    first_model,
    loss_place,
    out_of,
    train_labels,
    way,
)
from glia.vitals.chart import Chart, LabelFacts, LossFacts

RULE = Rule("GL221", "loss-does-not-fit-task", "wrong_loss")
ON_CLASSES = {"l1": 0.7, "mse": 0.6, "root_mse": 0.6, "smooth_l1": 0.6, "huber": 0.6, "hinge": 0.5, "bce": 0.5}
ON_CLASSES |= {"bce_logits": 0.5}
ON_YES = {"l1": 0.7, "mse": 0.6, "root_mse": 0.6, "smooth_l1": 0.6, "huber": 0.6}
NUMBERS: dict[str, Any] = {"loss": "MSELoss", "output_activation": "none"}


def check(chart: Chart) -> Iterator[Finding]:
    loss, labels = first_loss(chart), train_labels(chart)
    if loss is None or labels is None or classes_on_one_output(chart, loss):
        return
    activations = way(chart, loss) or ()
    if labels.kind == "classes" and loss.outputs > 1 and loss.kind in ON_CLASSES:
        prior = 0.6 if loss.kind == "hinge" and "softmax" in activations else ON_CLASSES[loss.kind]
        yield _finding(loss, labels, activations, "cross-entropy", CROSS_ENTROPY, prior)
    elif labels.kind == "binary" and loss.kind in ON_YES:
        change = {"loss": "BCELoss"} if activations[-1:] == ("sigmoid",) else WITH_LOGITS
        prior = ON_YES[loss.kind] if activations[-1:] == ("sigmoid",) else max(0.6, ON_YES[loss.kind])
        yield _finding(loss, labels, activations, "binary cross-entropy", change, prior)
    elif _plus_or_minus(labels):
        squeezed = SHIFTED & set(_behind(chart))
        if squeezed and loss.kind in ("unknown", "hinge", *ON_YES):
            why = _finding(loss, labels, _behind(chart), "cross-entropy", CROSS_ENTROPY, 0.6)
            yield replace(why, why="one class of each row is 1 and the others -1, and the outputs are never below 0")
    elif labels.kind == "numbers" and _for_classes(loss, labels):
        yield _finding(loss, labels, activations, "squared error", NUMBERS, 0.9)


def _plus_or_minus(labels: LabelFacts) -> bool:
    """Is it one class a row, coded as 1 among -1, as a hinge loss wants it?"""
    ends = labels.whole and labels.values.low == -1 and labels.values.high == 1
    return ends and len(labels.counts) == 2 and labels.counts[1] == labels.rows < labels.counts[0] + labels.counts[1]


def _behind(chart: Chart) -> tuple[str, ...]:
    """Activations at the end of the model, whether or not the loss is known."""
    model = first_model(chart)
    return tuple(name for name in model.output.split("+") if name not in ("", "none")) if model else ()


def _for_classes(loss: LossFacts, labels: LabelFacts) -> bool:
    """Is it a loss that these numbers cannot be given to? Shares between 0 and 1 can, and -1 and 1 to a hinge."""
    if loss.kind == "hinge":
        return out_of(labels, -1, 1) or not labels.whole
    return loss.kind in (*OF_CLASSES, *OF_YES) and out_of(labels, 0, 1)


def _finding(
    loss: LossFacts, labels: LabelFacts, activations: tuple[str, ...], fits: str, change: dict[str, Any], prior: float
) -> Finding:
    word = {"classes": "classes", "binary": "yes or no", "numbers": "numbers"}[labels.kind]
    return RULE.finding(
        "warning",
        loss_place(loss),
        {"labels": word, "outputs": loss.outputs, "after_the_last_layer": "+".join(activations) or "nothing"},
        f"the labels are {word}, and {loss.kind} is not a loss for them",
        f"use {fits}: nn.{change['loss']}" + (" on the raw outputs" if "output_activation" in change else ""),
        safe=False,
        change=change,
        prior=prior,
    )
