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

from glia.doctor.learning import learning
from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart, LayerVitals

RULE = Rule("GL303", "dead-relu")
MOST, FEWEST_ROWS, LAST = 0.8, 8, 5


def check(chart: Chart) -> Iterator[Finding]:
    seen = learning(chart)
    if seen is None or not seen.failed:
        return
    shares = {path: median(values[-LAST:]) for path, values in _dead_shares(chart).items()}
    dead = [(path, share) for path, share in shares.items() if share >= MOST]
    if dead:
        yield RULE.finding(
            "error" if dead[0][1] == 1 else "warning",
            ", ".join(path for path, _ in dead[:3]),
            {"share_of_dead_units": dead[0][1], "layers": len(dead), **seen.evidence()},
            "large updates or unscaled inputs pushed the units below 0 for every row",
            "lower the learning rate to a tenth and use LeakyReLU; standardise the inputs",
            safe=False,
        )


def _dead_shares(chart: Chart) -> dict[str, list[float]]:
    """By layer, at each measured step: of what an activation gave, and of what hidden weights were given (an
    activation that is a plain function is seen only there).
    """
    found: dict[str, list[float]] = {}
    start: dict[int, LayerVitals] = {}
    for layer in chart.layers:
        if "ReLU" in layer.kind and layer.output.rows >= FEWEST_ROWS:
            found.setdefault(layer.place, []).append(layer.output.dead)
        elif layer.weighted and layer.leaf:
            first = start.setdefault(layer.step, layer)
            if layer is not first and layer.input.rows >= FEWEST_ROWS:
                found.setdefault(f"input of {layer.place}", []).append(layer.input.dead)
    return found
