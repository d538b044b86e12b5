"""Judge: what is wrong with a run, proved by trying the cures.

A run that does well is left in peace, unless something is wrong by itself. In a run that has learned, only strong
evidence may speak. In one that fails, what its cure does not support is dropped or becomes a note.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from glia.doctor import examine as evidence
from glia.doctor.checks.data import inputs_say_nothing, labels_off_their_rows
from glia.doctor.checks.dynamics import cure_found
from glia.doctor.checks.generalisation import beaten_by_a_plain_network
from glia.doctor.examine import sift, suspect
from glia.doctor.finding import Finding, Remedy, Trial
from glia.doctor.ideas import Change, Idea, from_findings, merged, pace
from glia.doctor.learning import skill
from glia.doctor.reference import reference
from glia.doctor.search import Found, Search
from glia.doctor.trial import Outcome, Trials, habits
from glia.vitals.bench import Bench
from glia.vitals.chart import Chart

WELL, LEARNED, POOR = 0.9, 0.55, 0.25  # skill: nothing to look for; only strong evidence speaks; a failure
GAIN, CLOSED = 0.2, 0.4  # skill that a cure must bring, and the share of the way from there to perfect
LARGE_GAIN, ALMOST_ALL = 0.3, 0.9  # what weak evidence must show in a run that has learned
NEARLY = 0.75  # share of the way that makes up for half the gain, where the evidence is strong
STRONG, SUSPICIOUS = 0.8, 0.7  # prior that may speak in a run that has learned; in one that nothing cured
BEATEN, NOTHING = 0.3, 0.1  # skill by which a plain network must be ahead; below which nothing was learned
CERTAIN, TIMES = 0.9, 1.5  # prior of evidence that leaves little doubt, and what it must multiply a skill by
SHOWN = 0.3  # share of the largest gain from which an idea is told
FLOOR_S, SHARE = 5.0, 0.2  # CPU time for trials: at least, and as a share of the run's
TRIALS = 7  # whole trials that should fit into the budget; a long run is shortened for it
FEWEST_STEPS = 100


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found, and what finding it took: trials, and their CPU time."""

    findings: list[Finding]
    trials: int = 0
    seconds: float = 0.0


def diagnose(
    chart: Chart, skip: Iterable[str] = (), *, trial_seconds: float | None = None, run_seconds: float = 0.0
) -> "Verdict":
    """What is wrong with a run, the most likely cause first, notes last, each with the trials of its cure.

    trial_seconds: CPU time for them; by default a fifth of the run's, and at least 5 s. Without the rows and the model
    (a chart from a file, an adversarial loop) the findings are those of `examine`.
    """
    budget = max(FLOOR_S, SHARE * run_seconds) if trial_seconds is None else trial_seconds
    bench = chart.bench
    if bench is None or bench.answers is None or bench.train is None or budget <= 0 or not bench.capture.optimizers:
        return Verdict(evidence.examine(chart, skip))
    judge = Judge(chart, bench, suspect(chart, skip), budget)
    findings = judge.verdict()
    return Verdict(findings, len(judge.trials.known), judge.trials.spent)


def examine(chart: Chart, skip: Iterable[str] = (), *, trial_seconds: float | None = None) -> list[Finding]:
    """What is wrong with a run that `glia.listen` has watched, the most likely cause first, notes last.

    Cures are tried on copies, within trial_seconds of CPU time (5 by default; 0: none). skip: rules, by code or name.
    Example: ``glia.examine(chart, skip=["GL401"])``
    """
    return diagnose(chart, skip, trial_seconds=trial_seconds).findings


class Judge:
    """One chart, its suspicions, and the trials that settle them."""

    def __init__(self, chart: Chart, bench: Bench, suspected: Sequence[Finding], budget: float):
        self.chart, self.bench, self.suspected = chart, bench, suspected
        usual = habits(chart, bench)
        self.trials = Trials(bench, usual, chart, budget)
        self.trials.shorten(TRIALS, FEWEST_STEPS)

    def verdict(self) -> list[Finding]:
        now = self._now()
        sure = [f for f in self.suspected if f.sure and f.alarms]
        notes = [f for f in self.suspected if not f.alarms]
        if now is None:
            return sift([*sure, *notes])
        ideas = self._ideas(f for f in self.suspected if f.alarms)
        if now >= WELL:
            return sift([*sure, *notes])
        if self.trials.steps < self.trials.habits.steps or not self._held_by_script:
            unchanged = self.trials.attempt({}).skill
            # What a run reached in all its steps must not be sold as a gain of fewer steps.
            now = max(now, unchanged) if self._held_by_script else unchanged
            if now >= WELL:
                return sift([*sure, *notes])
        found = Search(self.trials, self.chart, ideas, pace(self.chart, now == now), now).run()
        return sift([*self._told(found, sure), *notes])

    @property
    def _held_by_script(self) -> bool:
        held = self.trials.held
        return held is not None and held.source == "script"

    def _now(self) -> float | None:
        """Skill of the trained model on held-out rows, else on training rows; None where nobody knows."""
        held = skill(self.chart)
        return held if held is not None else skill(self.chart, "train")

    def _told(self, found: Found, sure: Sequence[Finding]) -> list[Finding]:
        """Findings of a run that does not do well, once the search is over."""
        if self._accepted(found):
            return self._confirmed(found, sure)
        if sure:
            return [self._with_trial(f, found) for f in sure]
        return self._unproved(found) if found.before < POOR else []

    def _accepted(self, found: Found) -> bool:
        """Does the cure bring enough? More is asked where the run has learned, less where the evidence is strong."""
        if not found.ideas:
            return False
        closed = found.gain / max(1 - found.before, 1e-6)
        prior = max(idea.prior for idea in found.ideas)
        strong = prior >= STRONG
        steady = found.worst - found.before
        if found.before < NOTHING and prior >= SUSPICIOUS and steady >= GAIN:
            return True  # on hard tasks nobody comes near perfect
        if prior >= CERTAIN and steady >= GAIN / 2 and found.worst >= TIMES * found.before:
            return True
        if strong and found.gain >= GAIN / 2 and closed >= NEARLY:
            return True
        if found.before >= LEARNED and not strong:
            return found.worst - found.before >= LARGE_GAIN and closed >= ALMOST_ALL
        return found.gain >= GAIN and closed >= CLOSED

    def _confirmed(self, found: Found, sure: Sequence[Finding]) -> list[Finding]:
        """The ideas of the set that works, the most needed and likely first; sure ones before all."""
        ideas = {id(i): i for i in found.ideas}
        best = max([found.gain, *(max(i.gain, i.need) for i in ideas.values())])

        def rank(idea: Idea) -> float:
            certain = 1.0 if idea.finding is not None and idea.finding.sure else 0.0
            return certain + max(idea.gain, idea.need) / best * (0.35 + idea.prior)

        remedy = self._remedy(found)
        told: list[Finding] = []
        for idea in sorted(ideas.values(), key=rank, reverse=True):
            if max(idea.gain, idea.need) < SHOWN * best and len(ideas) > 1 and told:
                continue
            told.append(self._finding(idea, remedy, found))
        others = [f for f in sure if all(f.code != t.code for t in told)]
        symptoms = [f for f in others if self._symptom(f, found)]
        causes = [self._with_trial(f, found) for f in others if f not in symptoms]
        return [*causes, *told, *(replace(f.noted(), remedies=(remedy,)) for f in symptoms)]

    def _symptom(self, finding: Finding, found: Found) -> bool:
        """Is it wrong by itself, and yet gone with the cure of something else, while its own brings little?"""
        if not finding.code.startswith("GL3") or not finding.change or self.trials.left <= 0:
            return False
        own = self._ideas([finding])
        return bool(own) and self.trials.attempt(own[0].change).skill < found.after - GAIN

    def _finding(self, idea: Idea, remedy: Remedy, found: Found) -> Finding:
        """The finding of an idea that its cure has confirmed."""
        known = idea.finding or next((f for f in self.suspected if f.cause == idea.cause and f.alarms), None)
        if known is None:
            known = cure_found.finding(self.chart, idea.cause, idea.change, found.before, found.after)
        remedies = [remedy]
        alone = self.trials.known.get(self.trials.key(idea.change))
        if alone is not None and idea.change != merged(found.ideas):
            remedies.append(Remedy(self._written(idea.change), known.cure, self._trial(alone, found, 1), known.safe))
        severity = known.severity if known.severity == "error" else "warning"
        return replace(known, severity=severity, remedies=tuple(remedies))

    def _with_trial(self, finding: Finding, found: Found) -> Finding:
        """A sure finding, with the whole set that works as its first remedy if there is one."""
        if not finding.change:
            return finding
        if found.ideas and found.gain >= GAIN:
            change = {**merged(found.ideas), **finding.change}
            outcome = self.trials.attempt(change)
            return replace(
                finding,
                remedies=(Remedy(self._written(change), finding.cure, self._trial(outcome, found, 1), finding.safe),),
            )
        outcome = self.trials.attempt(finding.change)
        return replace(
            finding,
            remedies=(
                Remedy(self._written(finding.change), finding.cure, self._trial(outcome, found, 1), finding.safe),
            ),
        )

    def _unproved(self, found: Found) -> list[Finding]:
        """No change cured it. What could not be tried and is likely; else what a plain network shows."""
        likely = [f for f in self.suspected if f.alarms and f.prior >= SUSPICIOUS and not self._refuted(f)]
        known = max(found.before, found.after, skill(self.chart, "train") or 0.0)
        plain = reference(self.trials)
        if plain is not None and max(known, plain) < POOR:
            apart = reference(self.trials, within=True)
            if apart is not None and apart - plain >= BEATEN:
                return [labels_off_their_rows.finding(plain, apart)]
            if not likely and max(known, plain) < NOTHING:
                return [inputs_say_nothing.finding(self.chart, found.before, plain, len(self.trials.known))]
        if likely:
            return sorted(likely, key=lambda f: -f.prior)[:3]
        if plain is not None and plain - known >= BEATEN and known < POOR:
            return [beaten_by_a_plain_network.finding(self.chart, found.before, plain)]
        return []

    def _ideas(self, findings: Iterable[Finding]) -> list[Idea]:
        return from_findings(findings, self.chart.loop.epochs if self.chart.loop else math.nan)

    def _refuted(self, finding: Finding) -> bool:
        """Was its cure tried, and did it bring nothing?"""
        idea = self._ideas([finding])
        outcome = self.trials.known.get(self.trials.key(idea[0].change)) if idea else None
        return outcome is not None and not outcome.error

    def _remedy(self, found: Found) -> Remedy:
        change = self._written(merged(found.ideas))
        trial = self._trial(found.outcome, found, found.seeds) if found.outcome is not None else None
        return Remedy(change, says(change), trial)

    def _trial(self, outcome: Outcome, found: Found, seeds: int) -> Trial | None:
        if outcome.score is None:
            return None
        chance, value = outcome.score.chance, outcome.score.value
        before = self._score_before(found, chance)
        return Trial(f"held-out {outcome.score.metric}", before, value, outcome.steps, seeds)

    def _score_before(self, found: Found, chance: float) -> float:
        """The figure without any change: the script's own, or that of the unchanged trial."""
        unchanged = self.trials.known.get(self.trials.key({}))
        if unchanged is not None and unchanged.score is not None:
            return unchanged.score.value
        own = next((s for s in self.chart.scores if s.part == "valid"), None)
        return own.value if own is not None else chance + found.before * (1 - chance)

    def _written(self, change: Change) -> dict[str, Any]:
        """A change as people write it: a number of epochs, an optimiser by name, no keys of our own."""
        plain = {k: v for k, v in change.items() if k != "epochs_times"}
        epochs = self.chart.loop.epochs if self.chart.loop is not None else math.nan
        if "epochs_times" in change and math.isfinite(epochs):
            plain["epochs"] = math.ceil(max(1.0, epochs) * change["epochs_times"])
        return {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in plain.items()}


def says(change: Change) -> str:
    """A change in words."""
    return ", ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in change.items())


def _plain(value: Any) -> str:
    if value is True:
        return "on"
    return f"{value:g}" if isinstance(value, float) else str(value)
