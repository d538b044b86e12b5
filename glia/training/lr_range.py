"""The learning-rate range test (Smith, arXiv 1506.01186, section 3.3): raise the rate step by step on a copy of the
model and see where the loss begins to fall and where it blows up.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from glia.optim.bare import bare
from glia.optim.build import set_lr
from glia.seed import mix
from glia.training.feed import Feed, moved
from glia.training.steps import Step
from glia.training.update import as_outcome, seed_noise


@dataclass(frozen=True)
class LrRange:
    """What the test saw: the smoothed loss after a step at each rate; it ends where the loss blew up or at the top."""

    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    diverged: bool

    @property
    def best(self) -> float:
        """The rate with the lowest loss."""
        return self.lrs[min(range(len(self.losses)), key=self.losses.__getitem__)]

    @property
    def steepest(self) -> float:
        """The rate at which the loss fell fastest, over windows of five steps in log rate."""
        if len(self.losses) < 6:
            return self.best
        falls = [self.losses[i] - self.losses[i + 5] for i in range(len(self.losses) - 5)]
        return self.lrs[max(range(len(falls)), key=falls.__getitem__) + 2]


def lr_range(
    model: nn.Module,
    feed: Feed,
    step: Step,
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    *,
    steps: int = 64,
    low: float = 1e-6,
    high: float = 3.0,
    seed: int = 0,
    mode: Callable[[nn.Module], None] | None = None,
) -> LrRange:
    """Train a copy for `steps` batches while the rate rises from `low` to `high` by equal factors.

    Ends early when the smoothed loss is four times its lowest, or not finite. The model itself is not touched.
    mode: what freezes or thaws parts of the copy, once it is in training mode.
    """
    trial = copy.deepcopy(model).train()
    if mode is not None:
        mode(trial)
    optimizer = make_optimizer(trial)
    device = next(trial.parameters()).device
    lrs: list[float] = []
    losses: list[float] = []
    smooth, batches, epoch = 0.0, feed.epoch(mix(seed, "lr range"), 0), 0
    for number in range(steps):
        batch = next(batches, None)
        if batch is None:
            epoch += 1
            batches = feed.epoch(mix(seed, "lr range"), epoch)
            batch = next(batches)
        rate = low * (high / low) ** (number / (steps - 1))
        set_lr(optimizer, rate)
        seed_noise(mix(seed, "lr range", number), device)
        bare(optimizer.zero_grad)()
        loss = as_outcome(step(trial, moved(batch, device))).loss
        loss.backward()
        value = loss.item()
        smooth = 0.8 * smooth + 0.2 * value
        corrected = smooth / (1 - 0.8 ** (number + 1))
        if not math.isfinite(value) or (number > 4 and corrected > 4 * min(losses)):
            return LrRange((*lrs, rate), (*losses, math.inf), diverged=True)
        lrs.append(rate)
        losses.append(corrected)
        bare(optimizer.step)()
    return LrRange(tuple(lrs), tuple(losses), diverged=False)


def about(usual: float) -> dict[str, Any]:
    """Steps and ends of a test that has only to say whether a network's usual rate can be kept.

    The factors are those of the whole test. Rates far below hardly move a weight, and where the loss blows up more than
    three times above the usual rate, that rate is kept.
    """
    return {"low": usual / 1000, "high": 4 * usual, "steps": 36}


def choose_lr(seen: LrRange, usual: float | None) -> tuple[float, str]:
    """(rate, why). A network's usual rate is kept unless the test shows that it is too near to where the loss blows up;
    without one, a tenth of the rate with the lowest loss, but no more than where the loss falls fastest.
    """
    top = seen.lrs[-1]
    limit = top / 3 if seen.diverged else math.inf
    until = f"blew up at {top:.1e}" if seen.diverged else f"had not blown up at {top:.1e}"
    saw = f"loss fell fastest at {seen.steepest:.1e} and {until}"
    if usual is not None and usual <= limit:
        return usual, f"the usual rate of this network; the range test agrees (the loss {until})"
    if usual is not None:
        rate = _rounded(top / 10)
        return rate, f"the usual rate {usual:g} is too near to where training blows up; the range test: {saw}"
    return _rounded(max(min(seen.best / 10, seen.steepest), seen.lrs[0])), f"from the range test: {saw}"


def _rounded(rate: float) -> float:
    """Two significant digits: the test is no finer than that."""
    return float(f"{rate:.1e}")
