"""overfitting (GL401)

Finds: a validation loss well above its best while the training loss goes on falling.
Hurts: what is learned from then on holds for the training rows only.
Evidence: both losses at the best epoch and at the last, and the gap in the first metric where there is one.
Cure: stop at the best epoch (patience), more dropout or weight decay, a smaller network, more data or augmentation.
Not a fault when: validation answers stay as good as training's (only surer), or validation is better under dropout.
Source: Prechelt 1998, "Early stopping - but when?"; Goodfellow, Bengio, Courville 2016, section 7.8.
"""

from collections.abc import Iterator, Mapping

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL401", "overfitting")
FEWEST, RISEN, APART, GAP = 5, 1.25, 1.5, 0.1


def check(chart: Chart) -> Iterator[Finding]:
    known = [epoch for epoch in chart.epochs if {"train_loss", "valid_loss"} <= set(epoch.figures)]
    if len(known) < FEWEST:
        return
    best = min(known, key=lambda epoch: epoch.figures["valid_loss"])
    then, now = best.figures, known[-1].figures
    rises = now["valid_loss"] > RISEN * then["valid_loss"] > 0 and now["train_loss"] < then["train_loss"]
    gap = _metric_gap(now)
    if not rises or now["valid_loss"] < APART * now["train_loss"] or (gap is not None and gap < GAP):
        return
    yield RULE.finding(
        "warning",
        f"epochs {best.epoch + 1} to {known[-1].epoch + 1}",
        {
            "valid_loss_best": then["valid_loss"],
            "valid_loss_last": now["valid_loss"],
            "train_loss_at_best": then["train_loss"],
            "train_loss_last": now["train_loss"],
        }
        | ({"gap_in_accuracy": gap} if gap is not None else {}),
        "the network remembers the training rows instead of what they have in common",
        f"keep the weights of epoch {best.epoch + 1} (patience); then try more dropout or weight decay",
        safe=True,
    )


def _metric_gap(figures: Mapping[str, float]) -> float | None:
    """Accuracy on training rows less that on validation rows."""
    pair = [figures.get(f"{part}_accuracy") for part in ("train", "valid")]
    return None if pair[0] is None or pair[1] is None else pair[0] - pair[1]
