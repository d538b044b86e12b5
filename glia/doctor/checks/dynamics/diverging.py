"""diverging (GL306)

Finds: a loss that ends far above where it began, and far above the loss of knowing nothing.
Hurts: the network answers worse than one that was never trained, and goes on like that.
Evidence: the loss of the first and the last tenth of the steps, the loss of knowing nothing, the learning rate.
Cure: a learning rate of a tenth; clip gradients by norm.
Not a fault when: the loss rises for a while under a warm-up and comes down again; it is adversarial or a reward.
Source: LeCun, Bottou, Orr, Müller 1998, "Efficient BackProp", section 5.
"""

from collections.abc import Iterator

from glia.doctor.course import course, peak_rate
from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL306", "diverging", "lr_too_high", explains=("GL301", "GL303", "GL307", "GL308", "GL309", "GL311"))
RISEN, ABOVE = 3.0, 2.0


def check(chart: Chart) -> Iterator[Finding]:
    run = course(chart)
    if run is None or run.parts[-1] <= RISEN * run.parts[0] or run.parts[-1] <= ABOVE * run.reference:
        return
    lr = peak_rate(chart)
    yield RULE.finding(
        "error",
        f"the training loss over {len(run.losses)} steps",
        {"first_tenth": run.parts[0], "last_tenth": run.parts[-1], "lr": lr} | run.evidence(),
        "each update overshoots and makes the next gradient larger",
        "lower the learning rate to a tenth and clip gradients by norm 1",
        safe=False,
        change={"lr": lr / 10, "clip_norm": 1.0} if lr > 0 else {"clip_norm": 1.0},
        prior=0.7,
    )
