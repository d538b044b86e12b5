"""Batches: rows in memory (or behind `take`), in an order that is a function of (seed, epoch) alone."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from glia.seed import mix

Augment = Callable[[Tensor, Tensor, int, int, Tensor], tuple[Tensor, Tensor]]
"""(inputs, targets, seed, epoch, index) -> inputs, targets; a pure function, so any worker may run it."""

POOL = 50  # batches whose rows are sorted by length together: enough that they are alike, few enough to stay random
LIGHT = 3 * 64 * 64  # values of a picture: up to here a thread that augments it costs about as much as it saves
GATHERED, GATHERED_BYTES = 64, 4_000_000  # batches whose rows are fetched at once, at most, and their size


class Batch(NamedTuple):
    """Some rows. `index` says where they stand in their `Batches`, 0 .. len - 1."""

    inputs: Tensor
    targets: Tensor
    index: Tensor  # type: ignore[assignment]  # a field of that name, not the search of a tuple


class Rows(Protocol):
    """What is no plain tensor (too large for memory, of unequal lengths): a length, and rows by their index."""

    def __len__(self) -> int: ...

    def take(self, index: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Batches:
    """Inputs with their targets.

    inputs: (N, ...) tensor, or a `Rows`. targets: (N,) class indices, (N, targets) float, or a `Rows` of sequences.
    rows: (N,) number of each row in its source, so that a person can find it again.
    augment: changes training batches only; `ordered` never calls it.
    workers: threads that fetch and augment ahead (`threads_ahead`). Any number gives the same batches.
    lengths: (N,) of each row, where they differ: rows of like lengths then share a batch, so that little is filled up.
    """

    inputs: Tensor | Rows
    targets: Any  # a tensor, or a `Rows`; most tasks need a tensor
    rows: Tensor
    augment: Augment | None = None
    workers: int = 0
    lengths: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def steps(self, batch_size: int) -> int:
        """Batches in an epoch."""
        return -(-len(self) // batch_size)

    def epoch(
        self, seed: int, epoch: int, batch_size: int, start: int = 0, share: Callable[[int], slice] = slice
    ) -> Iterator[Batch]:
        """The shuffled batches of one epoch, from batch `start` on.

        share: which of so many rows of each batch are wanted, where several processes divide it; all, if not given.
        Rows are cut into `steps(batch_size)` parts whose sizes differ by at most one, so that no batch is tiny.
        """
        parts = self.order(seed, epoch, batch_size)[start:]
        plain = isinstance(self.inputs, Tensor) and isinstance(self.targets, Tensor)  # others fill up batch by batch
        if plain and self.augment is None and not self.workers and share is slice:
            return self._gathered(parts)

        def make(index: Tensor) -> Batch:
            index = index[share(len(index))]
            batch = self._some(index)
            if self.augment is None or not len(index):
                return batch
            inputs, targets = self.augment(batch.inputs, batch.targets, seed, epoch, index)
            return Batch(inputs, targets, index)

        return _ahead(make, parts, self.workers)

    def order(self, seed: int, epoch: int, batch_size: int) -> tuple[Tensor, ...]:
        """Which rows each batch of one epoch holds."""
        generator = torch.Generator().manual_seed(mix(seed, "order", epoch))
        order = torch.randperm(len(self), generator=generator)
        if self.lengths is not None:
            return _by_length(order, self.lengths, self.steps(batch_size), generator)
        return order.tensor_split(self.steps(batch_size))

    def ordered(self, batch_size: int, share: Callable[[int], slice] = slice) -> Iterator[Batch]:
        """The rows unchanged, for validation and test: as they stand, but for rows of unequal lengths, which come the
        shortest first. `Batch.index` says which they are. share: as in `epoch`.
        """
        order = torch.arange(len(self)) if self.lengths is None else self.lengths.argsort(stable=True)
        return _ahead(self._some, tuple(part[share(len(part))] for part in order.split(batch_size)), self.workers)

    def _gathered(self, parts: tuple[Tensor, ...]) -> Iterator[Batch]:
        """The rows of many batches at once, given out batch by batch: for small rows each gathering costs more than it
        moves.
        """
        at_once = max(1, min(GATHERED, GATHERED_BYTES // max(1, _bytes(self.inputs, len(parts[0]) if parts else 1))))
        for first in range(0, len(parts), at_once):
            some = parts[first : first + at_once]
            sizes = [len(part) for part in some]
            whole = self.at(torch.cat(some) if len(some) > 1 else some[0])
            yield from map(Batch, *(part.split(sizes) for part in whole))

    def _some(self, index: Tensor) -> Batch:
        # A share of fewer rows than processes holds none, and not all `Rows` can take none.
        return self.at(index) if len(index) else Batch(torch.empty(0), torch.empty(0), index)

    def at(self, index: Tensor) -> Batch:
        """The rows at `index`."""
        inputs, targets = (
            part.index_select(0, index) if isinstance(part, Tensor) else part.take(index)
            for part in (self.inputs, self.targets)
        )
        return Batch(inputs, targets, index)


def usable_cores() -> int:
    """Cores that this process may run on, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_ahead(asked: int | None, inputs: Tensor | Rows, augment: Augment | None) -> int:
    """How many threads fetch and augment pictures ahead: as many as `asked`; where nobody said, one if that is work
    enough and there is a core for it beside the network's.
    """
    if asked is not None:
        return asked
    light = isinstance(inputs, Tensor) and (augment is None or inputs[:1].numel() <= LIGHT)
    return int(usable_cores() > 1 and not light)


def _bytes(inputs: Any, rows: int) -> int:
    return int(inputs[:1].numel() * inputs.element_size() * rows)


def _by_length(order: Tensor, lengths: Tensor, steps: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Batches of rows of like lengths, in an order drawn anew: pools of some batches are sorted, then cut."""
    parts: list[Tensor] = []
    pools = max(1, -(-steps // POOL))
    for number, pool in enumerate(order.tensor_split(pools)):
        count = steps // pools + (number < steps % pools)
        parts += pool[lengths[pool].argsort(stable=True)].tensor_split(count)
    return tuple(parts[place] for place in torch.randperm(len(parts), generator=generator).tolist())


def _ahead(make: Callable[[Tensor], Batch], parts: tuple[Tensor, ...], workers: int) -> Iterator[Batch]:
    """`make(part)` for each part in order, by `workers` threads that run at most two batches each ahead."""
    if not workers:
        yield from map(make, parts)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="glia-loader")
    try:
        left = iter(parts)
        waiting: list[Future[Batch]] = [pool.submit(make, part) for part in islice(left, 2 * workers)]
        while waiting:
            batch = waiting.pop(0).result()
            waiting.extend(pool.submit(make, part) for part in islice(left, 1))
            yield batch
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
