"""weights-off-scale (GL208)

Finds: first weights far larger or smaller than keeps numbers and gradients of about one size from layer to layer;
    biases far from 0.
Hurts: what passes grows or shrinks with each layer, so activations saturate or nothing arrives.
Evidence: standard deviation times the root of the inputs of a unit (torch's default 0.58, Xavier 1, He 1.41).
Cure: the default initialisation.
Not a fault when: the run learns; it is an embedding, or a last layer with small weights.
Source: Glorot, Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks"; He et al.
    2015, arXiv 1502.01852.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.doctor.reading import NOT_LAYERS, layers, place
from glia.vitals.chart import Chart, OperationFacts

EXPLAINS = ("GL204", "GL301", "GL303", "GL304", "GL305", "GL308", "GL311")
RULE = Rule("GL208", "weights-off-scale", "wrong_init", explains=EXPLAINS)
LARGE, HUGE, SMALL, BIAS = 4.0, 12.0, 0.12, 0.3
RECURRENT = ("lstm", "gru", "rnn")  # their forget biases are set on purpose


def check(chart: Chart) -> Iterator[Finding]:
    for model in chart.models:
        known = [op for op in layers(model) if op.name not in NOT_LAYERS]
        last = layers(model)[-1] if known else None
        large = [op for op in known if _scale(op) > LARGE]
        small = [op for op in known if op is not last and op.std > 0 and _scale(op) < SMALL]
        biased = [op for op in known if op is not last and op.name not in RECURRENT and abs(op.bias) > BIAS]
        if large:
            most = max(map(_scale, large))
            prior = min(0.85, 0.55 + 0.3 * (most - LARGE) / (HUGE - LARGE))
            yield _finding(chart, large, most, "far larger", prior)
        elif small:
            yield _finding(chart, small, min(map(_scale, small)), "far smaller", 0.6)
        elif biased:
            yield _finding(chart, biased, _scale(biased[0]), "with biases farther from 0", 0.6)


def _scale(op: OperationFacts) -> float:
    """1 keeps the size of what passes, about."""
    return float(op.std * op.fan_in**0.5)


def _finding(chart: Chart, off: list[OperationFacts], scale: float, how: str, prior: float) -> Finding:
    return RULE.finding(
        "warning",
        ", ".join(place(chart, op.module, op.name) for op in off[:3]),
        {"deviation_times_root_of_inputs": scale, "mean_bias": off[0].bias, "layers": len(off)},
        f"the first weights are {how} than keeps numbers of one size from layer to layer",
        "leave the layers their default initialisation",
        safe=True,
        change={"init": "default"},
        prior=prior,
    )
