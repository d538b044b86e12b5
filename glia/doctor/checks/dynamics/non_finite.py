"""non-finite (GL302)

Finds: a loss that became NaN or infinite and stayed so.
Hurts: all weights that it reaches are lost.
Evidence: the step, the last finite loss, the largest gradient norm before; the first layer that gave such numbers.
Cure: a lower learning rate, gradients clipped by norm, or a loss from logits instead of log of a probability.
Not a fault when: a scaler for half precision skips the odd step, and the loss is finite again after it.
Source: Pascanu, Mikolov, Bengio 2013, arXiv 1211.5063, section 3.2 (clipping by norm).
"""

import math
from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart, StepVitals

RULE = Rule("GL302", "non-finite")


def check(chart: Chart) -> Iterator[Finding]:
    steps = [step for step in chart.steps if step.backwards]
    if not steps or math.isfinite(steps[-1].loss):
        return
    finite = [step for step in steps if math.isfinite(step.loss)]
    broken = next(
        step for step in steps if not math.isfinite(step.loss) and (not finite or step.step > finite[-1].step)
    )
    layer = next((one for one in chart.layers if one.output.nonfinite and one.step <= broken.step), None)
    where = f"step {broken.step}" + (f", first in {layer.place}" if layer else "")
    yield RULE.finding(
        "error",
        where,
        {"step": broken.step, **_before(finite)},
        "the updates are too large for this loss, or the loss takes the logarithm of a 0",
        "lower the learning rate to a tenth, clip gradients by norm 1, use the loss that takes logits",
        safe=False,
    )


def _before(finite: list[StepVitals]) -> dict[str, float]:
    """The last finite loss, its rate, and the largest gradient on the way."""
    if not finite:
        return {}
    norms = [step.grad_norm for step in finite if math.isfinite(step.grad_norm)]
    largest = max(norms, default=math.nan)
    return {
        "first_loss": finite[0].loss,
        "last_finite_loss": finite[-1].loss,
        "largest_grad_norm": largest,
        "lr": finite[-1].lr,
    }
