"""Profile: where the time of a training step goes, and what was tried to make it shorter."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from torch import nn

from glia.errors import GliaError
from glia.profiling import of_run, of_script
from glia.profiling.changes import candidates
from glia.profiling.loading import loader_trials
from glia.profiling.memory import Memory, memory_of
from glia.profiling.modules import Part, flops_of, seconds_by_module
from glia.profiling.page import render
from glia.profiling.peak import peak
from glia.profiling.trials import STEP, Budget, Trial, Trials, aside, turn_of
from glia.profiling.work import Change, Rig, Work
from glia.vitals.timeline import PHASES, Timeline

TRIAL_S = 30.0  # seconds for trials, where nothing else was said
METERED = 5  # steps that are metered module by module
BEST = 3
WAITS = 0.03  # share of a step that goes into batches, from which other ways of loading are tried
BUSY = 0.1  # share of the time for which others have the cores, from which that is told
BESIDE = PHASES.index("evaluation")

Tell = Callable[[str], None]


def _quiet(line: str) -> None:
    """Say nothing."""


@dataclass
class Profile:
    """What was found.

    steps: that were timed. step: median seconds of one, with all that lies between it and the next; low, high: its
    quartiles. phases: mean seconds a step by phase. evaluation: seconds of looking at other rows, in all, beside the
    steps. compute: median seconds of the step on copies, its batch in memory. parts: seconds by module, the last one of
    what is outside them. flops: of a step's matrix products. peak: operations a second by number format.
    trials: what was tried, what helps most first. notes: what a reader should know.
    """

    name: str
    kind: str  # "script" or "run"
    steps: int
    step: float
    low: float
    high: float
    phases: dict[str, float]
    evaluation: float
    seconds: float
    memory: Memory
    device: str
    threads: int
    rows: int = 0
    compute: float = 0.0
    parts: list[Part] = field(default_factory=list)
    flops: float = 0.0
    peak: dict[str, float] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)
    together: Trial | None = None  # the best ones at once, but for those of loading and of the rows a step
    notes: list[str] = field(default_factory=list)
    code: int = 0  # the script's own exit code
    error: str = ""

    @property
    def shares(self) -> dict[str, float]:
        """Of a step, by phase; they add up to 1."""
        total = sum(self.phases.values())
        return {name: seconds / total for name, seconds in self.phases.items()} if total else {}

    @property
    def best(self) -> list[Trial]:
        """The three changes that help most; of a change and a part of it, the better one."""
        found: list[Trial] = []
        for trial in self.trials:
            parts = trial.change.parts
            if trial.helps and not any(parts <= one.change.parts or parts >= one.change.parts for one in found):
                found.append(trial)
        return found[:BEST]

    @property
    def of_peak(self) -> dict[str, float]:
        """Share of the machine's matrix-product peak that the step on copies reaches, by number format."""
        rate = self.flops / self.compute if self.compute else 0.0
        return {name: rate / most for name, most in self.peak.items() if most}

    def page(self) -> str:
        """The profile as HTML."""
        return render(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; seconds, bytes and operations."""
        return {
            "name": self.name,
            "kind": self.kind,
            "device": self.device,
            "threads": self.threads,
            "steps": self.steps,
            "step_s": {"median": self.step, "low": self.low, "high": self.high},
            "rows": self.rows,
            "phases_s": self.phases,
            "shares": self.shares,
            "evaluation_s": self.evaluation,
            "memory_bytes": self.memory.to_dict(),
            "compute_s": self.compute,
            "flops": self.flops,
            "peak_flops_per_s": self.peak,
            "share_of_peak": self.of_peak,
            "modules": [_part(part) for part in self.parts],
            "trials": [_trial(trial) for trial in self.trials],
            "together": _trial(self.together) if self.together else None,
            "best": [trial.change.name for trial in self.best],
            "notes": self.notes,
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2)


def _part(part: Part) -> dict[str, Any]:
    named = ("name", "kind", "calls", "forward_own", "backward_own", "forward", "backward", "flops")
    return {name: getattr(part, name) for name in named} | {"parts": [_part(one) for one in part.parts]}


def _trial(trial: Trial) -> dict[str, Any]:
    """NaN is no JSON."""
    named = ("before", "after", "faster", "low", "high", "rounds", "loss", "gradient")
    figures = {name: getattr(trial, name) for name in named}
    told = {name: None if value != value else value for name, value in figures.items()}
    words = {"change": trial.change.name, "how": trial.change.how, "per": trial.per, "numbers": trial.numbers}
    return words | told | {"helps": trial.helps, "error": trial.error, "notes": list(trial.notes)}


def profile(
    what: Any,
    arguments: Sequence[str] = (),
    *,
    steps: int | None = None,
    seconds: float | None = None,
    trial_seconds: float | None = None,
    source: Any = None,
    data: Any = None,
    model: nn.Module | None = None,
    step: Any = None,
    tell: Tell = _quiet,
) -> Profile:
    """Where the time of a training step goes: of a run of glia, or of any training script, which is run unchanged.

    what: a run folder, a Run, or a script, with its `arguments`. steps, seconds: end it after so many (a script runs to
    its end, a run is trained in memory for 5 s, if nothing is said). trial_seconds: for trials of changes, 30 at first;
    0 tries none. source, data, model, step: of a run, as they were given in Python. tell: is given lines for people.
    Nothing is written into the run. Raises GliaError where there is no such thing, or it never steps.
    """
    path = Path(getattr(what, "folder", what))
    budget = TRIAL_S if trial_seconds is None else trial_seconds
    if path.suffix == ".py" and not path.is_dir():
        attached, timeline = of_script.run_script(path, arguments, steps, seconds)
        made = _begun(path.name, "script", timeline, attached.seconds)
        made.code, made.error = attached.code, attached.error
        if attached.stopped:
            made.notes.append("the script was ended early")
        work, why = of_script.work_of(timeline)
        if work is None:
            made.notes.append(f"nothing could be tried, and modules were not timed: {why}")
    else:
        tell("putting the run together again")
        with aside():
            session = of_run.session_of(path, source=source, data=data, model=model, step=step)
            tell("training some steps in memory")
            timeline = of_run.watch_run(session, steps, seconds)
            work = of_run.work_of(session)
        if not timeline.count:
            raise GliaError(f"{path} has no step to time")
        made = _begun(path.resolve().name, "run", timeline, 0.0)
    if work is not None:
        _look(made, work, timeline, budget, tell)
    return made


def _begun(name: str, kind: str, timeline: Timeline, seconds: float) -> Profile:
    """What the watched steps say."""
    kept = timeline.steps or timeline.early[1:] or timeline.early
    means = [sum(one[at] for one in kept) / len(kept) for at in range(len(PHASES))]
    phases = {phase: mean for phase, mean in zip(PHASES, means, strict=True) if phase != "evaluation" and mean > 0}
    whole = timeline.whole or [sum(one) - one[BESIDE] for one in kept]
    low, middle, high = quantiles(whole, n=4, method="inclusive") if len(whole) > 1 else whole * 3
    evaluation = sum(one[BESIDE] for one in [*timeline.early, *timeline.steps]) * timeline.stride
    device = "cuda" if torch.cuda.is_initialized() else "cpu"
    made = Profile(
        name, kind, len(kept), middle, low, high, phases, evaluation, seconds, Memory.so_far(), device,
        torch.get_num_threads(),
    )  # fmt: skip
    if not timeline.steps:
        made.notes.append(f"only {timeline.count} steps: the first ones, which are slower, are counted too")
    if timeline.busy > BUSY:
        made.notes.append(
            f"other programs had the cores for {100 * timeline.busy:.0f} % of the time: that is counted nowhere, but "
            "trials of threads and workers mean little now"
        )
    if "replayed" in phases:
        made.notes.append("forward and backward are replayed as one; modules are of the step as it is written")
    if timeline.compiled:
        made.notes.append("the network is compiled or wrapped: modules and trials are of the plain one inside")
    if device == "cuda":
        made.notes.append("phases are of steps that wait for the GPU at each boundary, the median of those that do not")
    return made


def _look(made: Profile, work: Work, timeline: Timeline, budget: float, tell: Tell) -> None:
    """Into the step on copies: by module, against the peak, and what changes do to it."""
    try:
        with aside():
            tell("timing the modules")
            rig = Rig(work)
            turn = turn_of(rig)
            with rig.within():
                rig.settle()
            made.rows, made.device, made.threads = work.rows, str(rig.device), torch.get_num_threads()
            made.compute = median(turn(1) for _ in range(2 * METERED))
            with rig.within():
                made.memory = replace(made.memory, **memory_of(rig))
                made.parts = seconds_by_module(rig, METERED)
            made.flops, counted = flops_of(Rig(work))
            for part, same in zip(_all(made.parts), _all(counted), strict=True):
                part.flops = same.own
            tell("measuring the peak of matrix products")
            made.peak = peak(rig.device)
    except Exception as error:  # what was seen of the live steps stands in any case
        made.notes.append(f"the step could not be made again on copies: {type(error).__name__}: {error}")
        return
    if budget > 0:
        _try(made, work, timeline, budget, tell)


def _try(made: Profile, work: Work, timeline: Timeline, budget: float, tell: Tell) -> None:
    waits = made.shares.get("data", 0.0)
    loads = bool(timeline.loaders) and waits >= WAITS
    whole = Budget(budget)
    trials = []
    if loads:
        trials += loader_trials(timeline.loaders[0], work, budget * max(0.25, waits), tell)
    left = max(budget / 4, whole.left)
    steps = Trials(work, left, tell)
    trials += steps.try_all(list(candidates(work)))
    made.trials = _ranked(trials)
    ours: list[Change] = []
    for trial in made.best:
        if trial.per == STEP and all(trial.change.parts.isdisjoint(one.parts) for one in ours):
            ours.append(trial.change)
    if len(ours) > 1:
        tell("trying the best ones together")
        made.together = steps.attempt(reduce(Change.joined, ours), budget / 4)


def _ranked(trials: list[Trial]) -> list[Trial]:
    """What saves most of a step first; the step as it is took about as long beside each of them."""
    kinds = {trial.per for trial in trials}
    base = {per: median(t.before for t in trials if t.per == per and not t.error) for per in kinds if _any(trials, per)}

    def saved(trial: Trial) -> float:
        return base[trial.per] * (1 - 1 / trial.faster) if trial.helps else 0.0

    return sorted(trials, key=saved, reverse=True)


def _any(trials: list[Trial], per: str) -> bool:
    return any(trial.per == per and not trial.error for trial in trials)


def _all(parts: list[Part]) -> list[Part]:
    return [inner for part in parts for inner in part.all()]
