"""shapes-stretched (GL212)

Finds: outputs and targets of different shapes that a loss stretched to fit each other, as (N, 1) and (N,) to (N, N).
Hurts: every output is compared with every target, so the best answer is the mean of all targets, for every row.
Evidence: both shapes.
Cure: one shape for both.
Not a fault when: each row has one target for several outputs: nothing is stretched over the rows then.
Source: PyTorch's notes, "Broadcasting semantics"; the warning of torch.nn.functional.mse_loss.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.doctor.reading import loss_place
from glia.vitals.chart import Chart

RULE = Rule("GL212", "shapes-stretched", "shape_broadcast", explains=("GL301", "GL311", "GL402"))


def check(chart: Chart) -> Iterator[Finding]:
    for loss in chart.losses:
        if loss.broadcast is None:
            continue
        output, target = loss.broadcast
        column = len(output) > len(target)
        yield RULE.finding(
            "error",
            loss_place(loss),
            {"shape_of_outputs": str(tuple(output)), "shape_of_targets": str(tuple(target))},
            "the shapes differ and are stretched, so every output is compared with every target",
            "give the targets the shape of the outputs: " + ("y.unsqueeze(1)" if column else "y.reshape(-1)"),
            safe=True,
            change={"target": "column" if column else "flat"},
            prior=1.0,
            sure=True,
        )
