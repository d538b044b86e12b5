"""oscillating (GL307)

Finds: a loss that jumps from step to step, is on average above the loss of knowing nothing, and does not get lower.
Hurts: the updates throw the weights from one side of the valley to the other.
Evidence: mean loss of the second half, the loss of knowing nothing, the typical jump over the typical loss.
Cure: a learning rate of a tenth, less momentum; less dropout where most units are dropped.
Not a fault when: small batches make the loss noisy while it falls; the gradient is 0 and only the batches differ.
Source: LeCun, Bottou, Orr, Müller 1998, "Efficient BackProp", section 5.
"""

from collections.abc import Iterator
from math import isfinite
from statistics import fmean, median

from glia.doctor.course import course, peak_rate
from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL307", "oscillating", "lr_too_high", explains=("GL301", "GL308", "GL309", "GL311"))
# The loss of a constant answer is the reference on average however small the batches are: only updates lift it above.
ABOVE, JUMP, FALLEN, MOST_UNITS = 1.5, 0.3, 0.3, 0.6


def check(chart: Chart) -> Iterator[Finding]:
    run = course(chart)
    norms = [step.grad_norm for step in chart.steps if isfinite(step.grad_norm)]
    if run is None or (norms and not median(norms) > 0):
        return
    late = fmean(run.late)
    steady = run.jump < JUMP or run.parts[-1] < FALLEN * run.parts[0]
    if late <= ABOVE * run.reference or steady:
        return
    lr, dropped = peak_rate(chart), _dropped(chart)
    noisy = dropped > MOST_UNITS
    yield RULE.finding(
        "warning",
        f"the training loss over {len(run.losses)} steps",
        {"mean_of_the_second_half": late, "jump_over_loss": run.jump, "lr": lr, "dropout": dropped or float("nan")}
        | run.evidence(),
        "so many units are dropped that each step sees another network"
        if noisy
        else "each update overshoots the valley, so the loss never settles",
        "drop a fifth of the units" if noisy else "lower the learning rate to a tenth",
        safe=False,
        cause="dropout_too_high" if noisy else None,
        change={"dropout": 0.2} if noisy else {"lr": lr / 10} if lr > 0 else {},
        prior=0.65,
    )


def _dropped(chart: Chart) -> float:
    """The highest share that a dropout drops; 0 without any."""
    shares = [op.option for model in chart.models for op in model.operations if "dropout" in op.name]
    return max(filter(isfinite, shares), default=0.0)
