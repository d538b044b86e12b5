"""saturated-activation (GL308)

Finds: a hidden sigmoid or tanh whose outputs lie at their ends for most units and rows.
Hurts: at its ends such an activation is flat, so hardly any gradient passes.
Evidence: the share of the way from the middle (0) to the ends (1), as a mean square, at the last measured steps.
Cure: ReLU in the hidden layers, standardised inputs, smaller first weights.
Not a fault when: the run learns (a gate may well be open or shut); it is the output of the network.
Source: Glorot, Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", section 3.
"""

from collections.abc import Iterator
from statistics import median

from glia.doctor.course import large_inputs
from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart, LayerVitals, Spread

RULE = Rule("GL308", "saturated-activation", "wrong_hidden_activation", explains=("GL301", "GL304", "GL310", "GL311"))
ENDS = {"Sigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
MOST, FEWEST_ROWS, LAST = 0.9, 4, 5


def check(chart: Chart) -> Iterator[Finding]:
    found = {path: median(values[-LAST:]) for path, values in _outwardness(chart).items()}
    full = {path: value for path, value in found.items() if value >= MOST}
    if not full:
        return
    large = large_inputs(chart)
    yield RULE.finding(
        "warning",
        ", ".join(list(full)[:3]),
        {"mean_square_outwardness": max(full.values()), "layers": len(full), "of_such_layers": len(found)},
        "the numbers that the activation is given are so large that it is flat there",
        "standardise the inputs" if large else "use ReLU in the hidden layers",
        safe=False,
        cause="data_not_normalised" if large else None,
        change={"normalise_inputs": "standardize"} if large else {"hidden_activation": "relu"},
        prior=0.7,
    )


def _outwardness(chart: Chart) -> dict[str, list[float]]:
    """By hidden layer, at each measured step: how far out its outputs lie. A plain function shows as the next input."""
    through = _functions(chart)
    found: dict[str, list[float]] = {}
    waiting: list[tuple[str, float]] = []  # not hidden until something with weights comes after
    step = -1
    for layer in chart.layers:
        if layer.step != step:
            waiting, step = [], layer.step
        if layer.kind in ENDS and layer.output.rows >= FEWEST_ROWS:
            waiting.append((layer.place, outwardness(layer.output, *ENDS[layer.kind])))
        elif layer.weighted and layer.leaf:
            for place, value in waiting + _seen_at_input(layer, through):
                found.setdefault(place, []).append(value)
            waiting = []
    return found


def _seen_at_input(layer: LayerVitals, through: dict[str, str]) -> list[tuple[str, float]]:
    name = through.get(layer.module)
    if name is None or layer.input.rows < FEWEST_ROWS:
        return []
    return [(f"input of {layer.place}", outwardness(layer.input, *ENDS[name]))]


def _functions(chart: Chart) -> dict[str, str]:
    """Path of a layer with weights -> "sigmoid" or "tanh", where that was called as a function just before it."""
    modules = {layer.module for layer in chart.layers if layer.kind in ENDS}
    found: dict[str, str] = {}
    for model in chart.models:
        for before, after in zip(model.operations, model.operations[1:]):
            if before.name in ENDS and before.module not in modules and after.weighted:
                found[after.module] = before.name
    return found


def outwardness(spread: Spread, low: float, high: float) -> float:
    """Mean square of outputs once their middle is moved to 0 and their ends to -1 and 1."""
    middle, half = (low + high) / 2, (high - low) / 2
    return ((spread.mean - middle) ** 2 + spread.std**2) / half**2
