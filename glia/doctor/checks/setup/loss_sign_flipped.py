"""loss-sign-flipped (GL202)

Finds: a scalar that falls when the loss function in it rises.
Hurts: the optimiser makes the loss larger with every step: it learns to be wrong.
Evidence: the loss function that was recognised by its values, and the factor before it.
Cure: take the minus away.
Not a fault when: the optimiser maximises, or the answers do get better (then this says nothing).
Source: torch.optim (an optimiser goes down the gradient); Goodfellow, Bengio, Courville 2016, section 8.1.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.doctor.learning import learned
from glia.doctor.reading import loss_change, loss_place, losses
from glia.vitals.chart import Chart

RULE = Rule("GL202", "loss-sign-flipped", "flipped_loss_sign", explains=("GL301", "GL302", "GL306", "GL309"))


def check(chart: Chart) -> Iterator[Finding]:
    for loss in losses(chart):
        if loss.sign >= 0 or loss.kind == "unknown" or learned(chart):
            continue
        yield RULE.finding(
            "error",
            loss_place(loss),
            {"factor": -loss.times, "first_loss": loss.total},
            f"the loss is minus {loss.kind}, so each step makes the answers worse",
            "take the minus away: an optimiser makes the loss smaller",
            safe=True,
            change=loss_change(loss),
            prior=1.0,
            sure=True,
        )
