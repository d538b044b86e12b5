"""beaten-by-a-plain-network (GL407)

Finds: held-out rows that two hidden layers of 64 ReLU units answer far better than the script's network, though no
    change of its settings helped.
Hurts: the network cannot hold what the rows say, or its depth keeps the gradient from it.
Evidence: skill on held-out rows of both; layers and the narrowest of them.
Cure: a hidden layer where there is none; more units; fewer layers, or norms and skip connections between them.
Not a fault when: the script's network does well: then nothing is compared.
Source: Goodfellow, Bengio, Courville 2016, "Deep Learning", section 11.2 (default baseline models).
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL407", "beaten-by-a-plain-network", "too_few_layers", explains=("GL301", "GL311", "GL402"))
NARROW, DEEP = 4, 7


def check(chart: Chart) -> Iterator[Finding]:
    """A chart alone does not show it; the judge's plain network does."""
    return iter(())


def finding(chart: Chart, own: float, plain: float) -> Finding:
    """What the comparison says, and where it lies by the shape of the network."""
    operations = chart.models[0].operations if chart.models else ()
    layers = [o for o in operations if o.weighted and "embedding" not in o.name]
    hidden = [o.outputs for o in layers[:-1] if o.outputs]
    narrowest = min(hidden, default=0)
    cause, cure = "too_few_layers", "add a hidden layer with an activation"
    if len(layers) >= DEEP:
        cause, cure = "too_many_layers", "take layers out, or put norms and skip connections between them"
    elif hidden and narrowest <= NARROW:
        cause, cure = "too_few_units", f"widen the layer of {narrowest} units"
    elif len(layers) > 1:
        cause, cure = "wrong_preprocessing", "see whether what the first layer is given still says what the rows say"
    return RULE.finding(
        "warning",
        chart.models[0].kind if chart.models else "the model",
        {"skill": own, "skill_of_plain_network": plain, "layers": len(layers), "narrowest": narrowest},
        "a plain network of two hidden layers answers the same held-out rows far better",
        cure,
        safe=False,
        cause=cause,
        prior=0.6,
    )
