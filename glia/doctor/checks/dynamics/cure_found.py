"""cure-found (GL316)

Finds: a run that fails, and a change of rate, optimiser, steps or batches that makes it learn, found by trial alone.
Hurts: the settings do not fit this network and these rows, though no single figure says so.
Evidence: skill on held-out rows without the change and with it.
Cure: the change.
Not a fault when: the run does well: then nothing is tried.
Source: Goodfellow, Bengio, Courville 2016, "Deep Learning", section 11.4.1.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL316", "cure-found", "lr_too_low")


def check(chart: Chart) -> Iterator[Finding]:
    """A chart alone does not show it; the judge's trials do."""
    return iter(())


def finding(chart: Chart, cause: str, change: Mapping[str, Any], before: float, after: float) -> Finding:
    """What a trial found, where no check pointed at it."""
    kind = chart.optimizers[0].kind if chart.optimizers else "the loop"
    return RULE.finding(
        "warning",
        f"settings of {kind}",
        {"skill_before": before, "skill_after": after},
        "the run fails as it is set, and learns with this change",
        "take the change",
        safe=False,
        cause=cause,
        change=change,
        prior=0.5,
    )
