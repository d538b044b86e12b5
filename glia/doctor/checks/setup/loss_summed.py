"""loss-summed (GL213)

Finds: a loss that is the sum over the rows of a batch, not their mean.
Hurts: its gradient grows with the batch, so a usual learning rate is as many times too high.
Evidence: the factor between the scalar and the mean loss of a row.
Cure: reduction="mean".
Not a fault when: the learning rate is as much lower, or the optimiser scales its steps itself: then the run learns.
Source: torch.nn.CrossEntropyLoss (reduction); Goyal et al. 2017, arXiv 1706.02677, section 3.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.doctor.reading import loss_change, loss_place, losses
from glia.vitals.chart import Chart

EXPLAINS = ("GL301", "GL303", "GL305", "GL306", "GL307", "GL309")
RULE = Rule("GL213", "loss-summed", "wrong_loss_reduction", explains=EXPLAINS)


def check(chart: Chart) -> Iterator[Finding]:
    for loss in losses(chart):
        if loss.summed and loss.kind != "unknown":
            yield RULE.finding(
                "warning",
                loss_place(loss),
                {"times_the_mean": loss.times, "first_loss": loss.total},
                "the loss is summed over the rows of a batch, so each step is as many times longer",
                'take the mean over the rows: reduction="mean"',
                safe=False,
                change=loss_change(loss),
                prior=0.8,
            )
