"""nan-in-inputs (GL104)

Finds: NaN or infinities that reach the first weights.
Hurts: one such number makes every weight of the first layer NaN at the first update.
Evidence: their share among the training rows or a batch, and the step at which they were first met.
Cure: fill or drop them before training, or mark them in a column of their own.
Not a fault when: the model replaces them itself before its first weights.
Source: IEEE 754: every sum and product with a NaN is NaN.
"""

import math
from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import BatchFacts, Chart

EXPLAINS = ("GL101", "GL102", "GL204", "GL206", "GL301", "GL302", "GL303", "GL304", "GL305", "GL306", "GL308", "GL311")
RULE = Rule("GL104", "nan-in-inputs", "nan_in_data", explains=EXPLAINS)


def check(chart: Chart) -> Iterator[Finding]:
    parts = {one.part: one for one in chart.rows}
    batch = next((batch for batch in chart.batches if batch.inputs.nonfinite and _reaches(chart, batch)), None)
    rows = parts.get("train")
    share = rows.inputs.nonfinite if rows is not None else 0.0
    if batch is not None or (share and _broken(chart)):
        where = f"the model's inputs at step {batch.step}" if batch is not None else "the training rows"
        step = batch.step if batch is not None else math.nan
        share = share or (batch.inputs.nonfinite if batch is not None else share)
        yield RULE.finding(
            "error",
            where,
            {"share_not_finite": share, "step": step},
            "some inputs are missing or infinite, and nothing before the first weights replaces them",
            "fill them (mean or median of the training rows) or drop those rows before training",
            safe=True,
            change={"impute": "mean"},
            prior=1.0,
            sure=True,
        )
    held_out = parts.get("valid")
    if not share and held_out is not None and held_out.inputs.nonfinite:
        yield RULE.finding(
            "warning",
            "the held-out rows",
            {"share_not_finite": held_out.inputs.nonfinite},
            "some held-out inputs are missing or infinite, while no training input is",
            "fill them as in the training rows",
            safe=True,
            change={"impute": "mean"},
            prior=0.8,
        )


def _reaches(chart: Chart, batch: BatchFacts) -> bool:
    """Are they still there before the first weights? Where no layer was measured, a loss that is not finite says so."""
    leaves = [one for one in chart.layers if one.step == batch.step and one.leaf and one.weighted]
    if leaves:
        return leaves[0].input.nonfinite > 0
    return any(step.step == batch.step and step.backwards and step.loss != step.loss for step in chart.steps)


def _broken(chart: Chart) -> bool:
    """Did they get through? The loss says so, unless the model was seen to replace some."""
    touched = {batch.step for batch in chart.batches if batch.inputs.nonfinite}
    if any(one.step in touched and one.leaf and one.weighted for one in chart.layers):
        return False
    return any(step.backwards and not math.isfinite(step.loss) for step in chart.steps)
