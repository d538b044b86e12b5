"""first-loss-too-high (GL204)

Finds: a first cross-entropy far above that of knowing nothing.
Hurts: a network that starts out sure and wrong must first unlearn, and its first gradients are huge.
Evidence: the first loss, the loss of knowing nothing (ln C for C even classes), the last loss.
Cure: the default initialisation of the layers, a small last layer, standardised inputs.
Not a fault when: the run learns; or the inputs are the cause (then GL101 says so).
Source: Karpathy 2019, "A recipe for training neural networks" (verify loss at init); Glorot, Bengio 2010.
"""

from collections.abc import Iterator
from math import nan

from glia.doctor.finding import Finding, Rule
from glia.doctor.learning import learning
from glia.vitals.chart import Chart

RULE = Rule("GL204", "first-loss-too-high", "wrong_init")
TIMES, MORE = 3.0, 1.0


def check(chart: Chart) -> Iterator[Finding]:
    seen = learning(chart)
    for loss in chart.losses:
        if loss.kind == "cross_entropy" and loss.step == 0 and loss.value > TIMES * loss.chance + MORE:
            last = seen.last if seen else nan
            yield RULE.finding(
                "warning",
                f"the first loss ({loss.kind})",
                {"first_loss": loss.value, "loss_of_knowing_nothing": loss.chance, "last_loss": last},
                "the untrained network is sure of wrong answers: its first weights are too large",
                "leave the layers their default initialisation, or start the last layer with small weights",
                safe=False,
                change={"init": "default"},
                prior=0.5,
            )
