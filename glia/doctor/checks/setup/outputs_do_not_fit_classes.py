"""outputs-do-not-fit-classes (GL220)

Finds: three or more classes for a network that gives one number a row, or fewer numbers than there are classes.
Hurts: one number can only say yes or no; classes without an output of their own are never predicted.
Evidence: the number of classes among the labels, and of outputs.
Cure: one output for each class, cross-entropy, and the class number as label.
Not a fault when: the whole numbers are amounts to predict (a count, an age); there are more outputs than classes seen.
Source: Bishop 2006, "Pattern Recognition and Machine Learning", section 4.3.4; torch.nn.CrossEntropyLoss.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.doctor.reading import (
    CROSS_ENTROPY,
    SHIFTED,
    classes_on_one_output,
    first_loss,
    first_model,
    last_layer,
    place,
    train_labels,
    way,
)
from glia.vitals.chart import Chart, LossFacts

RULE = Rule("GL220", "outputs-do-not-fit-classes", "wrong_output_units", explains=("GL106", "GL301"))
OF_NUMBERS = ("mse", "l1", "smooth_l1", "huber", "root_mse")


def check(chart: Chart) -> Iterator[Finding]:
    loss, labels = first_loss(chart), train_labels(chart)
    if loss is None or labels is None:
        return
    classes = classes_on_one_output(chart, loss)
    if classes:
        yield _finding(chart, 1, classes, _prior(chart, loss))
    elif labels.kind == "classes" and labels.classes > loss.outputs > 1:
        yield _finding(chart, loss.outputs, labels.classes, 0.95)


def _prior(chart: Chart, loss: LossFacts) -> float:
    """Whole numbers may be amounts, unless the loss or the activation is one for yes and no."""
    activations = set(way(chart, loss) or ())
    if "softmax" in activations:
        return 1.0
    return 0.6 if loss.kind in OF_NUMBERS and not activations & SHIFTED else 0.9


def _finding(chart: Chart, outputs: int, classes: int, prior: float) -> Finding:
    last = last_layer(first_model(chart))
    return RULE.finding(
        "error",
        place(chart, last.module, last.name) if last else "the last layer",
        {"classes": classes, "outputs": outputs},
        f"the network gives {outputs} number{'s' if outputs > 1 else ''} a row and the labels have {classes} classes",
        f"give the last layer {classes} outputs and use nn.CrossEntropyLoss on them with class numbers as labels",
        safe=False,
        change={**CROSS_ENTROPY, "output_units": classes},
        prior=prior,
        sure=prior == 1.0,
    )
