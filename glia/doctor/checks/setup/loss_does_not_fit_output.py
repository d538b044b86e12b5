"""loss-does-not-fit-output (GL203)

Finds: outputs that the loss cannot take: an activation that the loss applies itself, raw numbers where it takes
    probabilities, one unit under a softmax, an activation that cannot reach the targets or lets no gradient through.
Hurts: softmax of a softmax cannot fall below ln(1 + (C - 1) / e) and its gradient fades; the logarithm of a raw number
    is not finite; the softmax of one number is always 1; a sigmoid never gives 20.
Evidence: what lies between the last layer and the loss, the kind of labels and their range.
Cure: raw outputs (logits) for CrossEntropyLoss and BCEWithLogitsLoss; a sigmoid for several yes or no; nothing behind
    the last layer for numbers.
Not a fault when: the loss takes (log-)probabilities and gets them; log_softmax before cross-entropy, which changes
    nothing; a clamp that only keeps a logarithm finite.
Source: torch.nn.CrossEntropyLoss, NLLLoss and BCEWithLogitsLoss; Goodfellow, Bengio, Courville 2016, section 6.2.2.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import e, log
from typing import Any

from glia.doctor.finding import Finding, Rule
from glia.doctor.learning import failed
from glia.doctor.reading import (
    CROSS_ENTROPY,
    OF_CLASSES,
    OF_YES,
    SHIFTED,
    WITH_LOGITS,
    classes_on_one_output,
    first_model,
    last_layer,
    loss_place,
    losses,
    out_of,
    place,
    single_output,
    train_labels,
    way,
)
from glia.vitals.chart import Chart, LossFacts

EXPLAINS = ("GL204", "GL301", "GL302", "GL311")
RULE = Rule("GL203", "loss-does-not-fit-output", "wrong_output_activation", explains=EXPLAINS)
RAW: dict[str, Any] = {"output_activation": "none"}
SIGMOID: dict[str, Any] = {"output_activation": "sigmoid"}
STEPS = ("sign", "round", "argmax")  # their gradient is 0 everywhere
CUTTING = ("threshold", "hardtanh", "hardshrink")
SOFT = ("leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "softplus", "prelu")  # they lose little
RANGES = {"sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "clamp": (0.0, 1.0), "hardsigmoid": (0.0, 1.0)}
RANGES |= {"tanh": (-1.0, 1.0), "softsign": (-1.0, 1.0)}


@dataclass(frozen=True, slots=True)
class Case:
    """One way not to fit."""

    why: str
    cure: str
    change: dict[str, Any]
    prior: float
    cause: str = "wrong_output_activation"
    sure: bool = False


SHARE = 0.05  # by which the targets of a row may miss one whole


def check(chart: Chart) -> Iterator[Finding]:
    for loss in losses(chart):
        activations = way(chart, loss)
        cases = list(_cases(chart, loss, activations)) if activations is not None else []
        if not cases and single_output(chart, loss) and loss.kind == "cross_entropy" and loss.step == 0:
            cases = [_always_zero()]
        if cases:
            yield _finding(chart, loss, activations or (), max(cases, key=lambda case: (case.sure, case.prior)))


def _cases(chart: Chart, loss: LossFacts, activations: tuple[str, ...]) -> Iterator[Case]:
    kind = _kind(chart, loss)
    yield from _one_unit(chart, loss, activations, kind)
    yield from _no_gradient(chart, loss, activations, kind)
    if loss.kind in ("cross_entropy", "causal_cross_entropy", "bce_logits"):
        yield from _applied_twice(chart, loss, activations)
    elif loss.kind in (*OF_CLASSES, "bce") and not activations:
        yield from _raw(loss)
    elif loss.kind in (*OF_CLASSES, "bce"):
        yield from _no_probabilities(loss, activations, kind)
    if kind == "numbers" and loss.kind not in (*OF_CLASSES, *OF_YES) and not classes_on_one_output(chart, loss):
        yield from _out_of_reach(chart, activations, loss.outputs)
    if kind == "multilabel" and activations[-1:] == ("softmax",):
        yield Case(
            "a softmax makes the outputs of a row share one whole, and a row may have several labels",
            "use a sigmoid instead of the softmax", SIGMOID, 0.9,
        )  # fmt: skip


def _kind(chart: Chart, loss: LossFacts) -> str:
    """Of the labels; guessed from the loss where they were not seen."""
    labels = train_labels(chart)
    if labels is not None:
        return labels.kind
    if loss.kind in OF_CLASSES:
        return "classes"
    return "binary" if loss.kind in OF_YES else ""


def _one_unit(chart: Chart, loss: LossFacts, activations: tuple[str, ...], kind: str) -> Iterator[Case]:
    """The softmax of one number is 1, whatever the number. Three classes on one unit are for another rule."""
    told = kind in ("binary", "numbers") and single_output(chart, loss)
    if told and {"softmax", "log_softmax"} & set(activations) and not classes_on_one_output(chart, loss):
        yield Case(
            "a softmax over one unit is always 1, so the network cannot learn anything",
            "use a sigmoid instead of the softmax" if kind == "binary" else "take the softmax away",
            SIGMOID if kind == "binary" else RAW, 1.0, sure=True,
        )  # fmt: skip


def _always_zero() -> Case:
    return Case(
        "cross-entropy over one unit is always 0: the softmax that it applies is always 1",
        "use nn.BCEWithLogitsLoss on the raw output", WITH_LOGITS, 1.0, "wrong_loss", True,
    )  # fmt: skip


def _no_gradient(chart: Chart, loss: LossFacts, activations: tuple[str, ...], kind: str) -> Iterator[Case]:
    """Outputs that are cut or made into steps. Straight-through estimates detach the difference: they are well."""
    model = first_model(chart)
    operations = model.operations if model else ()
    last = max((i for i, op in enumerate(operations) if op.weighted), default=len(operations))
    after = [op.name for op in operations[last + 1 :]]
    step = next((name for name in after if name in STEPS), "") if "detach" not in after else ""
    cutting = step or next((name for name in activations if name in CUTTING), "")
    if not cutting or (cutting == "hardtanh" and kind == "numbers" and not out_of(train_labels(chart), -1, 1)):
        return
    change = CROSS_ENTROPY if kind == "classes" else RAW
    if kind in ("binary", "multilabel"):
        change = RAW if loss.kind == "bce_logits" else SIGMOID
    yield Case(
        f"{cutting} on the outputs lets {'no' if step else 'little'} gradient through",
        f"take {cutting} away while training", change, 1.0 if step else 0.95,
    )  # fmt: skip


def _applied_twice(chart: Chart, loss: LossFacts, activations: tuple[str, ...]) -> Iterator[Case]:
    """Losses of raw outputs. log_softmax before cross-entropy changes nothing; a soft activation loses little."""
    harmful = [name for name in activations if name != "log_softmax" or loss.kind == "bce_logits"]
    if not harmful:
        return
    own = "sigmoid" if loss.kind == "bce_logits" else "softmax"
    last = last_layer(first_model(chart))
    pooled = last is not None and "conv" in last.name and harmful == ["relu"]
    yield Case(
        f"the outputs pass through {harmful[-1]} before a loss that applies {own} itself",
        f"give the loss the raw outputs of the last layer, without {harmful[-1]}",
        RAW, 0.5 if pooled or set(harmful) <= set(SOFT) else 0.9, sure=own in harmful,
    )  # fmt: skip


def _raw(loss: LossFacts) -> Iterator[Case]:
    """Losses of probabilities that get raw numbers."""
    if loss.kind == "bce":
        wants, cure, change = "probabilities", "use nn.BCEWithLogitsLoss on the raw outputs", WITH_LOGITS
    else:
        wants = "log-probabilities" if loss.kind == "nll" else "probabilities"
        cure, change = "use nn.CrossEntropyLoss on the raw outputs", CROSS_ENTROPY
    why = f"the loss takes {wants} and gets the raw numbers of the last layer"
    yield Case(why, cure, change, 0.95, "missing_output_activation")


def _no_probabilities(loss: LossFacts, activations: tuple[str, ...], kind: str) -> Iterator[Case]:
    """Losses of probabilities behind an activation that does not give them."""
    last, earlier = activations[-1], activations[:-1]
    right = {"nll": ("log_softmax", "logsigmoid"), "log": ("softmax", "gumbel_softmax"), "bce": ("sigmoid", "softmax")}
    several = kind == "classes" and loss.outputs != 1
    change = CROSS_ENTROPY if several or loss.kind != "bce" else SIGMOID
    cure = "use nn.CrossEntropyLoss on the raw outputs" if change is CROSS_ENTROPY else "use a sigmoid there"
    wants = "log-probabilities" if loss.kind == "nll" else "probabilities"
    if last in right.get(loss.kind, ()) or (loss.kind == "bce" and last == "hardsigmoid"):
        spoilt = [name for name in earlier if name not in ("log_softmax", "clamp", *SOFT)]
        if spoilt:
            why = f"the outputs pass through {spoilt[-1]} before {last}, which takes raw numbers"
            yield Case(why, f"take {spoilt[-1]} away", change, 0.7)
    elif loss.kind == "log" and last in ("sigmoid", "hardsigmoid"):
        if loss.outputs != 1 and kind != "binary":
            why = "each class has a sigmoid of its own, so all of them may be 1 and the loss still falls"
            yield Case(why, cure, CROSS_ENTROPY, 0.7)
    elif loss.kind == "log" and last == "exp" or last in ("log_softmax", "logsigmoid") and loss.kind != "bce":
        return  # probabilities of its own making
    else:
        yield Case(f"the loss takes {wants} and {last} does not give them", cure, change, 0.9)


def _out_of_reach(chart: Chart, activations: tuple[str, ...], outputs: int) -> Iterator[Case]:
    """Numbers to predict that the activation behind the last layer cannot give."""
    labels, last = train_labels(chart), activations[-1] if activations else ""
    why, cure = (
        f"the targets lie where {last} never comes",
        f"take {last} away: numbers need nothing behind the last layer",
    )
    if last in RANGES and out_of(labels, *RANGES[last]):
        yield Case(why, cure, RAW, 0.9)
    elif last == "softmax" and labels is not None and outputs > 1 and abs(labels.values.mean * outputs - 1) > SHARE:
        yield Case("the outputs of a row share one whole under a softmax, and the targets do not", cure, RAW, 0.85)
    elif last in ("relu", "relu6", "softplus", "exp") and labels is not None:
        below = labels.values.low < -0.01
        if not below and last != "relu":
            return
        why = why if below else "where relu gives 0 it has no gradient, and a unit that is always 0 never comes back"
        yield Case(why, cure, RAW, 0.9 if below else 0.5)


def _finding(chart: Chart, loss: LossFacts, activations: tuple[str, ...], case: Case) -> Finding:
    labels, last = train_labels(chart), last_layer(first_model(chart))
    figures: dict[str, Any] = {
        "after_the_last_layer": " -> ".join(activations) or "nothing",
        "loss": loss.kind,
        "first_loss": loss.value,
    }
    if case.change is RAW and activations[-1:] == ("softmax",) and loss.kind == "cross_entropy" and loss.outputs > 1:
        figures["lowest_loss_possible"] = log(1 + (loss.outputs - 1) / e)
    if labels is not None and labels.kind == "numbers":
        figures |= {"lowest_target": labels.values.low, "highest_target": labels.values.high}
    where = f"{loss_place(loss)} after {place(chart, last.module, last.name)}" if last else loss_place(loss)
    return RULE.finding(
        "error" if failed(chart) or (case.sure and case.prior == 1) else "warning", where, figures, case.why, case.cure,
        safe=case.change is RAW and bool(SHIFTED & set(activations)),
        cause=case.cause, change=case.change, prior=case.prior, sure=case.sure,
    )  # fmt: skip
