"""loss-does-not-fit-output (GL203)

Finds: a softmax before cross-entropy, or a sigmoid before binary cross-entropy with logits, both of which apply their
    own.
Hurts: softmax of a softmax sees logits in 0..1, so the loss cannot fall below ln(1 + (C - 1) / e), and its gradient
    fades.
Evidence: the operations between the last weights and the loss; the first loss, and the lowest that can be reached.
Cure: give the loss the raw outputs (logits); apply softmax only to show probabilities.
Not a fault when: the loss takes probabilities (NLLLoss after log_softmax, BCELoss after sigmoid).
Source: torch.nn.CrossEntropyLoss and BCEWithLogitsLoss; Goodfellow, Bengio, Courville 2016, section 6.2.2.
"""

from collections.abc import Iterator
from math import e, log

from glia.doctor.learning import failed
from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart, LossFacts

RULE = Rule("GL203", "loss-does-not-fit-output")
_RESHAPES = {
    "View",
    "UnsafeView",
    "ReshapeAlias",
    "Squeeze",
    "Unsqueeze",
    "Permute",
    "Transpose",
    "T",
    "Clone",
    "Select",
}
_RESHAPES |= {"Slice", "ToCopy", "Expand", "Clamp", "Contiguous"}


def check(chart: Chart) -> Iterator[Finding]:
    for loss in chart.losses:
        applied = _applied_twice(loss)
        if applied:
            yield _twice(chart, loss, applied)


def _applied_twice(loss: LossFacts) -> str:
    """ "softmax" or "sigmoid" when the loss is given what it would make itself."""
    wanted, before = {"cross_entropy": ("Softmax", loss.before[1:]), "bce_logits": ("Sigmoid", loss.before)}.get(
        loss.kind, ("", ())
    )
    last = next((name for name in before if name not in _RESHAPES), None)
    return wanted.lower() if wanted and last == wanted else ""


def _twice(chart: Chart, loss: LossFacts, applied: str) -> Finding:
    floor = {"lowest_loss_possible": log(1 + (loss.outputs - 1) / e)} if applied == "softmax" and loss.outputs else {}
    return RULE.finding(
        "error" if failed(chart) else "warning",
        f"the loss ({loss.kind})",
        {"before_the_loss": " <- ".join(loss.before), "first_loss": loss.value} | floor,
        f"the outputs pass through {applied} before a loss that applies {applied} itself",
        f"give the loss the raw outputs of the last layer, without {applied}",
        safe=True,
    )
