"""dead-relu (GL303)

Finds: a hidden layer most of whose units are 0 for every row, in a run that does not learn.
Hurts: a unit that is always 0 has no gradient and never comes back.
Evidence: the share of such units at the last measured steps.
Cure: a lower learning rate, a leaky activation, He's initialisation, standardised inputs.
Not a fault when: the zeros change from row to row (70 % zeros after a ReLU in a CNN are usual), or the run learns.
Source: Maas, Hannun, Ng 2013, "Rectifier nonlinearities improve neural network acoustic models"; Lu et al. 2019,
    arXiv 1903.06733.
"""

from collections.abc import Iterator
from statistics import median
from typing import Any

from glia.doctor.course import large_inputs, peak_rate
from glia.doctor.finding import Finding, Rule
from glia.doctor.learning import learned
from glia.vitals.chart import Chart, LayerVitals

RULE = Rule("GL303", "dead-relu", "lr_too_high", explains=("GL301", "GL304", "GL311"))
MOST, FEWEST_ROWS, LAST = 0.8, 8, 5


def check(chart: Chart) -> Iterator[Finding]:
    shares = _dead_shares(chart)
    dead = {path: median(values[-LAST:]) for path, values in shares.items() if median(values[-LAST:]) >= MOST}
    if not dead:
        return
    worst = max(dead, key=lambda path: dead[path])
    born, died = shares[worst][0] >= MOST, dead[worst]
    change: dict[str, Any]
    if large_inputs(chart):
        cause, cure, change = "data_not_normalised", "standardise the inputs", {"normalise_inputs": "standardize"}
    elif born:
        cause, cure, change = "wrong_init", "draw the first weights as He did, with biases of 0", {"init": "he"}
    else:
        cause, cure = "lr_too_high", "lower the learning rate to a tenth, or use LeakyReLU"
        change = {"lr": peak_rate(chart) / 10} if peak_rate(chart) > 0 else {"hidden_activation": "leaky_relu"}
    yield RULE.finding(
        "error" if died == 1 else "warning",
        ", ".join(list(dead)[:3]),
        {"share_of_dead_units": died, "share_at_first": shares[worst][0], "layers": len(dead)},
        "the units are below 0 for every row, so no gradient passes them",
        cure,
        safe=False,
        cause=cause,
        change=change,
        prior=0.7 if died == 1 else 0.6,
        sure=died == 1 and shares[worst][0] < MOST / 2 and not learned(chart),
    )


def _dead_shares(chart: Chart) -> dict[str, list[float]]:
    """By layer, at each measured step: of what an activation gave, and of what hidden weights were given (an
    activation that is a plain function is seen only there).
    """
    operations = chart.models[0].operations if chart.models else ()
    last = max((i for i, operation in enumerate(operations) if operation.weighted), default=len(operations))
    outputs = {operation.module for operation in operations[last + 1 :]}  # what follows the last layer is GL203's
    found: dict[str, list[float]] = {}
    start: dict[int, LayerVitals] = {}
    for layer in chart.layers:
        if layer.module in outputs or "Embedding" in layer.kind:
            continue
        if "ReLU" in layer.kind and layer.output.rows >= FEWEST_ROWS:
            found.setdefault(layer.place, []).append(layer.output.dead)
        elif layer.weighted and layer.leaf:
            first = start.setdefault(layer.step, layer)
            if layer is not first and layer.input.rows >= FEWEST_ROWS:
                found.setdefault(f"input of {layer.place}", []).append(layer.input.dead)
    return found
