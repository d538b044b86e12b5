"""gradients-cleared-late (GL222)

Finds: zero_grad() between backward() and step(), and no gradient left when the optimiser steps.
Hurts: every step is made without gradients, so no weight changes.
Evidence: the share of measured steps at which it was so.
Cure: zero_grad() before backward(), or after step().
Not a fault when: the gradients that are cleared are those of another optimiser, and its own are still there.
Source: torch.optim.Optimizer.zero_grad; PyTorch tutorial, "Optimizing model parameters".
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL222", "gradients-cleared-late", "missing_zero_grad_order", explains=("GL206", "GL301", "GL310", "GL311"))
NEARLY_ALL = 0.9


def check(chart: Chart) -> Iterator[Finding]:
    loop = chart.loop
    if loop is None or not loop.cleared_late >= NEARLY_ALL:
        return
    left = sum(step.grad_norm > 0 for step in chart.steps)  # other gradients than those that were cleared
    if left > (1 - NEARLY_ALL) * len(chart.steps):
        return
    yield RULE.finding(
        "error",
        "the training loop",
        {"share_of_steps": loop.cleared_late, "steps": loop.steps},
        "zero_grad() is called between backward() and step(), so the optimiser finds no gradients",
        "call zero_grad() before backward(), not after it",
        safe=True,
        change={"zero_grad": True},
        prior=1.0,
        sure=True,
    )
