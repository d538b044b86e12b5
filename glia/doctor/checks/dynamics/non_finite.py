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
from typing import Any

from glia.doctor.course import peak_rate, recurrent, usual_rates
from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart, StepVitals

RULE = Rule("GL302", "non-finite", "lr_too_high", explains=("GL301", "GL304", "GL305", "GL306", "GL307"))
FRAGILE = ("log", "log2", "log10", "log1p", "exp", "sqrt", "div", "pow", "acos", "asin", "reciprocal", "rsqrt")
LOGS = ("Log", "Log2", "Log10", "Log1p", "Exp", "Div")


def check(chart: Chart) -> Iterator[Finding]:
    steps = [step for step in chart.steps if step.backwards]
    if not steps or math.isfinite(steps[-1].loss):
        return
    finite = [step for step in steps if math.isfinite(step.loss)]
    broken = next(
        step for step in steps if not math.isfinite(step.loss) and (not finite or step.step > finite[-1].step)
    )
    layer = next((one for one in chart.layers if one.output.nonfinite and one.step <= broken.step), None)
    where = f"step {broken.step}" + (f", first in {layer.place}" if layer else _birthplace(chart))
    cause, prior = _cause(chart, finite)
    why, cure, change = _CURES[cause]
    if cause == "lr_too_high" and peak_rate(chart) > 0:
        change = {"lr": peak_rate(chart) / 10, **change}
    yield RULE.finding(
        "error", where, {"step": broken.step, **_before(finite)}, why, cure,
        safe=False, cause=cause, change=change, prior=prior, sure=True,
    )  # fmt: skip


def _birthplace(chart: Chart) -> str:
    if chart.birth is None:
        return ""
    return f", first in {chart.birth.operation}" + (f" of {chart.birth.module}" if chart.birth.module else "")


def _cause(chart: Chart, finite: list[StepVitals]) -> tuple[str, float]:
    """What made it, and how sure that is."""
    born = chart.birth.operation if chart.birth else ""
    given = any(batch.inputs.nonfinite for batch in chart.batches[:1])
    if born == "the inputs" or (not born and (given or any(rows.inputs.nonfinite for rows in chart.rows))):
        return "nan_in_data", 0.9
    rates = usual_rates(chart)
    fair = rates is not None and peak_rate(chart) <= rates[1]
    operations = [name for loss in chart.losses for name in (*loss.path, *loss.before)]
    grown = len(finite) > 1 and finite[-1].loss > 3 * abs(finite[0].loss)
    unstable = any(loss.unstable or loss.kind == "log" for loss in chart.losses)
    unstable = unstable or any(name in LOGS for name in operations)
    if born in FRAGILE or (unstable and not grown and born in ("", "the loss")):
        return "unstable_loss_impl", 0.8 if born else 0.7
    if fair and recurrent(chart):
        return "missing_clipping", 0.6
    return "lr_too_high", 0.5 if fair else 0.7


_CURES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "lr_too_high": (
        "the updates are too large for this loss: each makes the next one larger",
        "lower the learning rate to a tenth and clip gradients by norm 1",
        {"clip_norm": 1.0},
    ),
    "missing_clipping": (
        "a recurrent network meets rare huge gradients, and one such update ends the run",
        "clip gradients by norm 1",
        {"clip_norm": 1.0},
    ),
    "unstable_loss_impl": (
        "the loss takes a logarithm, an exponential or a quotient that becomes infinite",
        "use the loss that takes logits (cross-entropy) instead of one that is written out",
        {},
    ),
    "nan_in_data": (
        "numbers that are missing or infinite came in with the data",
        "fill what is missing, and look for infinite numbers",
        {"impute": "mean"},
    ),
}


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
