"""overfitting (GL401)

Finds: training rows known by heart and held-out rows not, or a validation loss well above its best while the training
    loss goes on falling.
Hurts: what is learned from then on holds for the training rows only.
Evidence: how good the answers are on both parts; both losses at the best epoch and at the last; weights and rows.
Cure: stop at the best epoch (patience), more dropout or weight decay, a smaller network, more data or augmentation.
Not a fault when: validation answers stay as good as training's (only surer), or validation is better under dropout; or
    the validation loss fell with the training loss and stayed at its lowest, and most of what can be told of held-out
    rows is told: what is known by heart besides does no harm, and stopping sooner would gain nothing.
Source: Prechelt 1998, "Early stopping - but when?"; Goodfellow, Bengio, Courville 2016, section 7.8.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from glia.doctor.course import apart, regularised
from glia.doctor.finding import Finding, Rule
from glia.doctor.learning import skill
from glia.vitals.chart import Chart, EpochVitals

RULE = Rule("GL401", "overfitting", "overfit", explains=("GL403",))
FEWEST, RISEN, APART, GAP = 5, 1.25, 1.5, 0.1
COURSE = 3  # epochs that show whether a loss stays
STAYED, FALLEN, HALF = 1.02, 0.9, 0.5  # of losses that stay, of losses that fell, of skill that is of use
LEARNED, LOST, PLAIN, MANY_WEIGHTS = 0.85, 0.3, 0.45, 10  # PLAIN: a gap that counts on few rows too


def check(chart: Chart) -> Iterator[Finding]:
    train, valid, lost = skill(chart, "train"), skill(chart), apart(chart)
    known = train is not None and valid is not None
    gap = (train or 0) - (valid or 0)
    by_heart = known and (train or 0) > LEARNED and (lost > LOST or (gap > PLAIN and lost > 0))
    epochs = _rising(chart)
    if epochs is None and (not by_heart or _harmless(chart, valid or 0)):
        return
    best, last = epochs or (None, None)
    evidence: dict[str, Any] = {"train_skill": train, "valid_skill": valid} if known else {}
    few = _few_rows(chart)
    if few:
        evidence |= {"weights": few[0], "rows": few[1]}
    if best and last:
        evidence |= _losses(best, last)
    yield RULE.finding(
        "warning" if by_heart or not known else "note",
        f"epochs {best.epoch + 1} to {last.epoch + 1}" if best and last else "held-out rows",
        evidence,
        "the network remembers the training rows instead of what they have in common",
        (f"keep the weights of epoch {best.epoch + 1} (patience); then " if best else "")
        + "try more dropout or weight decay",
        safe=True,
        cause="missing_regularisation" if few and not regularised(chart) else None,
        change={"epochs": best.epoch + 1} if best else {"weight_decay": 1e-3},
        prior=0.5,
        sure=True,
    )


def _rising(chart: Chart) -> tuple[EpochVitals, EpochVitals] | None:
    """(best epoch, last one), where the validation loss rose by far between them and the answers fell apart."""
    known = [epoch for epoch in chart.epochs if {"train_loss", "valid_loss"} <= set(epoch.figures)]
    if len(known) < FEWEST:
        return None
    best = min(known, key=lambda epoch: epoch.figures["valid_loss"])
    then, now = best.figures, known[-1].figures
    rises = now["valid_loss"] > RISEN * then["valid_loss"] > 0 and now["train_loss"] < then["train_loss"]
    gap = _metric_gap(now)
    if not rises or now["valid_loss"] < APART * now["train_loss"] or (gap is not None and gap < GAP):
        return None
    return best, known[-1]


def _harmless(chart: Chart, valid: float) -> bool:
    """Did the validation loss fall after the first epoch and stay at its lowest, with answers on held-out rows that are
    more right than not? valid: skill on held-out rows."""
    losses = [epoch.figures["valid_loss"] for epoch in chart.epochs if "valid_loss" in epoch.figures]
    if len(losses) < COURSE or valid < HALF:
        return False
    return losses[-1] <= STAYED * min(losses) and min(losses) <= FALLEN * losses[0] and min(losses) > 0


def _losses(best: EpochVitals, last: EpochVitals) -> dict[str, float]:
    gap = _metric_gap(last.figures)
    return {
        "valid_loss_best": best.figures["valid_loss"],
        "valid_loss_last": last.figures["valid_loss"],
        "train_loss_at_best": best.figures["train_loss"],
        "train_loss_last": last.figures["train_loss"],
    } | ({"gap_in_accuracy": gap} if gap is not None else {})


def _few_rows(chart: Chart) -> tuple[int, int] | None:
    """(weights that train, rows an epoch), where there are many more weights than rows."""
    weights = sum(p.size for model in chart.models[:1] for p in model.parameters if p.trainable)
    rows = chart.loop.rows if chart.loop else 0
    return (weights, rows) if rows and weights > MANY_WEIGHTS * rows else None


def _metric_gap(figures: Mapping[str, float]) -> float | None:
    """Accuracy on training rows less that on validation rows."""
    pair = [figures.get(f"{part}_accuracy") for part in ("train", "valid")]
    return None if pair[0] is None or pair[1] is None else pair[0] - pair[1]
