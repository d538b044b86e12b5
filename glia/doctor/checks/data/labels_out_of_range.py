"""labels-out-of-range (GL106)

Finds: class numbers below 0 or beyond the outputs, labels that are neither 0 nor 1 where the loss takes probabilities,
    one class only.
Hurts: such a loss has no lowest point, so it falls without end or breaks; one class only teaches nothing else.
Evidence: lowest and highest label, how many values there are, and how many outputs.
Cure: number the classes from 0 up; give one output a class and use cross-entropy where there are more than two.
Not a fault when: the labels are probabilities between 0 and 1; a row is marked with -100 to be left out.
Source: Bridle 1990, "Probabilistic interpretation of feedforward classification network outputs".
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart, LabelFacts, LossFacts, Spread

RULE = Rule("GL106", "labels-out-of-range", "labels_wrong_encoding", explains=("GL105", "GL301"))
OF_PROBABILITIES = ("bce", "bce_logits")
ROUNDING = 1e-3
FEWEST_ROWS = 20


def check(chart: Chart) -> Iterator[Finding]:
    labels = next((one for one in chart.labels if one.part == "train"), None)
    loss = chart.losses[0] if len(chart.losses) == 1 else None
    values = labels.values if labels is not None else loss.targets if loss is not None else None
    if values is None or not values.low <= values.high:
        return
    if loss is not None and loss.kind in OF_PROBABILITIES:
        if values.low < -ROUNDING or values.high > 1 + ROUNDING:
            yield _not_probabilities(loss, labels, values)
        elif labels is not None:
            yield from _one_class(labels, chart)
    elif labels is not None and labels.kind == "classes" and labels.form == "index":
        if values.low < 0 or values.high >= labels.classes:
            yield _beyond(labels)
        else:
            yield from _one_class(labels, chart)
    elif labels is not None and labels.kind in ("classes", "binary"):
        yield from _one_class(labels, chart)
    elif labels is not None and _two_numbers(labels) and chart.models and chart.models[0].output == "sigmoid":
        yield RULE.finding(
            "warning",
            "the labels",
            {"low": values.low, "high": values.high, "outputs_between": "0 and 1"},
            "there are two labels, and they are not the 0 and 1 that a sigmoid can answer",
            "write the two classes as 0 and 1",
            safe=False,
            prior=0.85,
        )


def _two_numbers(labels: LabelFacts) -> bool:
    outside = labels.values.low < -ROUNDING or labels.values.high > 1 + ROUNDING
    return labels.kind == "numbers" and labels.whole and labels.classes == 2 and outside


def _not_probabilities(loss: LossFacts, labels: LabelFacts | None, values: Spread) -> Finding:
    several = labels is not None and labels.whole and labels.classes > 2 and loss.outputs <= 1
    evidence = {"low": values.low, "high": values.high, "outputs": loss.outputs, "loss": loss.kind}
    if several and labels is not None:
        return RULE.finding(
            "error",
            "the labels",
            {"classes": labels.classes} | evidence,
            "the labels are numbers of more than two classes, and one output can tell only two apart",
            "give the last layer one output a class and use cross-entropy on them",
            safe=False,
            cause="wrong_output_units",
            change={"loss": "CrossEntropyLoss", "target": "index", "output_activation": "none"},
            prior=1.0,
            sure=True,
        )
    return RULE.finding(
        "error",
        "the labels",
        evidence,
        "the loss takes labels between 0 and 1, and these lie outside, so it has no lowest point",
        "write the two classes as 0 and 1, or use a loss for numbers",
        safe=False,
        prior=1.0,
        sure=True,
    )


def _beyond(labels: LabelFacts) -> Finding:
    low, high = labels.values.low, labels.values.high
    from_one = low >= 1 and high == labels.classes
    more = low >= 0 and not from_one
    return RULE.finding(
        "error",
        "the labels",
        {"low": low, "high": high, "outputs": labels.classes},
        "a class has a number for which there is no output",
        "number the classes from 0 up" if not more else "give the last layer an output for each class",
        safe=False,
        cause="wrong_output_units" if more else "labels_wrong_encoding",
        prior=1.0,
        sure=True,
    )


def _one_class(labels: LabelFacts, chart: Chart) -> Iterator[Finding]:
    """All rows of one class. Where there are several optimisers, labels are made up a batch at a time."""
    seen = sum(count > 0 for count in labels.counts)
    if labels.kind == "multilabel" or seen != 1 or labels.rows < FEWEST_ROWS or len(chart.optimizers) > 1:
        return
    yield RULE.finding(
        "warning",
        "the labels",
        {"rows": labels.rows, "classes_seen": 1, "label": labels.values.mean},
        "all training rows have the same label, so the network learns only to give it",
        "look how the labels are read and how the rows are split",
        safe=False,
        prior=0.9,
    )
