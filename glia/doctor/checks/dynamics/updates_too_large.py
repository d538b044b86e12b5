"""updates-too-large (GL309)

Finds: updates of a third of the weights and more, step after step, in most layers.
Hurts: a few such steps replace all that the weights had learned.
Evidence: norm of the change over norm of the weights, median of the later measured steps and of the layers.
Cure: a learning rate of a tenth.
Not a fault when: the weights are young (they start small, and grow in the first steps), or the run learns.
Source: Bottou 2012, "Stochastic gradient descent tricks": about a thousandth of the weights a step is usual.
"""

from collections.abc import Iterator
from math import isfinite
from statistics import median

from glia.doctor.course import peak_rate, typical, weighted_layers
from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL309", "updates-too-large", "lr_too_high", explains=("GL301",))
LARGE, HUGE, FEWEST = 0.3, 1.0, 8


def check(chart: Chart) -> Iterator[Finding]:
    ratios = {
        place: typical(layers[len(layers) // 2 :], lambda layer: layer.update_ratio)
        for place, layers in weighted_layers(chart).items()
        if len(layers) >= FEWEST
    }
    known = {place: ratio for place, ratio in ratios.items() if isfinite(ratio)}
    if not known or median(known.values()) < LARGE:
        return
    lr, worst = peak_rate(chart), max(known, key=lambda place: known[place])
    yield RULE.finding(
        "warning",
        worst,
        {"change_over_weights": known[worst], "median_of_layers": median(known.values()), "lr": lr},
        "each step changes the weights by about as much as there is of them",
        "lower the learning rate to a tenth",
        safe=False,
        change={"lr": lr / 10} if lr > 0 else {},
        prior=0.7 if median(known.values()) >= HUGE else 0.5,
    )
