"""exploding-gradient (GL305)

Finds: gradients that grow by far while the loss does not fall, or that are many times the weights.
Hurts: one such update undoes all that was learned.
Evidence: typical gradient norm in the first and in the last measured steps; the layer where it is largest.
Cure: clip gradients by norm, lower the learning rate, normalise between the layers.
Not a fault when: the run learns (recurrent networks have rare high gradients, and clipping may be at work already).
Source: Pascanu, Mikolov, Bengio 2013, arXiv 1211.5063.
"""

from collections.abc import Iterator
from math import isfinite
from statistics import median

from glia.doctor.checks.dynamics.vanishing_gradient import relative_gradients
from glia.doctor.course import large_inputs, peak_rate, recurrent
from glia.doctor.finding import Finding, Rule
from glia.doctor.learning import learning
from glia.vitals.chart import Chart

RULE = Rule("GL305", "exploding-gradient", "lr_too_high", explains=("GL301", "GL306"))
GROWN, HUGE, FEWEST = 100.0, 100.0, 6
WIDE = 30.0  # deviation of numbers to predict


def check(chart: Chart) -> Iterator[Finding]:
    seen = learning(chart)
    norms = [step.grad_norm for step in chart.steps if isfinite(step.grad_norm)]
    if seen is None or len(norms) < FEWEST:
        return
    third = len(norms) // 3
    early, late = median(norms[:third]), median(norms[-third:])
    relative = relative_gradients(chart)
    worst = max(relative, key=lambda path: relative[path], default=None)
    times = relative[worst] if worst is not None else 0.0
    if late <= GROWN * early and times <= HUGE:
        return
    yield RULE.finding(
        "warning",
        worst or "the whole model",
        {"early_grad_norm": early, "late_grad_norm": late, "gradient_over_weight": times, **seen.evidence()},
        "each update makes the next gradients larger: the learning rate, or the scale of the data, is too large",
        "clip gradients by norm 1 and lower the learning rate to a tenth",
        safe=False,
        cause=_cause(chart),
        change=({"lr": peak_rate(chart) / 10} if peak_rate(chart) > 0 else {}) | {"clip_norm": 1.0},
        prior=0.6 if late > GROWN * early else 0.5,
    )


def _cause(chart: Chart) -> str:
    if large_inputs(chart):
        return "data_not_normalised"
    if chart.losses and chart.losses[0].targets.std > WIDE:
        return "target_not_normalised"
    return "missing_clipping" if recurrent(chart) else RULE.cause
