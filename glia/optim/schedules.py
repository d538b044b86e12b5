"""Schedules: pure functions (step, validation losses so far) -> what the base learning rate is multiplied by.

Steps count from 0: the multiplier of step 0 is used in the first update. Nothing is remembered between calls, so a
resumed run needs no state of its schedule.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from inspect import signature
from math import cos, inf, pi
from typing import Any

from glia.catalog import entry as catalog
from glia.errors import GliaError

Schedule = Callable[[int, Sequence[float]], float]


def constant() -> Schedule:
    """1, always."""
    return lambda step, losses: 1.0


def step(every: int, factor: float = 0.1) -> Schedule:
    """Times `factor` after each `every` steps."""
    return lambda step, losses: factor ** (step // every)


def exponential(every: float, factor: float = 0.1) -> Schedule:
    """Times `factor` over each `every` steps, a little at each step."""
    return lambda step, losses: factor ** (step / every)


def cosine(steps: float, floor: float = 0.0) -> Schedule:
    """Half a cosine from 1 to `floor` over `steps`, then `floor` (arXiv 1608.03983, equation 5)."""
    return lambda step, losses: _half_cosine(1.0, floor, min(step / steps, 1.0))


def warm_restarts(first: float, longer: float = 2.0, floor: float = 0.0) -> Schedule:
    """Cosines from 1 to `floor`: the first takes `first` steps, each one after `longer` times the one before.

    arXiv 1608.03983, equation 5: `first` is T_0, `longer` is T_mult.
    """
    if longer < 1:
        raise GliaError("longer of schedule warm_restarts", got=longer, expected="at least 1")

    def multiplier(step: int, losses: Sequence[float]) -> float:
        begin, length = 0.0, float(first)
        while step >= begin + length:
            begin, length = begin + length, length * longer
        return _half_cosine(1.0, floor, (step - begin) / length)

    return multiplier


def linear(steps: float, start: float = 1.0, end: float = 0.0) -> Schedule:
    """A line from `start` to `end` over `steps`, then `end`."""
    return lambda step, losses: start + (end - start) * min(step / steps, 1.0)


def one_cycle(steps: float, rise: float = 0.3, div: float = 25.0, final_div: float = 1e4) -> Schedule:
    """From 1 / div up to 1 over the share `rise` of `steps`, then down to 1 / div / final_div at the last step.

    Both ways along half a cosine, as in torch's OneCycleLR; momentum is left alone. arXiv 1708.07120.
    """
    top, last = rise * steps - 1, steps - 1
    low, lowest = 1 / div, 1 / div / final_div

    def multiplier(step: int, losses: Sequence[float]) -> float:
        if step <= top:
            return _half_cosine(low, 1.0, step / top if top else 1.0)
        begin = max(top, 0.0)
        return _half_cosine(1.0, lowest, min((step - begin) / (last - begin), 1.0) if last > begin else 0.0)

    return multiplier


def plateau(factor: float = 0.1, patience: int = 4, threshold: float = 1e-4, floor: float = 0.0) -> Schedule:
    """Times `factor`, not below `floor`, whenever more than `patience` validations in a row brought no better loss.

    Better means lower than the best so far by the share `threshold`; a loss that is not a number is no better. As
    torch's ReduceLROnPlateau in mode "min", "rel" (but its least change of 1e-8 of the rate is left out).
    """

    @lru_cache(maxsize=1)  # asked at every step, with the same losses until the next validation
    def reduced(losses: tuple[float, ...]) -> float:
        best, bad, multiplier = inf, 0, 1.0
        for loss in losses:
            if loss < best * (1 - threshold):
                best, bad = loss, 0
            else:
                bad += 1
            if bad > patience:
                multiplier, bad = max(multiplier * factor, floor), 0
        return multiplier

    return lambda step, losses: reduced(tuple(losses))


def warm_up(schedule: Schedule, steps: int) -> Schedule:
    """A line up to where `schedule` begins, over `steps`; then `schedule` from its own step 0.

    No step has a rate of 0 and none is repeated: step t has the share (t + 1) / (steps + 1).
    Goyal et al. 2017, arXiv 1706.02677, section 2.2.
    """

    def multiplier(step: int, losses: Sequence[float]) -> float:
        if step < steps:
            return schedule(0, losses) * (step + 1) / (steps + 1)
        return schedule(step - steps, losses)

    return multiplier


def build(name: str, total_steps: int, steps_per_epoch: int, warmup_share: float = 0.0, **options: Any) -> Schedule:
    """The schedule of that name for a run of `total_steps`, after a warm-up over a share of them.

    options: arguments of the schedule's function, where `epochs` may stand for `every` or `first`. Lengths that are not
    given come from the run: `step` falls at each third, `exponential` reaches 1/100, `warm_restarts` makes three
    cosines, the others take the whole run. Example: ``build("step", 3000, 100, epochs=10, factor=0.5)``
    """
    if total_steps < 1 or steps_per_epoch < 1:
        raise GliaError("the length of a schedule", got=f"{total_steps} steps", expected="at least one step")
    if not 0 <= warmup_share < 1:
        raise GliaError("warmup", got=warmup_share, expected="a share of all steps, from 0 to below 1")
    entry = catalog.find("schedules", name)
    make = catalog.load(entry)
    warm = round(warmup_share * total_steps)
    given = _in_steps(entry, options, tuple(signature(make).parameters), steps_per_epoch)
    schedule: Schedule = make(**{**_length(entry.name, max(total_steps - warm, 1)), **given})
    return warm_up(schedule, warm) if warm else schedule


def _in_steps(
    entry: catalog.Entry, options: dict[str, Any], arguments: tuple[str, ...], steps_per_epoch: int
) -> dict[str, Any]:
    """The options, checked; a length in epochs becomes one in steps."""
    length = next((name for name in ("every", "first") if name in arguments), None)
    given = catalog.options(entry, options, (*arguments, "epochs") if length else arguments)
    for option, value in given.items():
        if option in ("every", "first", "epochs", "steps", "longer", "div", "final_div") and value <= 0:
            raise GliaError(f"{option} of schedule {entry.name}", got=value, expected="more than 0")
    if length and "epochs" in given:
        given[length] = max(round(given.pop("epochs") * steps_per_epoch), 1)
    return given


def _length(name: str, steps: int) -> dict[str, float]:
    """The length of a schedule that is to take `steps`."""
    lengths: dict[str, dict[str, float]] = {
        "constant": {},
        "plateau": {},
        "step": {"every": -(-steps // 3)},
        "exponential": {"every": steps / 2},
        "warm_restarts": {"first": steps / 7},  # 1 + 2 + 4 parts
    }
    return lengths.get(name, {"steps": steps})


def _half_cosine(start: float, end: float, share: float) -> float:
    """From `start` to `end` as `share` goes from 0 to 1, flat at both ends."""
    return end + (start - end) * (1 + cos(pi * share)) / 2
