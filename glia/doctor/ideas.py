"""Ideas: cures worth trying. Those that the evidence points at, and the knobs that every run has."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glia.doctor.course import peak_rate, usual_rates
from glia.doctor.finding import Finding
from glia.vitals.chart import Chart

Change = Mapping[str, Any]
KNOBS = {"lr", "optimizer", "epochs_times", "batch_size", "clip_norm"}  # every run has them; evidence beats them
LARGE_BATCH, FEW_STEPS = 100, 20  # rows; steps an epoch


@dataclass(slots=True)
class Idea:
    """A change to be tried. finding: what it would confirm; None for a knob that nothing points at.

    gain: skill that it gave alone; need: skill that is lost when it is taken out of the set that works.
    """

    change: Change
    cause: str
    prior: float
    finding: Finding | None = None
    gain: float = 0.0
    need: float = 0.0

    @property
    def knob(self) -> bool:
        """Is it one of those that can make up for nearly any fault?"""
        return set(self.change) <= KNOBS


def from_findings(findings: Iterable[Finding], epochs: float = math.nan) -> list[Idea]:
    """One idea for each change that a finding proposes, the likeliest first; of one change the likelier finding.

    epochs: that the run took; a finding may ask for more of them, or for fewer.
    """
    ideas: list[Idea] = []
    for finding in sorted(findings, key=lambda f: -f.prior):
        change = {k: v for k, v in finding.change.items() if k != "epochs"}
        if "epochs" in finding.change:
            fewer = finding.change["epochs"] < epochs
            change["epochs_times"] = finding.change["epochs"] / epochs if fewer else 4.0
        if change and all(idea.change != change for idea in ideas):
            ideas.append(Idea(change, finding.cause, finding.prior, finding))
    return ideas


def merged(ideas: Sequence[Idea]) -> dict[str, Any]:
    """All changes in one; the likelier idea has its way. Another optimiser brings its own learning rate."""
    whole: dict[str, Any] = {}
    for idea in sorted(ideas, key=lambda idea: ("optimizer" in idea.change, idea.prior)):
        whole |= idea.change
    return whole


@dataclass(frozen=True, slots=True)
class Pace:
    """What the losses and the settings say about the length of the steps."""

    lr: float
    optimizer: str
    wild: bool  # not finite, or far above where it began
    below: bool  # the rate is below what is usual for the optimiser
    above: bool
    few_epochs: bool
    large_batches: bool


def pace(chart: Chart, finite: bool) -> Pace:
    """Read it off the chart. finite: of the answers at the end."""
    first = chart.optimizers[0] if chart.optimizers else None
    lr = peak_rate(chart)
    rates = usual_rates(chart)
    losses = [s.loss for s in chart.steps if s.backwards]
    known = [loss for loss in losses if math.isfinite(loss)]
    begun = sum(known[:5]) / max(1, len(known[:5]))
    ended = sum(known[-10:]) / max(1, len(known[-10:]))
    broken = len(known) < len(losses)
    loop = chart.loop
    return Pace(
        lr,
        first.kind if first else "",
        wild=broken or not finite or (bool(known) and ended > 3 * abs(begun) + 1e-9),
        below=rates is not None and lr < rates[0],
        above=rates is not None and lr > rates[2],
        few_epochs=loop is not None and loop.epochs <= 2,
        large_batches=loop is not None and loop.batch_size >= LARGE_BATCH and 0 < loop.epoch_steps <= FEW_STEPS,
    )


def knobs(chart: Chart, seen: Pace) -> list[Idea]:
    """Learning rate, optimiser, steps, batches and clipping, in the order in which they are likely to help."""
    down, up = [], []
    if seen.lr == seen.lr:
        down = [Idea({"lr": seen.lr / times}, "lr_too_high", 0.4) for times in (10, 100, 1000)]
        up = [Idea({"lr": seen.lr * times}, "lr_too_low", 0.4) for times in (10, 100, 1000)]
    rates = [down[0:2], up[0:1]] if seen.wild or seen.above else [up[0:2], down[0:1]]
    swaps = [Idea({"optimizer": "Adam", "lr": lr}, _swap(seen), 0.35) for lr in (1e-3, 1e-2)]
    longer = Idea({"epochs_times": 4.0}, _longer(seen), 0.5 if seen.few_epochs else 0.35)
    ideas = [*rates[0][:1], *swaps, longer, *rates[0][1:], *rates[1]]
    loop = chart.loop
    if loop is not None and loop.batch_size >= LARGE_BATCH:
        ideas.insert(
            3, Idea({"batch_size": max(8, loop.batch_size // 8)}, "bad_batch_size", 0.45 if seen.large_batches else 0.3)
        )
    operations = chart.models[0].operations if chart.models else ()
    if any(operation.name in ("lstm", "gru", "rnn") for operation in operations) and not seen.below:
        ideas.insert(1, Idea({"clip_norm": 1.0}, "missing_clipping", 0.4))
    elif seen.wild:
        ideas.append(Idea({"clip_norm": 1.0}, "missing_clipping", 0.3))
    return ideas


def _swap(seen: Pace) -> str:
    """What it means that Adam, at its usual rate, works: mostly that the rate was wrong."""
    if seen.optimizer == "Adam" or seen.wild or seen.above:
        return "lr_too_high" if (seen.wild or seen.above) and not seen.below else "lr_too_low"
    return "lr_too_low"


def _longer(seen: Pace) -> str:
    if seen.below:
        return "lr_too_low"
    if seen.large_batches and not seen.few_epochs:
        return "bad_batch_size"
    return "too_few_epochs"
