"""dropout-too-high (GL215)

Finds: a dropout that drops more than 60 % of its units.
Hurts: too little is left of a row for the next layer; p is often taken for the share that is kept.
Evidence: p, and the layers that have it.
Cure: p = 0.2 to 0.5.
Not a fault when: the layer is so wide that enough is left: then the run learns.
Source: Srivastava et al. 2014, JMLR 15, 1929, section 7.3 (0.5 for hidden units, 0.2 for inputs); torch.nn.Dropout.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.doctor.reading import place
from glia.vitals.chart import Chart

RULE = Rule("GL215", "dropout-too-high", "dropout_too_high", explains=("GL301", "GL311", "GL402"))
MOST, FAR = 0.6, 0.85


def check(chart: Chart) -> Iterator[Finding]:
    for model in chart.models:
        high = [op for op in model.operations if "dropout" in op.name and op.option > MOST]
        if not high:
            continue
        worst = max(op.option for op in high)
        yield RULE.finding(
            "warning",
            ", ".join(dict.fromkeys(place(chart, op.module, op.name) for op in high[:3])),
            {"dropped": worst, "layers": len(high)},
            f"dropout leaves {1 - worst:.0%} of the units in each pass, too few to learn from",
            "use p=0.2: p is the share that is dropped, not the share that is kept",
            safe=False,
            change={"dropout": 0.2},
            prior=0.8 if worst >= FAR else 0.7,
        )
