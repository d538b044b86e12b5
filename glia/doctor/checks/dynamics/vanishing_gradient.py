"""vanishing-gradient (GL304)

Finds: gradients that shrink by far from the last layers to the first, in a deep network that does not learn.
Hurts: the first layers stay as they were drawn, and the rest learns from noise.
Evidence: gradient norm over weight norm in the first and in the strongest layer, median of the measured steps.
Cure: ReLU and its kin for sigmoid or tanh, He's or Glorot's initialisation, normalisation, skip connections.
Not a fault when: the run learns; there are fewer than three layers with weights.
Source: Glorot, Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", section 4.
"""

from collections.abc import Iterator
from math import isfinite
from statistics import median

from glia.doctor.course import kinds, recurrent
from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL304", "vanishing-gradient", "vanishing_gradient_architecture", explains=("GL301", "GL310", "GL311"))
FAINT, FAINT_SATURATED, FEWEST_LAYERS = 1e-3, 1e-2, 3
SATURATING = ("Sigmoid", "Tanh", "Softsign", "Hardsigmoid", "Hardtanh")


def check(chart: Chart) -> Iterator[Finding]:
    relative = relative_gradients(chart)
    if len(relative) < FEWEST_LAYERS:
        return
    saturates = _saturates(chart)
    (first, faint), strongest = next(iter(relative.items())), max(relative, key=lambda path: relative[path])
    if faint >= (FAINT_SATURATED if saturates else FAINT) * relative[strongest]:
        return
    yield RULE.finding(
        "warning",
        first,
        {"gradient_over_weight": faint, f"the_same_in_{strongest}": relative[strongest], "layers": len(relative)},
        "each layer passes on only a part of the gradient: saturated activations, or weights that start too small",
        "use ReLU with He's initialisation in the hidden layers, or a norm after each of them",
        safe=False,
        cause="wrong_hidden_activation" if saturates else None,
        change={"hidden_activation": "relu"} if saturates else {"init": "he"},
        prior=0.8 if saturates else 0.6,
    )


def _saturates(chart: Chart) -> bool:
    """Is there an activation with two flat ends in the way? Gates of a recurrent layer do not count."""
    operations = {operation.name for model in chart.models for operation in model.operations}
    named = any(kind in SATURATING for kind in kinds(chart)) or any(
        layer.kind in SATURATING for layer in chart.layers[:256]
    )
    return (named or bool(operations & {"sigmoid", "tanh"})) and not recurrent(chart)


def relative_gradients(chart: Chart) -> dict[str, float]:
    """Layer -> gradient norm / weight norm, median of the measured steps, from the inputs to the outputs."""
    found: dict[str, list[float]] = {}
    for layer in chart.layers:
        known = layer.weight_norm > 0 and isfinite(layer.grad_norm) and isfinite(layer.weight_norm)
        if layer.leaf and layer.weighted and known:
            found.setdefault(layer.place, []).append(layer.grad_norm / layer.weight_norm)
    return {path: median(values) for path, values in found.items()}
