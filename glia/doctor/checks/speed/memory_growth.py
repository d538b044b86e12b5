"""memory-growth (GL502)

Finds: memory that grows from step to step, evenly and to the end of the run, by tens of megabytes and more.
Hurts: a longer run ends when the memory does.
Evidence: bytes at the beginning and at the end, the part of the growth that lies in the last half.
Cure: keep loss.item() and not the loss, whose graph holds every activation of its step; detach what is kept.
Not a fault when: rows are read in for the first time and kept (in the first epoch), or a store of samples is filled.
Source: PyTorch, frequently asked questions, "My model reports CUDA error: out of memory".
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL502", "memory-growth", "memory_growth")
GROWN, FEWEST, HALF, STRAIGHT = 50e6, 8, 0.35, 0.97


def check(chart: Chart) -> Iterator[Finding]:
    held = chart.clock.memory if chart.clock else ()
    if len(held) < FEWEST or held[-1] - held[0] < GROWN:
        return
    grown = held[-1] - held[0]
    late = (held[-1] - held[len(held) // 2]) / grown
    if late < HALF or _straightness(held) < STRAIGHT:
        return
    steps = max(1, chart.steps[-1].step) if chart.steps else 1
    again = chart.loop is not None and chart.loop.epochs >= 2
    yield RULE.finding(
        "warning" if again else "note",
        f"over {steps} steps",
        {"megabytes_at_first": held[0] / 1e6, "megabytes_at_last": held[-1] / 1e6, "share_in_last_half": late},
        "something of every step is kept: often losses together with their graphs",
        "keep loss.item() instead of loss, and detach() whatever else is collected",
        safe=True,
        prior=0.8,
        sure=again,
    )


def _straightness(values: tuple[float, ...]) -> float:
    """Squared correlation of the values with their places: 1 on a straight line."""
    n = len(values)
    mean, middle = sum(values) / n, (n - 1) / 2
    both = sum((i - middle) * (value - mean) for i, value in enumerate(values))
    squares = sum((i - middle) ** 2 for i in range(n)) * sum((value - mean) ** 2 for value in values)
    return both**2 / squares if squares > 0 else 0.0
