"""bottleneck (GL217)

Finds: a hidden layer of one or two units that more must pass.
Hurts: all that the layers behind it can know of a row is one or two numbers.
Evidence: inputs and outputs of the layer, and the width of the next one.
Cure: 32 units or more.
Not a fault when: two numbers are wanted (an encoder that draws its rows in a plane); it weighs other layers' numbers
    (an attention's score, a gate).
Source: Tishby, Zaslavsky 2015, arXiv 1503.02406; Goodfellow, Bengio, Courville 2016, section 14.1.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.doctor.reading import first_loss, follows, place, train_labels
from glia.vitals.chart import Chart, OperationFacts
from glia.vitals.operations import ACTIVATIONS, SHAPING

RULE = Rule("GL217", "bottleneck", "too_few_units", explains=("GL301", "GL311", "GL402"))
NARROW, WIDE, CLASSES, NUMBERS = 2, 4, 3, 2
STACKED = ("linear", "conv1d", "conv2d", "conv3d")


def check(chart: Chart) -> Iterator[Finding]:
    for model in chart.models:
        wanted = _asks_for_more(chart)
        weighted = [i for i, op in enumerate(model.operations) if op.weighted]
        for at, following in zip(weighted, weighted[1:]):
            layer, after = model.operations[at], model.operations[following]
            between = model.operations[at + 1 : following]
            activated = any(op.name in ACTIVATIONS for op in between)
            narrow = 0 < layer.outputs <= NARROW and layer.inputs > WIDE and layer.name in STACKED
            if not narrow or not _passes(layer, after) or any(op.name in SHAPING for op in between):
                continue
            if not activated and not follows(chart, layer, after, between):
                continue
            if wanted or after.outputs > layer.outputs:
                yield RULE.finding(
                    "warning",
                    place(chart, layer.module, layer.name),
                    {"inputs": layer.inputs, "units": layer.outputs, "units_behind_it": after.outputs},
                    f"all that is known of a row must pass {layer.outputs} unit{'s' if layer.outputs > 1 else ''}",
                    "give the layer 32 units or more",
                    safe=False,
                    change={"units": 32},
                    prior=0.6,
                )
                break


def _passes(layer: OperationFacts, after: OperationFacts) -> bool:
    """Does the next layer take what this one gives? Between a convolution and a linear layer the widths differ."""
    return after.inputs == layer.outputs if after.name == layer.name else after.name in STACKED


def _asks_for_more(chart: Chart) -> bool:
    """Are there more answers than one or two numbers can tell apart with ease?"""
    labels, loss = train_labels(chart), first_loss(chart)
    if labels is not None and labels.kind in ("classes", "tokens"):
        return labels.classes > CLASSES
    return labels is not None and labels.kind == "numbers" and loss is not None and loss.outputs > NUMBERS
