"""loss-unstable (GL223)

Finds: a logarithm of probabilities, written out, that is not finite for a probability of exactly 0 or 1.
Hurts: one sure and wrong answer makes the loss infinite and every weight NaN.
Evidence: the loss that was recognised; whether a number that is not finite was met.
Cure: the fused losses of torch on raw outputs, or a clamp before the logarithm.
Not a fault when: the outputs never come near 0 and 1: then the loss stays finite and the run learns.
Source: torch.nn.BCEWithLogitsLoss (log-sum-exp); Blanchard, Higham, Higham 2021, "Accurately computing the log-sum-exp
    and softmax functions".
"""

from collections.abc import Iterator
from math import isfinite

from glia.doctor.finding import Finding, Rule
from glia.doctor.reading import CROSS_ENTROPY, WITH_LOGITS, loss_place, losses, train_labels
from glia.vitals.chart import Chart, LossFacts

RULE = Rule("GL223", "loss-unstable", "unstable_loss_impl", explains=("GL301", "GL302", "GL306"))
ELSEWHERE = ("the inputs", "the weights")  # where numbers that are not finite have other causes


def check(chart: Chart) -> Iterator[Finding]:
    for loss in losses(chart):
        if not loss.unstable or loss.kind not in ("log", "bce"):
            continue
        elsewhere = chart.birth is not None and chart.birth.operation in ELSEWHERE
        broke = chart.birth is not None or any(step.backwards and not isfinite(step.loss) for step in chart.steps)
        sure = broke and not elsewhere
        change = CROSS_ENTROPY if _classes(chart, loss) else WITH_LOGITS
        yield RULE.finding(
            "error" if sure else "warning",
            loss_place(loss),
            {"finite_for_0_and_1": "no", "met": "yes" if sure else "not yet"},
            "the loss takes the logarithm of probabilities, which is not finite where one of them is exactly 0",
            f"use nn.{change['loss']} on the raw outputs: it never forms the probability",
            safe=True,
            change=change,
            prior=0.85,
            sure=sure,
        )


def _classes(chart: Chart, loss: LossFacts) -> bool:
    labels = train_labels(chart)
    if labels is None:
        return loss.kind == "log"
    return labels.kind in ("classes", "tokens") and loss.outputs != 1
