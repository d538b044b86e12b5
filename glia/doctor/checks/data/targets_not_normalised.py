"""targets-not-normalised (GL105)

Finds: numbers to predict that lie far from what a new network answers, or hardly vary.
Hurts: first the bias must travel to their mean, and gradients grow with their scale, so that the steps are too short
    or far too long.
Evidence: mean and standard deviation of the targets.
Cure: standardise the targets with the training rows' figures, and undo it in predictions.
Not a fault when: the run learns; the targets are classes.
Source: Bishop 1995, "Neural Networks for Pattern Recognition", section 8.2.
"""

import math
from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart, Spread

RULE = Rule("GL105", "targets-not-normalised", "target_not_normalised")
OF_NUMBERS = ("mse", "l1", "smooth_l1", "huber")
FAR, OFF = 30.0, 4.0  # deviation or mean at which a usual learning rate does not arrive, and may not
NARROW = 0.01
SURE, UNSURE, FAINT = 0.8, 0.6, 0.5


def check(chart: Chart) -> Iterator[Finding]:
    targets = _targets(chart)
    prior = _prior(targets) if targets is not None else 0.0
    if targets is None or not prior:
        return
    yield RULE.finding(
        "warning",
        "the targets",
        {"mean": targets.mean, "std": targets.std, "low": targets.low, "high": targets.high},
        "the numbers to predict are of a scale that a new network does not answer in",
        "standardise the targets with the mean and deviation of the training rows, and undo it in predictions",
        safe=True,
        change={"normalise_targets": "standardize"},
        prior=prior,
    )


def _targets(chart: Chart) -> Spread | None:
    """The numbers to predict; None where classes are, or where the loss is not one of numbers."""
    loss = chart.losses[0] if chart.losses else None
    if loss is not None and loss.kind not in (*OF_NUMBERS, "unknown"):
        return None
    labels = next((one for one in chart.labels if one.part == "train"), None)
    if labels is not None:
        return labels.values if labels.kind == "numbers" else None
    return loss.targets if loss is not None and loss.kind in OF_NUMBERS and not loss.classes else None


def _prior(targets: Spread) -> float:
    if not (math.isfinite(targets.std) and math.isfinite(targets.mean)):
        return 0.0
    if targets.std > FAR:
        return SURE
    if targets.std > OFF or abs(targets.mean) > FAR:
        return UNSURE
    return FAINT if 0 < targets.std < NARROW else 0.0
