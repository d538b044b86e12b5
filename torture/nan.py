"""NaN, infinities and huge numbers, put into one place of a training at one step."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

from glia.seed import mix
from glia.torture.result import Result
from glia.training.nonfinite import NonFinite
from glia.training.soundness import KEPT
from torture.poison import NETWORKS, PLACES, STEPS, Bench, Poison, fits, poisoned
from torture.poison_runs import in_a_run, wrong

NAME = "nan"
PROMISE = (
    "NaN, Inf or 1e38 anywhere in a training: no weights are kept that are not finite, a figure that is not finite is "
    "never the best, the run ends in time and says where, and goes on from what was kept."
)
SMALL, LARGE = 120, 5000
SEED = 20
IN_A_RUN = 10  # each so many-th goes through glia.train, which takes as long as ten others
VALUES = (math.nan, math.inf, -math.inf, 1e38)
# Held-out rows and figures end no run: they count as no gain.
BORNE = ("held-out rows", "held-out output", "metric")


def run(count: int, folder: Path, tell: Callable[[str], None]) -> Result:
    """Try `count` poisonings, some of them through whole runs."""
    began = time.monotonic()
    failed: list[str] = []
    ended = 0
    twins: dict[str, dict[str, Tensor]] = {}
    for number in range(count):
        tell(f"{number} of {count}")
        whole, left = divmod(number, IN_A_RUN)
        said, stopped = attempt(number, twins) if left else in_a_run(whole, folder, SEED)
        failed += [f"seed {SEED}, number {number}: {line}" for line in said]
        ended += stopped
    figures = {"ended by NonFinite": str(ended), "networks": str(len(NETWORKS)), "places": str(len(PLACES))}
    return Result(NAME, PROMISE, count, tuple(failed), time.monotonic() - began, figures)


def draw(number: int) -> tuple[str, dict[str, Any], Poison]:
    """The number-th poisoning: a network, settings, and what is put where."""
    random = Random(mix(SEED, "nan", number))
    while True:
        network, place, value = random.choice(list(NETWORKS)), PLACES[number % len(PLACES)], random.choice(VALUES)
        settings: dict[str, Any] = {
            "optimizer": random.choice(["adamw", "sgd"]), "ema": random.choice([0.0, 0.9]),
            "clip": random.choice([None, 1.0]), "accumulate": random.choice([1, 1, 2]),
            "measure_every": random.choice([1, 7]),
            "monitor": random.choice(["valid_loss", "valid_accuracy"][: 1 + (network in ("mlp", "cnn", "lstm"))]),
        }  # fmt: skip
        settings["accumulate"] = 1 if place in ("rate", "training rows") else settings["accumulate"]
        if fits(network, place, value, settings):
            last = STEPS // settings["accumulate"] - 1
            return network, settings, Poison(place, value, random.randrange(1, last + 1), random)


def attempt(number: int, twins: dict[str, dict[str, Tensor]]) -> tuple[list[str], bool]:
    """What went wrong with the number-th poisoning, a line each; and did the run end by NonFinite?"""
    network, settings, poison = draw(number)
    rhythm = 1 if number % 2 else 5  # of snapshots
    what = f"{poison.value} in {poison.place} of {network} at step {poison.step}, {settings}, snapshots {rhythm}"
    said: list[str] = []
    bench, error, last = Bench(network, settings), None, None
    with poisoned(bench, poison):
        row = bench.settings.pop("row", None)
        try:
            for moment in bench.moments():
                if moment.best and not math.isfinite(moment.figures[settings["monitor"]]):
                    said.append("the best figure is not finite")
                if moment.step % rhythm == 0 or moment.last:
                    last = copy.deepcopy(moment.snapshot())
                    said += [f"a snapshot at step {moment.step} holds {name}" for name in wrong(last)]
        except NonFinite as ended:
            error = ended
    said += [f"the model is left with {name}" for name in wrong(bench.model.state_dict())]
    said += _judged(error, poison, network, row, rhythm)
    if row is None and error is not None and not said and not math.isfinite(poison.value):
        said += _goes_on(network, settings, last, poison, twins)
    return [f"{what}: {line}" for line in said], error is not None


def _judged(error: NonFinite | None, poison: Poison, network: str, row: int | None, rhythm: int) -> Iterator[str]:
    """Did it end where it had to, and does it say enough? rhythm: every how many steps a snapshot is taken."""
    if error is None:
        if math.isfinite(poison.value) or poison.place in BORNE or _swallowed(poison, network):
            return
        yield "the run went on to its end"
        return
    if poison.place in BORNE:
        yield f"a figure ended the run: {error}"
    if poison.place == "overflow" and "first in the output of module" not in error.where:
        yield f"the overflow was not found: {error}"
    if not error.where or not error.what:
        yield f"no place is named: {error}"
    # An average reaches no loss: it is seen at the end of an epoch, or in a snapshot. Moments reach weights first. What
    # a ReLU or a gradient of 0 hides, and a square that overflows where its number does not, is seen when it is kept.
    kept = error.where == KEPT
    late = {"average": STEPS, "optimizer": 2}.get(poison.place, 1) + (rhythm - 1 if kept else 0)
    if row is None and not math.isfinite(poison.value) and not poison.step <= error.step <= poison.step + late:
        yield f"it ended at step {error.step}"
    if row is not None and kept and math.isfinite(poison.value):
        return
    if row is not None and row not in error.batch:
        yield f"row {row} is not in the batch that is named: {error.batch}"
    if row is not None and error.rows != [row]:
        yield f"row {row} is not blamed: {error}"


def _swallowed(poison: Poison, network: str) -> bool:
    """-inf before a ReLU or in a pool is a plain 0, or is passed over: such an output harms nobody."""
    return poison.place == "output" and poison.value < 0


def _goes_on(
    network: str,
    settings: dict[str, Any],
    last: dict[str, Any] | None,
    poison: Poison,
    twins: dict[str, dict[str, Tensor]],
) -> Iterator[str]:
    """Without the poison, from what was kept, it ends with the very weights of a run that never met it."""
    key = f"{network} {settings}"
    if key not in twins:
        twins[key] = _trained(Bench(network, settings), None)
    found = _trained(Bench(network, settings), last)
    yield from (f"the run that goes on is left with {name}" for name in wrong(found))
    same = all(torch.equal(value, twins[key][name]) for name, value in found.items())
    if not same and poison.place != "overflow":  # whose steps before the poison were in bfloat16
        yield "the run that goes on does not end with the weights of a run that was never poisoned"


def _trained(bench: Bench, start: dict[str, Any] | None) -> dict[str, Tensor]:
    for _ in bench.moments(start):
        pass
    return bench.model.state_dict()
