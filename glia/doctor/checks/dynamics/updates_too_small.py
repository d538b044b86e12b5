"""updates-too-small (GL310)

Finds: updates of less than a hundred-thousandth of the weights in every layer, although gradients reach them.
Hurts: at this pace the weights are where they were drawn when training ends.
Evidence: norm of the change over norm of the weights in the layer that moves most, median of the measured steps.
Cure: a learning rate ten times larger; an optimiser's eps and betas at their defaults.
Not a fault when: the run learns (a network that is tuned further moves little); the gradient itself has vanished.
Source: Bottou 2012, "Stochastic gradient descent tricks": about a thousandth of the weights a step is usual.
"""

import math
from collections.abc import Iterator
from math import isfinite

from glia.doctor.checks.dynamics.option_out_of_range import strange_options
from glia.doctor.course import peak_rate, typical, usual_rates, weighted_layers
from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL310", "updates-too-small", "lr_too_low", explains=("GL301", "GL311"))
SMALL, TINY, FAINT, FEWEST = 1e-4, 1e-5, 1e-4, 8


def check(chart: Chart) -> Iterator[Finding]:
    moves, pulls = [], []
    for layers in weighted_layers(chart).values():
        if len(layers) >= FEWEST:
            moves.append(typical(layers, lambda layer: layer.update_ratio))
            pulls.append(
                typical(layers, lambda layer: layer.grad_norm / layer.weight_norm if layer.weight_norm else math.nan)
            )
    most = max(filter(isfinite, moves), default=float("nan"))
    pull = max(filter(isfinite, pulls), default=0.0)
    if not most < SMALL or pull < FAINT:
        return
    lr, rates, options = peak_rate(chart), usual_rates(chart), strange_options(chart)
    slow = rates is not None and lr < rates[1]
    if most >= TINY and not (slow or options):
        return
    yield RULE.finding(
        "warning",
        f"all layers, over {len(chart.steps)} steps",
        {"change_over_weights_at_most": most, "gradient_over_weights": pull, "lr": lr} | options,
        "the steps are so short that the weights stay where they were drawn",
        "leave the options of the optimiser at their defaults" if options else "raise the learning rate tenfold",
        safe=False,
        cause="wrong_optimizer_eps" if options else None,
        change={"optimizer": "Adam", "lr": 1e-3} if options else {"lr": lr * 10} if lr > 0 else {},
        prior=0.6,
    )
