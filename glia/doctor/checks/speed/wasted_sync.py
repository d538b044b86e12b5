"""wasted-sync (GL503)

Finds: a program on a GPU that fetches a number from it at every step.
Hurts: each fetch waits for all that was asked of the GPU before, so it is idle while the next step is prepared.
Evidence: fetches (`item()`) a step, seconds a step.
Cure: add up losses on the GPU and fetch them once in many steps.
Not a fault when: steps take so long that the wait is lost in them; the number decides what comes next.
Source: PyTorch, performance tuning guide, "Avoid unnecessary CPU-GPU synchronization".
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL503", "wasted-sync", "slow_step")
EACH, LONGEST, FEWEST = 0.9, 0.05, 50


def check(chart: Chart) -> Iterator[Finding]:
    clock = chart.clock
    if clock is None or len(chart.steps) < FEWEST or not clock.syncs >= EACH or not clock.step_s < LONGEST:
        return
    yield RULE.finding(
        "note",
        "the training loop",
        {"fetches_a_step": clock.syncs, "step_s": clock.step_s},
        "each item() waits for the GPU to finish all that it was asked",
        "add up losses on the GPU and call item() once in many steps",
        safe=True,
        prior=0.6,
    )
