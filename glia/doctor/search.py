"""Search: the smallest set of changes that makes a failing run learn.

What the evidence points at is tried alone, then all of it together; then the knobs that every run has, in the direction
of the symptom; then what is not needed is taken out again, and what is left must hold on a second draw of the weights.
Several faults at once show no gain from any single change, which is why they are tried together early.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from glia.doctor import ideas as every
from glia.doctor.ideas import Idea, Pace, merged
from glia.doctor.trial import Outcome, Trials
from glia.vitals.chart import Chart

LIKELY, TRUSTED = 0.5, 0.8  # prior: worth a trial alone; believed at once when it cures
MOST_ALONE, MOST_POOL = 7, 6  # ideas tried alone; added one by one
FAIR, MUCH = 0.75, 0.5  # skill and gain at which the search is content
CURED, GOOD = 0.95, 0.93  # skill at which looking for others, and looking at all, ends
UNNEEDED = 0.04  # skill that may be lost when an idea is taken out of the set
SMALL = 0.05  # a gain worth following


@dataclass(slots=True)
class Found:
    """The best set of ideas. before, after: skill without and with it, the mean of the draws; worst: of them."""

    ideas: list[Idea] = field(default_factory=list)
    before: float = 0.0
    after: float = 0.0
    worst: float = 0.0
    outcome: Outcome | None = None
    first: Outcome | None = None
    seeds: int = 0

    @property
    def gain(self) -> float:
        return self.after - self.before


class Search:
    """One search, within the budget of its trials."""

    def __init__(
        self, trials: Trials, chart: Chart, evidence: Sequence[Idea], seen: Pace, before: float, knobs: bool = True
    ):
        self.knobs = knobs
        self.trials, self.chart, self.seen, self.before = trials, chart, seen, before
        self.evidence = [idea for idea in evidence if idea.prior >= LIKELY]
        self.weak = [idea for idea in evidence if idea.prior < LIKELY]
        self.best: list[Idea] = []
        self.skill = before

    def run(self) -> Found:
        """Search, and confirm what was found."""
        self._alone()
        if not self.satisfied:
            self._together()
            self._take_out()
        if not self.satisfied:
            self._turn_knobs()
        if not self.satisfied:
            self._add()
        self._take_out()
        return self._confirm()

    @property
    def satisfied(self) -> bool:
        """Well enough; the rest is for the refinements at the end."""
        return self.skill >= GOOD or (self.skill >= FAIR and self.skill - self.before >= MUCH)

    def _try(self, ideas: Sequence[Idea]) -> float:
        """Skill with these ideas; the best set is kept. One idea alone need not go on when nothing moves."""
        if self.trials.left <= 0:
            return 0.0
        outcome = self.trials.attempt(merged(ideas), hopeful=len(ideas) > 1)
        told = any(not idea.knob for idea in self.best) and all(idea.knob for idea in ideas)
        lesser = len(ideas) == len(self.best) == 1 and ideas[0].prior < self.best[0].prior
        if outcome.skill > self.skill + (SMALL if told or lesser else 0.01):
            self.best, self.skill = list(ideas), outcome.skill
        return outcome.skill

    def _alone(self) -> None:
        """Each idea that the evidence points at; a trusted one that cures ends it."""
        first = [idea for idea in self.evidence if not idea.knob] + [idea for idea in self.evidence if idea.knob]
        for idea in first[:MOST_ALONE]:
            idea.gain = self._try([idea]) - self.before
            if self._impossible(idea):
                self.evidence.remove(idea)
            if self.skill >= CURED and (idea.prior >= TRUSTED or idea is first[-1]):
                return

    def _impossible(self, idea: Idea) -> bool:
        """Could it not be done? Then it would spoil every set that it is in."""
        known = self.trials.known.get(self.trials.key(idea.change))
        return known is not None and bool(known.error)

    def _together(self) -> None:
        """All that the evidence points at in one, with the script's optimiser and with Adam."""
        plain = [idea for idea in self.evidence if not idea.knob]
        if len(plain) < 1:
            return
        for swap in (None, 1e-3, 1e-2):
            ideas = plain if swap is None else [*plain, self._swapped(swap)]
            if len(ideas) > 1:
                self._try(ideas)
            if self.satisfied:
                return

    def _swapped(self, lr: float) -> Idea:
        return next(i for i in every.knobs(self.chart, self.seen) if i.change == {"optimizer": "Adam", "lr": lr})

    def _turn_knobs(self) -> None:
        """Learning rate, optimiser, steps and batches on top of the best so far; further in a direction that helps."""
        for idea in every.knobs(self.chart, self.seen):
            if self.satisfied or self.trials.left <= 0:
                return
            base = [i for i in self.best if not set(i.change) & set(idea.change) or not i.knob]
            reached = self._try([*base, idea])
            if not base:
                idea.gain = reached - self.before

    def _add(self) -> None:
        """Whatever is left, one by one on top of the best, as long as that helps."""
        pool = sorted(
            [*self.evidence, *self.weak, *every.knobs(self.chart, self.seen)], key=lambda i: -(i.prior + i.gain)
        )
        for idea in pool[:MOST_POOL]:
            if self.satisfied or self.trials.left <= 0:
                return
            taken = {key for kept in self.best for key in kept.change}
            if not taken & set(idea.change):
                self._try([*self.best, idea])

    def _take_out(self) -> None:
        """Leave one out: what is not needed goes, the least likely first; of what stays it is known how much."""
        for idea in sorted(self.best, key=lambda i: (not i.knob, i.prior)):
            if len(self.best) < 2:
                break
            rest = [other for other in self.best if other is not idea]
            outcome = self.trials.attempt(merged(rest), hopeful=False) if self.trials.left > 0 else None
            if outcome is None:
                continue
            idea.need = self.skill - outcome.skill
            if idea.need < UNNEEDED:
                self.best, self.skill = rest, max(self.skill, outcome.skill)

    def _confirm(self) -> Found:
        """A second draw of weights and order; where that is clearly worse, more steps or another rate on top."""
        if not self.best:
            return Found(before=self.before, after=self.before, worst=self.before)
        found = self._measured(self.best)
        if found.after < GOOD or found.worst < found.after - SMALL:
            for idea in self._refinements():
                if self.trials.left <= 0:
                    break
                refined = self._measured([*[i for i in self.best if not set(i.change) <= set(idea.change)], idea])
                if refined.after > found.after + 0.02:
                    found = refined
                if found.worst >= GOOD:
                    break
        if len(self.best) == 1:
            self.best[0].need = found.gain
        return found

    def _refinements(self) -> list[Idea]:
        known = every.knobs(self.chart, self.seen)
        longer = [i for i in known if "epochs_times" in i.change]
        if any("epochs_times" in i.change for i in self.best):
            longer = [Idea({"epochs_times": 10.0}, longer[0].cause, longer[0].prior)]
        swaps = [i for i in known if "optimizer" in i.change]
        return [*longer, *swaps] if not any("optimizer" in i.change for i in self.best) else longer

    def _measured(self, ideas: Sequence[Idea]) -> Found:
        change = merged(ideas)
        first = self.trials.attempt(change)
        second = self.trials.attempt(change, seed=1) if self.trials.left > 0 else None
        skills = [first.skill] if second is None else [first.skill, second.skill]
        outcome = first if second is None or first.skill <= second.skill else second
        return Found(list(ideas), self.before, fmean(skills), min(skills), outcome, first, len(skills))
