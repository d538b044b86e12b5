"""The clock: how long a step takes, how much of it goes into waiting for a batch, and how much memory is held.

Time within `next(loader)` is counted by a wrapper around torch's loader iterators while the clock runs. Nothing of what
they give is looked at, and nothing is drawn.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import nan
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter

from glia.vitals.chart import ClockFacts

MOST_STEPS = 1024  # step times that are kept, at equal distances over the run
MOST_SAMPLES = 32  # looks at the memory that are kept, at equal distances too
ODD = 0.05  # share of the waits that are long for reasons of the machine's, and left out
FIRST_STEPS = 5  # allocators, caches and the first batch settle in these
STATM = "/proc/self/statm"


class Clock:
    """Counts from the first `step()` on; `facts()` at any time.

    held: bytes that whoever observes keeps for himself at present; they are no part of the program's memory.
    """

    def __init__(self) -> None:
        self.held = 0
        self.steps = 0
        self.waits = 0.0  # seconds in all, of training batches, since the first step
        self.workers = 0
        self.work: list[float] = []  # a step's time less its waiting, every `stride`-th
        self.waiting: list[float] = []  # the waiting of these steps
        self.memory: list[float] = []
        self.stride = self.memory_stride = 1
        self._thread = threading.get_ident()
        self._began = nan
        self._waited = self._waited_training = 0.0  # in the step that runs
        self._inside = False
        self._file = os.open(STATM, os.O_RDONLY) if os.path.exists(STATM) else -1
        self._page = os.sysconf("SC_PAGE_SIZE") if self._file >= 0 else 0

    def step(self) -> None:
        """An optimiser step is over."""
        now = perf_counter()
        self.steps += 1
        if self.steps > 1:
            self.waits += self._waited_training
            if (self.steps - 1) % self.stride == 0:
                self.work.append(now - self._began - self._waited)
                self.waiting.append(self._waited_training)
                if len(self.work) >= MOST_STEPS:
                    self.work, self.waiting = self.work[1::2], self.waiting[1::2]
                    self.stride *= 2
        self._waited = self._waited_training = 0.0
        if self.steps > FIRST_STEPS and (self.steps - FIRST_STEPS) % self.memory_stride == 0:
            self._look()
            self._began = perf_counter()
        else:
            self._began = now

    def waited(self, seconds: float) -> None:
        """The step under way waited so long for its batches, as a loop says that keeps time itself."""
        self._waited += seconds
        self._waited_training += seconds

    def facts(self) -> ClockFacts:
        """A step is its usual work and its mean wait: batches may come in bursts, and the odd step is long because an
        evaluation lies in it. Where no workers prepare batches, the longest waits are left out of the mean: on a busy
        machine another program held the processor in them, and what is usual of the work has none of that either.
        """
        if self.steps < 2:
            return ClockFacts(workers=self.workers, memory=tuple(self.memory))
        usual = sorted(self.waiting)[: max(1, round(len(self.waiting) * (1 - ODD)))]
        wait = self.waits / (self.steps - 1) if self.workers or not usual else sum(usual) / len(usual)
        return ClockFacts(median(self.work) + wait if self.work else nan, wait, self.workers, tuple(self.memory))

    def _look(self) -> None:
        self.memory.append(self._bytes() - self.held)
        if len(self.memory) >= MOST_SAMPLES:
            self.memory = self.memory[1::2]
            self.memory_stride *= 2

    def _bytes(self) -> float:
        """Memory of the process that no file stands behind, and what tensors hold on the current GPU."""
        held = 0.0
        if self._file >= 0:
            _, resident, shared = os.pread(self._file, 128, 0).split(maxsplit=3)[:3]
            held = float((int(resident) - int(shared)) * self._page)
        return held + (torch.cuda.memory_allocated() if torch.cuda.is_initialized() else 0)

    def _timed(self, work: Any, *args: Any) -> Any:
        """Do it, and count the time as waiting; what a loader fetches from a loader inside it counts once."""
        if self._inside or threading.get_ident() != self._thread:
            return work(*args)
        self._inside = True
        began = perf_counter()
        try:
            return work(*args)
        finally:
            spent = perf_counter() - began
            self._inside = False
            self._waited += spent
            if torch.is_grad_enabled():  # evaluation asks for its batches without
                self._waited_training += spent

    def close(self) -> None:
        """Look at the memory no more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@contextmanager
def clock() -> Iterator[Clock]:
    """A clock that runs while the block does. Example: ``with clock() as c: ...; c.step(); ...; c.facts()``."""
    watch = Clock()
    begin, fetch = DataLoader.__iter__, _BaseDataLoaderIter.__next__

    def timed_begin(loader: Any) -> Any:
        if torch.is_grad_enabled():
            watch.workers = max(watch.workers, loader.num_workers)
        return watch._timed(begin, loader)

    def timed_fetch(batches: Any) -> Any:
        return watch._timed(fetch, batches)

    DataLoader.__iter__ = timed_begin  # type: ignore[method-assign]
    _BaseDataLoaderIter.__next__ = timed_fetch  # type: ignore[method-assign, assignment]
    try:
        yield watch
    finally:
        DataLoader.__iter__ = begin  # type: ignore[method-assign]
        _BaseDataLoaderIter.__next__ = fetch  # type: ignore[method-assign]
        watch.close()
