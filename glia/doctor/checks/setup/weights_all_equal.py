"""weights-all-equal (GL205)

Finds: a hidden layer all of whose first weights are the same number.
Hurts: its units compute the same and get the same gradient, so they stay alike: the layer is one unit wide. From
    zeros no gradient passes at all.
Evidence: the number, the units of the layer.
Cure: the default initialisation, which draws each weight by chance.
Not a fault when: it is the last layer, or the last one of a residual branch that begins at 0 (then the run learns).
Source: Goodfellow, Bengio, Courville 2016, section 8.4 (breaking symmetry); Zhang, Dauphin, Ma 2019, arXiv 1901.09321.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.doctor.reading import hidden_layers, place
from glia.vitals.chart import Chart, OperationFacts

RULE = Rule("GL205", "weights-all-equal", "wrong_init", explains=("GL208", "GL301", "GL303", "GL304", "GL311"))
SAME = 1e-8


def check(chart: Chart) -> Iterator[Finding]:
    for model in chart.models:
        hidden = [op for op in hidden_layers(model) if op.outputs > 1]
        equal = [op for op in hidden if _equal(op)]
        if not equal:
            continue
        # Zeros in some of the layers only: so a residual branch begins where it is meant to change nothing at first.
        branches = all(op.mean == 0 for op in equal) and len(equal) < len(hidden)
        yield RULE.finding(
            "error",
            ", ".join(place(chart, op.module, op.name) for op in equal[:3]),
            {"each_weight": equal[0].mean, "units": equal[0].outputs, "layers": len(equal)},
            "all weights of the layer begin as the same number, so all its units learn the same",
            "leave the layers their default initialisation",
            safe=True,
            change={"init": "default"},
            prior=0.6 if branches else 1.0,
        )


def _equal(op: OperationFacts) -> bool:
    return op.std <= SAME * abs(op.mean)
