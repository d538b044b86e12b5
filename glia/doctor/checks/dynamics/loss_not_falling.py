"""loss-not-falling (GL301)

Finds: a training loss that is where it began, or at the loss of knowing nothing, after a fair number of steps.
Hurts: the network has learned nothing.
Evidence: first and last loss, the loss of knowing nothing, steps, learning rate.
Cure: try the learning rate ten times larger and ten times smaller; see whether one batch can be learned by heart.
Not a fault when: the loss is adversarial or a reward (such losses are not judged); the labels are noise.
Source: Goodfellow, Bengio, Courville 2016, "Deep Learning", section 11.5.
"""

from collections.abc import Iterator
from math import isfinite
from statistics import median

from glia.doctor.course import peak_rate, usual_rates
from glia.doctor.finding import Finding, Rule
from glia.doctor.learning import learning
from glia.vitals.chart import Chart

RULE = Rule("GL301", "loss-not-falling", "lr_too_low")
FEWEST, LITTLE, FEWEST_NORMS = 100, 0.03, 8


def check(chart: Chart) -> Iterator[Finding]:
    seen = learning(chart)
    steps = max((step.step for step in chart.steps), default=0) + 1
    if seen is None or seen.share >= LITTLE or seen.last != seen.last or steps < FEWEST:
        return
    lr, rates = peak_rate(chart), usual_rates(chart)
    high = seen.last > 1.1 * seen.reference or (rates is not None and lr > rates[2])
    low = rates is not None and lr < rates[0]
    stuck = _stuck(chart)
    yield RULE.finding(
        "warning",
        f"the training loss over {steps} steps",
        seen.evidence() | {"lr": lr},
        "no gradient comes through the end of the network"
        if stuck
        else "the learning rate does not fit, or the inputs do not say anything about the targets",
        "give the loss what it takes: logits, with no activation after the last layer"
        if stuck
        else "try the learning rate x10 and /10; then see whether one batch can be learned by heart",
        safe=False,
        cause="wrong_output_activation" if stuck else "lr_too_high" if high and not low else "lr_too_low",
        change={} if stuck or not lr > 0 else {"lr": lr / 10 if high and not low else lr * 10},
        prior=0.5,
    )


def _stuck(chart: Chart) -> bool:
    """Were the gradients exactly 0 from the first step on, in most steps?"""
    norms = [step.grad_norm for step in chart.steps if isfinite(step.grad_norm)]
    return len(norms) > FEWEST_NORMS and median(norms[: len(norms) // 2]) == 0
