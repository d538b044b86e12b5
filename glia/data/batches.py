"""Batches: rows in memory (or behind `take`), in an order that is a function of (seed, epoch) alone."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from glia.seed import mix

Augment = Callable[[Tensor, Tensor, int, int, Tensor], tuple[Tensor, Tensor]]
"""(inputs, targets, seed, epoch, index) -> inputs, targets; a pure function, so any worker may run it."""


class Batch(NamedTuple):
    """Some rows. `index` says where they stand in their `Batches`, 0 .. len - 1."""

    inputs: Tensor
    targets: Tensor
    index: Tensor  # type: ignore[assignment]  # a field of that name, not the search of a tuple


class Rows(Protocol):
    """Inputs that do not fit in memory: anything with a length that can fetch rows by index."""

    def __len__(self) -> int: ...

    def take(self, index: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Batches:
    """Inputs with their targets.

    inputs: (N, ...) tensor, or a `Rows`. targets: (N,) class indices, or (N, targets) float.
    rows: (N,) number of each row in its source, so that a person can find it again.
    augment: changes training batches only; `ordered` never calls it.
    workers: threads that fetch and augment ahead. Any number gives the same batches.
    """

    inputs: Tensor | Rows
    targets: Tensor
    rows: Tensor
    augment: Augment | None = None
    workers: int = 0

    def __len__(self) -> int:
        return len(self.inputs)

    def steps(self, batch_size: int) -> int:
        """Batches in an epoch."""
        return -(-len(self) // batch_size)

    def epoch(self, seed: int, epoch: int, batch_size: int, start: int = 0) -> Iterator[Batch]:
        """The shuffled batches of one epoch, from batch `start` on.

        Rows are cut into `steps(batch_size)` parts whose sizes differ by at most one, so that no batch is tiny.
        """
        generator = torch.Generator().manual_seed(mix(seed, "order", epoch))
        order = torch.randperm(len(self), generator=generator)
        parts = order.tensor_split(self.steps(batch_size))[start:]

        def make(index: Tensor) -> Batch:
            batch = self.at(index)
            if self.augment is None:
                return batch
            inputs, targets = self.augment(batch.inputs, batch.targets, seed, epoch, index)
            return Batch(inputs, targets, index)

        return _ahead(make, parts, self.workers)

    def ordered(self, batch_size: int) -> Iterator[Batch]:
        """The rows as they stand, unchanged: for validation and test."""
        return _ahead(self.at, torch.arange(len(self)).split(batch_size), self.workers)

    def at(self, index: Tensor) -> Batch:
        """The rows at `index`."""
        inputs = self.inputs.index_select(0, index) if isinstance(self.inputs, Tensor) else self.inputs.take(index)
        return Batch(inputs, self.targets.index_select(0, index), index)


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
