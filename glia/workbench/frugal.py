"""The listener of our own loop."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import MethodType
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from glia.optim.bare import bare
from glia.vitals.listen import Listener
from glia.vitals.overhear import overheard, patched

SHARE = 0.01  # of the time that measuring may take while a run goes on
FIRST_STEPS = 2  # measured whatever that costs


class Frugal(Listener):
    """A listener for our own loop: it measures few steps, and does next to nothing at the others.

    A run of ours may be short, its set-up is known, and the loop itself counts steps and keeps time.
    """

    def _due(self) -> bool:
        if self.step >= self.next_sure:
            self.next_sure *= 4
            return True
        return self.step < FIRST_STEPS or self.spent < SHARE * (time.perf_counter() - self.began)

    def on_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self.measuring or not self.optimizers:
            super().on_step(optimizer, args, kwargs)

    def backward(self, tensors: Any) -> None:
        here = isinstance(tensors, Tensor) and threading.get_ident() == self.thread
        if self.measuring or not here or not math.isfinite(tensors.item()):
            super().backward(tensors)
        else:
            self.chart.backwards += 1

    def replayed(self) -> None:
        """A backward pass was made without torch's (`glia.replay`), with a finite loss."""
        self.chart.backwards += 1

    def on_stepped(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self.measuring or not self.optimizers:
            super().on_stepped(optimizer, args, kwargs)
        elif not self.muted and threading.get_ident() == self.thread:
            self.uncleared.add(0)
            self.step += 1
            if self._due():
                self._measure_next(True)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The hooks are in place inside the block, but for those that time a loader: our loop keeps time itself."""
        with ExitStack() as watching:
            watching.callback(self.guarded, self.finish)
            watching.callback(register_optimizer_step_pre_hook(self.on_step).remove)
            watching.callback(register_optimizer_step_post_hook(self.on_stepped).remove)
            watching.callback(self.calls.switch, on=False)
            watching.enter_context(patched(Optimizer, "zero_grad", _bare))
            watching.enter_context(overheard(self))
            self._measure_next(True)
            yield


def _bare(original: Any) -> Any:
    """What overhears a call hides from `bare` whose method it is, so that is asked beneath it."""

    def clear(optimizer: Optimizer, *args: Any, **options: Any) -> None:
        bare(MethodType(original, optimizer))(*args, **options)

    return clear
