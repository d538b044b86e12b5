"""loss-cut-off (GL211)

Finds: an optimiser that steps without any backward pass, or a detach() between layers that keeps those before it from
    learning.
Hurts: layers before the cut stay as they were drawn.
Evidence: steps and backward passes; the place of the detach().
Cure: no detach(), .data, .item() or numpy between the inputs and the loss.
Not a fault when: the layers before it have gradients by another way (straight-through estimates, targets of their own),
    or are frozen on purpose; gradients are put in by hand.
Source: torch.Tensor.detach; PyTorch's notes, "Autograd mechanics".
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.doctor.reading import detached, place
from glia.vitals.chart import Chart

RULE = Rule("GL211", "loss-cut-off", "detached_graph", explains=("GL301", "GL304", "GL310", "GL311"))
CURE = "take detach(), .data, .item() and numpy out of the way from the inputs to the loss"


def check(chart: Chart) -> Iterator[Finding]:
    loop = chart.loop
    given = any(p.graded for model in chart.models if model.measured for p in model.parameters)
    if loop is not None and loop.detached and loop.steps and not chart.backwards and not given:
        yield RULE.finding(
            "error", "the loss", {"steps": loop.steps, "backward_passes": 0},
            "the optimiser steps and no loss was ever differentiated, so no weight changes", CURE,
            safe=True, change={"attach": True}, prior=1.0, sure=True,
        )  # fmt: skip
        return
    for model in chart.models:
        cut = detached(model)
        if cut is not None:
            yield RULE.finding(
                "error", f"detach in {place(chart, cut.module)}", {"measured_steps": model.measured},
                "the layers before the detach() get no gradient and stay as they were drawn", CURE,
                safe=False, change={"attach": True}, prior=0.8,
            )  # fmt: skip
