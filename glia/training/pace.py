"""Pace: how fast a step goes in each number format, with each library, layout and number of threads, tried on a copy.

What is chosen changes the last bits of every sum (bfloat16 more than those), so a run tries once, when it begins, and
keeps the answer in its recipe.
"""

import copy
import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from time import perf_counter, process_time
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from glia.optim.bare import bare
from glia.optim.build import set_lr
from glia.seed import mix
from glia.training.feed import Feed, folds_pictures, moved
from glia.training.numbers import Numbers, exact_onednn, fast_bfloat16
from glia.training.steps import Step
from glia.training.update import as_outcome, seed_noise

WORTH, COARSER = 1.04, 1.1  # times faster from which another way is taken, and one in a coarser number format
SHARE, MOST_S = 0.02, 20.0  # of the time that training will take, for trying; seconds
LEAST_S = 30.0  # that training takes in the plain way, below which nothing is tried
ROUNDS, BATCHES = (3, 9), 4
SHORT_S, ROW = 0.01, 3  # steps that are shorter are made in a row: after another way's step the first ones are slower
APART = 0.05  # share by which the loss may differ before anything was learnt


class Way(NamedTuple):
    """One way to work out the same step."""

    numbers: Numbers = Numbers()
    threads: int = 1

    def __str__(self) -> str:
        products = ", products by oneDNN" if self.numbers.products == "onednn" else ""
        layout = ", channels last" if self.numbers.memory_format == "channels_last" else ""
        return f"{self.numbers.precision}{products}{layout}, {self.threads} thread{'s' * (self.threads > 1)}"


@dataclass
class Trial:
    """A copy of what is trained; `time` makes one step of it. The model itself is not touched.

    mode: what freezes or thaws parts of the copy, once it is in training mode.
    """

    model: nn.Module
    feed: Feed
    step: Step
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    seed: int = 0
    mode: Callable[[nn.Module], None] | None = None
    made: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.model = copy.deepcopy(self.model).train()
        if self.mode is not None:
            self.mode(self.model)
        self.device = next(self.model.parameters()).device
        self.optimizer = set_lr(self.make_optimizer(self.model), 0.0)  # the same weights for every way
        batches = self.feed.epoch(mix(self.seed, "pace"), 0)
        self.batches = [moved(batch, self.device) for batch in islice(batches, BATCHES)]

    def loss(self, way: Way) -> float:
        """Of the first batch."""
        seed_noise(self.seed, self.device)
        batch = moved(self.batches[0], self.device, way.numbers.layout)
        with torch.no_grad(), way.numbers.step(), way.numbers.forward(self.device):
            return as_outcome(self.step(self.model, batch)).loss.item()

    def time(self, way: Way) -> float:
        """Seconds of one step."""
        batch = self.batches[self.made % len(self.batches)]
        self.made += 1
        torch.set_num_threads(way.threads)
        began = perf_counter()
        batch = moved(batch, self.device, way.numbers.layout)
        bare(self.optimizer.zero_grad)()
        with way.numbers.step():
            with way.numbers.forward(self.device):
                loss = as_outcome(self.step(self.model, batch)).loss
            loss.backward()
        bare(self.optimizer.step)()
        loss.item()  # on a GPU it waits for all that was asked
        return perf_counter() - began

    def cost(self, way: Way) -> float:
        """Seconds that one step would take on a quiet machine: whether to try must not hang on how busy this one is."""
        began = process_time()
        took = self.time(way)
        return min(took, (process_time() - began) / way.threads) if self.device.type == "cpu" else took

    def compare(self, ways: Iterable[Way], seconds: float) -> dict[Way, float]:
        """Seconds of a step each way, taken in turns; about as long as was said, three turns at least.

        The lower quartile: what else the machine does lengthens some steps, those of two threads most of all.
        """
        ways = list(ways)
        first = [self.time(way) for way in ways]  # makes room and picks kernels
        before, counted = (ROW, ROW) if min(first) < SHORT_S else (0, 1)
        times: dict[Way, list[float]] = {way: [] for way in ways}
        began = perf_counter()
        for turn in range(ROUNDS[1]):
            if turn >= ROUNDS[0] and perf_counter() - began > seconds:
                break
            for way in ways:
                times[way] += [self.time(way) for _ in range(before + counted)][before:]
        return {way: statistics.quantiles(seen, n=4, method="inclusive")[0] for way, seen in times.items()}


@dataclass(frozen=True)
class Pace:
    """The way that was chosen, why in words, and what each way took."""

    way: Way
    why: str
    seconds: dict[Way, float]


def choose_pace(
    trial: Trial, steps: int, plain: Way, *, formats: bool, libraries: bool, layouts: bool, fewer: bool
) -> Pace | None:
    """The fastest way of `steps` steps, `plain` where nothing is much faster; None where training is too short to try.

    formats: bfloat16 may be used. libraries: products may go to another library. layouts: pictures may lie in another
    order. fewer: fewer threads may be used.
    """
    trial.time(plain)
    seconds = steps * min(trial.cost(plain) for _ in range(2))
    if seconds < LEAST_S:
        return None
    seconds = min(SHARE * seconds, MOST_S)
    ways = [plain]
    if formats and fast_bfloat16(trial.device):
        ways.append(_other(plain, precision="bfloat16", products="torch"))
    if layouts and folds_pictures(trial.model, trial.batches[0]):
        ways += [_other(way, memory_format="channels_last") for way in ways]
    if libraries and trial.device.type == "cpu" and exact_onednn():
        ways.append(_other(plain, products="onednn"))
    expected = trial.loss(plain)
    ways = [way for way in ways if way == plain or _near(trial.loss(way), expected)]
    seen = trial.compare(ways, seconds / 2)
    best = _fastest(seen, plain)
    if fewer and plain.threads > 1 and trial.device.type == "cpu":
        alone = Way(best.numbers, 1)
        seen |= trial.compare([best, alone], seconds / 2)
        best = alone if seen[alone] <= seen[best] else best  # as fast with half the work: the other core is free
    torch.set_num_threads(best.threads)
    return Pace(best, _why(best, plain, seen), seen)


def batch_norm(model: nn.Module) -> bool:
    """Are there batch norms, whose networks leave each other's ways at the least rounding?"""
    return any(isinstance(module, _BatchNorm) for module in model.modules())


def _near(loss: float, expected: float) -> bool:
    return math.isfinite(loss) and abs(loss - expected) <= APART * max(abs(expected), 1e-3)


def _other(way: Way, **numbers: str) -> Way:
    return way._replace(numbers=replace(way.numbers, **numbers))


def _fastest(seen: dict[Way, float], usual: Way) -> Way:
    """The fastest one, unless it gains too little to leave the usual one for it, or a format for a coarser one."""
    same = {way: took for way, took in seen.items() if way.numbers.precision == usual.numbers.precision}
    for ways, worth in ((same, WORTH), (seen, COARSER)):
        best = min(ways, key=ways.__getitem__)
        usual = best if seen[best] * worth < seen[usual] else usual
    return usual


def _why(best: Way, plain: Way, seen: dict[Way, float]) -> str:
    others = ", ".join(f"{way} {1e3 * took:.3g} ms" for way, took in seen.items() if way not in (best, plain))
    others = f"; {others}" if others else ""
    if best == plain:
        return f"nothing that was tried is much faster than {plain}: {1e3 * seen[plain]:.3g} ms a step{others}"
    gain, took = seen[plain] / seen[best], f"{best} {1e3 * seen[best]:.3g} ms a step"
    return f"{gain:.1f} times as fast: {took}, {plain} {1e3 * seen[plain]:.3g} ms{others}"
