"""nan-in-inputs (GL104)

Finds: NaN or infinities that reach the first weights.
Hurts: one such number makes every weight of the first layer NaN at the first update.
Evidence: their share among the inputs, and the step at which they were first seen.
Cure: fill or drop them before training, or mark them in a column of their own.
Not a fault when: the model replaces them itself before its first weights.
Source: IEEE 754: every sum and product with a NaN is NaN.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import BatchFacts, Chart

RULE = Rule("GL104", "nan-in-inputs")


def check(chart: Chart) -> Iterator[Finding]:
    batch = next((batch for batch in chart.batches if batch.inputs.nonfinite and _reaches(chart, batch)), None)
    if batch is None:
        return
    yield RULE.finding(
        "error",
        f"the model's inputs at step {batch.step}",
        {"share_not_finite": batch.inputs.nonfinite, "step": batch.step},
        "some inputs are missing or infinite, and nothing before the first weights replaces them",
        "fill them (median of the training rows) or drop those rows before training",
        safe=True,
    )


def _reaches(chart: Chart, batch: BatchFacts) -> bool:
    """Are they still there before the first weights? Where no layer was measured, a loss that is not finite says so."""
    leaves = [one for one in chart.layers if one.step == batch.step and one.leaf and one.weighted]
    if leaves:
        return leaves[0].input.nonfinite > 0
    return any(step.step == batch.step and step.backwards and step.loss != step.loss for step in chart.steps)
