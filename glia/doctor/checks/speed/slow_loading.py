"""slow-loading (GL501)

Finds: a loop that waits for its batches for a third of its time and more.
Hurts: the processor or the GPU stands idle while rows are read and prepared.
Evidence: seconds a step, seconds of it spent in the DataLoader, its worker processes.
Cure: worker processes that prepare the next batches; pinned memory for a GPU; cheaper preparation.
Not a fault when: a step waits for less than a millisecond: workers would cost more than they save.
Source: PyTorch, performance tuning guide, "Enable async data loading and augmentation".
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL501", "slow-loading", "slow_loading")
SHARE, SHORTEST, FEWEST, MOST_WORKERS = 0.3, 1e-3, 50, 8


def check(chart: Chart) -> Iterator[Finding]:
    clock = chart.clock
    if clock is None or len(chart.steps) < FEWEST or not clock.wait_s > SHORTEST:
        return
    share = clock.wait_s / clock.step_s
    if not share > SHARE:
        return
    workers = min(MOST_WORKERS, max(2, 2 * clock.workers))
    yield RULE.finding(
        "note",
        "the DataLoader",
        {"share_of_time_waiting": share, "step_s": clock.step_s, "wait_s": clock.wait_s, "workers": clock.workers},
        f"{share:.0%} of a step is waiting for its batch: batches are prepared more slowly than they are used",
        f"give the DataLoader num_workers={workers}, persistent_workers=True, and pin_memory=True for a GPU",
        safe=True,
        prior=0.9,
    )
