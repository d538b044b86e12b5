"""Trials: each change is tried on copies and timed against the step as it is, turn by turn."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import median, quantiles

import torch
from torch import Tensor

from glia.profiling.work import SEED, WARM, Change, Rig, Work
from glia.vitals.fair import FairClock

BLOCK_S = 0.03  # a turn takes about so long
LOOKS, ROUNDS, MOST_ROUNDS = 3, 9, 25  # turns each, at first and of what seems to help
STEP, LATE = "a step", "there was no time left to try it"
COMPARED = 5  # steps after which numbers are compared
GAIN = 1.02  # times faster from which a change is worth a second look
PATIENCE = 4.0  # seconds on the wall for each of a budget
SLOW = 4.0  # times slower, from which few steps say enough
ENDED = 1.5  # times its share of the budget that one change may take


@dataclass(frozen=True)
class Trial:
    """What came of a change.

    before, after: median seconds, of a step or, where `per` says so, of as many rows. faster: median of the ratios of
    neighbouring turns; low, high: their quartiles. loss, gradient: the largest relative difference of the losses of the
    first steps, and of the first step's gradients; NaN where they are not to be compared. error: why it cannot be done.
    """

    change: Change
    before: float = math.nan
    after: float = math.nan
    faster: float = math.nan
    low: float = math.nan
    high: float = math.nan
    rounds: int = 0
    loss: float = math.nan
    gradient: float = math.nan
    per: str = STEP
    error: str = ""
    said: str = ""  # of the numbers, where that is known otherwise
    notes: tuple[str, ...] = ()

    @property
    def helps(self) -> bool:
        """Faster, and not by chance: so are at least three quarters of the turns."""
        return not self.error and self.low > 1.0 and self.faster >= GAIN

    @property
    def numbers(self) -> str:
        """What became of the numbers, in words."""
        if self.said:
            return self.said
        if self.change.apart:
            return "another training: its numbers are not compared"
        if math.isnan(self.loss):
            return "numbers could not be compared"
        if self.loss == 0 and self.gradient == 0:
            return "numbers equal to the last bit"
        told = (("losses", self.loss), ("gradients", self.gradient))
        return "; ".join(f"{name} differ by {gap:.1g}" if gap else f"{name} equal" for name, gap in told)


@dataclass
class Timing:
    """Turns of two rivals, seconds a step each."""

    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.before, self.after, strict=True)]


class Budget:
    """Seconds by the fair clock; on a busy machine some times as many on the wall."""

    def __init__(self, seconds: float):
        self.clock = FairClock()
        self.until, self.wall = self.clock() + seconds, time.monotonic() + PATIENCE * seconds

    @property
    def left(self) -> float:
        return min(self.until - self.clock(), self.wall - time.monotonic())


Turn = Callable[[int], float]
"""Makes so many steps; gives the seconds."""


def turn_of(rig: Rig, before: Callable[[], None] = lambda: None) -> Turn:
    """Turns of a rig, within its change. before: done before each step, and timed with it."""

    clock = FairClock()

    def turn(steps: int) -> float:
        with rig.within():
            rig.wait()
            began = clock()
            for _ in range(steps):
                before()
                rig.step()
            rig.wait()
            return clock() - began

    return turn


def compare(base: Turn, other: Turn, steps: int, rounds: int, timing: Timing, budget: Budget | None = None) -> Timing:
    """Turn by turn, the one that begins changing; at least three rounds, and more within the budget."""
    for number in range(rounds):
        if number >= LOOKS and budget is not None and budget.left <= 0:
            break
        pair = (base, other) if number % 2 == 0 else (other, base)
        taken = {id(turn): turn(steps) / steps for turn in pair}
        timing.before.append(taken[id(base)])
        timing.after.append(taken[id(other)])
    return timing


def told(change: Change, timing: Timing, *, times: float = 1.0, per: str = STEP) -> Trial:
    """Figures of finished turns. times: rows of a step of the change for each row of the base."""
    ratios = [ratio * times for ratio in timing.ratios]
    low, middle, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else (ratios * 3)
    return Trial(change, median(timing.before), median(timing.after) / times, middle, low, high, len(ratios), per=per)


class Trials:
    """Of one work, within a budget of seconds."""

    def __init__(self, work: Work, seconds: float, tell: Callable[[str], None] = lambda line: None):
        self.work, self.seconds, self.tell = work, seconds, tell
        with aside():
            self.base = Rig(work)
            with self.base.within():
                self.base.settle()
            self.step_s = turn_of(self.base)(WARM) / WARM
            self.steps = max(1, round(BLOCK_S / max(self.step_s, 1e-6)))
            self.known = numbers(work, None)

    def try_all(self, changes: Sequence[Change]) -> list[Trial]:
        """Each on its own copies, as long as there is time. What helps most stands first."""
        budget = Budget(self.seconds)
        trials: list[Trial] = []
        for number, change in enumerate(changes):
            if budget.left <= 0:
                trials.append(Trial(change, error=LATE))
                continue
            self.tell(f"trying {change.name} ({number + 1} of {len(changes)})")
            trials.append(self.attempt(change, ENDED * budget.left / (len(changes) - number)))
        return trials

    def attempt(self, change: Change, seconds: float) -> Trial:
        """One change. What this work cannot take comes back as an error."""
        budget = Budget(seconds)
        try:
            with aside():
                rig = Rig(self.work, change)
                turn, clock = turn_of(rig), FairClock()
                began = clock()
                with rig.within():
                    rig.settle()
                cold = clock() - began
                base, timing = turn_of(self.base), Timing()
                times = change.rows / self.work.usual.rows
                slow = turn(1) > SLOW * times * self.step_s
                compare(base, turn, 1 if slow else self.steps, LOOKS, timing)
                if median(timing.ratios) * times >= GAIN:
                    compare(base, turn, self.steps, ROUNDS - LOOKS, timing)
                    compare(base, turn, self.steps, MOST_ROUNDS - ROUNDS, timing, budget)
                trial = told(change, timing, times=times, per="for as many rows" if times != 1 else STEP)
                loss, gradient = (math.nan, math.nan) if change.apart else gaps(self.known, numbers(self.work, change))
            notes = (f"the first steps took {cold:.1f} s",) if change.compiled else ()
            return replace(trial, loss=loss, gradient=gradient, notes=notes)
        except Exception as error:  # a change that this network cannot take is no failure of the profile
            return Trial(change, error=f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:160]}")


@contextmanager
def aside() -> Iterator[None]:
    """Nothing is drawn from the random numbers outside, and they are the same each time inside."""
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        yield


@dataclass(frozen=True)
class Numbers:
    """Losses of the first steps and the first step's gradients."""

    losses: list[float]
    gradients: list[Tensor]


def numbers(work: Work, change: Change | None) -> Numbers:
    """What the first steps give, from the same weights, on the same batches, without dropout."""
    with aside():
        rig = Rig(work, change, calm=True)
        losses, gradients = [], []
        with rig.within():
            for step in range(COMPARED):
                rig.step()
                losses.append(rig.seen.item())
                if step == 0:
                    gradients = [
                        p.grad.detach().double().clone()
                        for model in rig.models
                        for p in model.parameters()
                        if p.grad is not None
                    ]
    return Numbers(losses, gradients)


def gaps(one: Numbers, other: Numbers) -> tuple[float, float]:
    """Relative differences: the largest of the losses, and that of the gradients as one long vector."""
    pairs = list(zip(one.losses, other.losses, strict=True))
    loss = max((abs(a - b) / max(abs(a), 1e-30) for a, b in pairs), default=math.nan)
    size = sum(float(g.square().sum()) for g in one.gradients) ** 0.5
    apart = sum(float((g - h).square().sum()) for g, h in zip(one.gradients, other.gradients, strict=True)) ** 0.5
    return loss, apart / max(size, 1e-30)
