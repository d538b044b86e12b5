"""underfitting (GL402)

Finds: answers that are poor on training rows and on held-out rows alike, at a sound rate and with a flat loss.
Hurts: the network cannot express what is asked of it, so more training changes nothing.
Evidence: how good the answers are on both parts, layers with weights, the narrowest hidden one.
Cure: more units, or a hidden layer more.
Not a fault when: the inputs say no more about the answers than this.
Source: Goodfellow, Bengio, Courville 2016, "Deep Learning", section 5.2.
"""

from collections.abc import Iterator

from glia.doctor.course import apart, course, peak_rate, usual_rates, weighted_layers
from glia.doctor.finding import Finding, Rule
from glia.doctor.learning import skill
from glia.vitals.chart import Chart

RULE = Rule("GL402", "underfitting", "too_few_units")
POOR, CLOSE, FLAT, WIDER = 0.6, 0.1, 0.02, 4


def check(chart: Chart) -> Iterator[Finding]:
    train, valid, run, rates = skill(chart, "train"), skill(chart), course(chart), usual_rates(chart)
    if train is None or valid is None or run is None or rates is None:
        return
    sound = rates[0] <= peak_rate(chart) <= rates[2]
    if max(train, valid) > POOR or apart(chart) > CLOSE or not sound or abs(run.fall) > max(FLAT, 3 * run.error):
        return
    layers = len(weighted_layers(chart))
    widths = [op.outputs for model in chart.models[:1] for op in model.operations if op.weighted and op.outputs][:-1]
    deep = layers > 1
    yield RULE.finding(
        "warning",
        "both parts",
        {"train_skill": train, "valid_skill": valid, "layers_with_weights": layers}
        | ({"narrowest_hidden": min(widths)} if widths else {}),
        "the network has too few units or layers for what it must compute",
        "make the hidden layers four times as wide" if deep else "add a hidden layer with ReLU",
        safe=True,
        cause=None if deep else "too_few_layers",
        change={"units": WIDER * max(widths)} if deep and widths else {},
        prior=0.3,
    )
