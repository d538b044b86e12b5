"""Learning: has this run learned at all? Most symptoms are found in healthy runs too; with this they become faults."""

import math
from dataclasses import dataclass
from statistics import median

from glia.vitals.chart import Chart, LossFacts

FEWEST = 30  # losses: fewer say nothing
LITTLE = 0.1  # share of the way from knowing nothing to a loss of 0: less than that is not learning
UNSKILLED = 0.25  # skill on held-out rows, below which nothing of use was learned


@dataclass(frozen=True, slots=True)
class Learning:
    """How far the training loss came.

    first, last: medians of the first few losses and of the last tenth (NaN: not finite any more).
    reference: the loss of one who knows nothing of the inputs; the first loss where that is not known.
    """

    first: float
    last: float
    reference: float

    @property
    def share(self) -> float:
        """1 - last / reference, never below 0: 0 is nothing learned, 1 is a loss of 0."""
        return max(0.0, 1 - self.last / self.reference) if math.isfinite(self.last) else 0.0

    @property
    def failed(self) -> bool:
        return self.share < LITTLE

    def evidence(self) -> dict[str, float]:
        return {"first_loss": self.first, "last_loss": self.last, "loss_of_knowing_nothing": self.reference}


def learning(chart: Chart) -> Learning | None:
    """What the losses say, or None where they say nothing: too few, several losses at once (adversarial training),
    a loss that is not known to fall when a network learns, one that may go below 0.
    """
    losses = [step.loss for step in chart.steps if step.backwards]
    if len(losses) < FEWEST:
        losses = [epoch.figures["train_loss"] for epoch in chart.epochs if "train_loss" in epoch.figures]
    if len(chart.optimizers) > 1 or len(chart.losses) > 1 or len(losses) < min(FEWEST, 2 + len(chart.epochs)):
        return None
    facts = chart.losses[0] if chart.losses else None
    if (chart.optimizers and facts is None) or (facts is not None and facts.kind == "unknown"):
        return None
    if facts is not None and "Add" in facts.path and not math.isfinite(facts.times):
        return None  # a sum of which only a part is known
    if facts is not None and facts.kind in ("bce", "bce_logits") and _soft(facts):
        return None  # its lowest value is the entropy of the targets, not 0
    first = _middle(losses[: max(3, len(losses) // 50)])
    last = _middle(losses[-max(5, len(losses) // 10) :])
    reference = first
    if facts is not None and math.isfinite(facts.chance):
        # The scalar may be a sum, or a share of an accumulated step: bring the chance level into its units.
        factor = facts.total / facts.value if facts.value > 0 and math.isfinite(facts.total) else 1.0
        reference = facts.chance * factor
    return Learning(first, last, reference) if reference > 0 and not last < 0 else None


def _soft(facts: LossFacts) -> bool:
    """Are there targets between 0 and 1?"""
    mean, std = facts.targets.mean, facts.targets.std
    return std**2 < 0.95 * mean * (1 - mean)


def skill(chart: Chart, part: str = "valid") -> float | None:
    """How good the answers are on the rows of that part, 0 to 1; None where nobody looked."""
    return next((score.skill for score in chart.scores if score.part == part), None)


def failed(chart: Chart) -> bool:
    """It is known that nothing of use was learned: by answers on held-out rows if there are any, else by the loss."""
    held_out = skill(chart)
    if held_out is not None:
        return held_out < UNSKILLED
    seen = learning(chart)
    return seen is not None and seen.failed


def learned(chart: Chart) -> bool:
    """It is known that the run came to something."""
    held_out = skill(chart)
    if held_out is not None:
        return held_out >= UNSKILLED
    seen = learning(chart)
    return seen is not None and not seen.failed


def _middle(losses: list[float]) -> float:
    return median(losses) if losses and all(math.isfinite(loss) for loss in losses) else math.nan
