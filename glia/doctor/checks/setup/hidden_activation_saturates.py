"""hidden-activation-saturates (GL219)

Finds: sigmoids behind several hidden layers, tanh behind many, or a softmax or a step between linear layers.
Hurts: the slope of a sigmoid is 1/4 at most, so each one takes three quarters of the gradient or more; a step has none.
Evidence: how many hidden layers have it.
Cure: ReLU.
Not a fault when: it is a gate or an attention (its output weighs another layer's numbers and is not itself what the
    next layer is given); the network is shallow and learns.
Source: Glorot, Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks".
"""

from collections.abc import Iterator, Sequence

from glia.doctor.finding import Finding, Rule
from glia.doctor.reading import gradient_fades, place, vitals
from glia.vitals.chart import Chart, LayerVitals, ModelFacts, OperationFacts
from glia.vitals.operations import DROPOUTS, NORMS

EXPLAINS = ("GL301", "GL304", "GL308", "GL310", "GL311")
RULE = Rule("GL219", "hidden-activation-saturates", "wrong_hidden_activation", explains=EXPLAINS)
SEVERAL, MANY, MANY_TANH = 3, 5, 8
FLAT = ("softmax", "sign", "round", "threshold")
ROUNDING = 1e-3
Used = tuple[OperationFacts, OperationFacts]  # an activation, and the layer that is given it


def check(chart: Chart) -> Iterator[Finding]:
    for model in chart.models:
        used = list(_hidden(chart, model))
        flat = [pair for pair in used if pair[0].name in FLAT]
        sigmoids = [pair for pair in used if pair[0].name in ("sigmoid", "hardsigmoid")]
        tanhs = [pair for pair in used if pair[0].name == "tanh"]
        if flat:
            yield _finding(chart, flat, 0.8)
        elif sigmoids:
            fades = gradient_fades(chart) and len(sigmoids) >= SEVERAL
            yield _finding(chart, sigmoids, 0.85 if fades else _by_depth(len(sigmoids)))
        elif len(tanhs) >= MANY_TANH:
            yield _finding(chart, tanhs, 0.5)


def _by_depth(count: int) -> float:
    return 0.85 if count >= MANY else 0.6 if count >= SEVERAL else 0.35


def _hidden(chart: Chart, model: ModelFacts) -> Iterator[Used]:
    """Activations whose output is what a later layer is given; once for each layer, however often it is called."""
    operations, seen = model.operations, set()
    for at, op in enumerate(operations):
        if op.weighted or op.name not in (*FLAT, "sigmoid", "hardsigmoid", "tanh"):
            continue
        following = next((i for i in range(at + 1, len(operations)) if operations[i].weighted), None)
        if following is None or not any(each.weighted for each in operations[:at]):
            continue
        layer = operations[following]
        given = vitals(chart, layer.module)
        key = layer.module if given is not None else str(following)
        if key not in seen and _is_given(op, layer, given, operations[: following + 1], at):
            seen.add(key)
            yield op, layer


def _is_given(
    op: OperationFacts, layer: OperationFacts, given: LayerVitals | None, before: Sequence[OperationFacts], at: int
) -> bool:
    """Does the numbers' range say that the layer is given the activation's output? A norm between hides it."""
    between = [each.name for each in before[at + 1 : -1]]
    if any(name not in NORMS and name not in DROPOUTS for name in between):
        return False
    if given is None or any(name in NORMS for name in between):
        return op.name not in FLAT or (op.name != "softmax" or not _side_by_side(before[:at]))
    x = given.input
    high = float("inf") if between else 1 + ROUNDING  # what dropout leaves, it makes larger
    if op.name == "softmax":
        return layer.inputs > 1 and 0 <= x.low and x.high <= high and abs(x.mean * layer.inputs - 1) < 0.05
    if op.name in ("sigmoid", "hardsigmoid"):
        return x.low >= -ROUNDING and x.high <= high
    return op.name != "tanh" or (x.low >= -high and x.high <= high)


def _side_by_side(before: Sequence[OperationFacts]) -> bool:
    """Three like layers in a row and then a softmax: queries, keys and values."""
    three = [op for op in before if op.name not in NORMS and op.name not in DROPOUTS][-3:]
    widths = {(op.inputs, op.outputs) for op in three}
    return len(three) == 3 and all(op.weighted for op in three) and len(widths) == 1


def _finding(chart: Chart, used: list[Used], prior: float) -> Finding:
    name = used[0][0].name
    return RULE.finding(
        "warning",
        ", ".join(f"{name} before {place(chart, layer.module, layer.name)}" for _, layer in used[:3]),
        {"hidden_layers_with_it": len(used)},
        f"{name} behind hidden layers lets little gradient through",
        "use ReLU between the layers",
        safe=False,
        change={"hidden_activation": "relu"},
        prior=prior,
    )
