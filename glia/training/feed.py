"""Feed: any source of batches, ours or a stranger's, in an order that is a function of (seed, epoch)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from glia.data.batches import Batches
from glia.errors import GliaError
from glia.seed import mix


@dataclass(frozen=True)
class Feed:
    """Training and validation batches: `Batches` of ours, or any iterable of batches (DataLoader, list)."""

    train: Batches | Iterable[Any]
    valid: Batches | Iterable[Any] | None
    batch_size: int

    @classmethod
    def of(cls, data: Any, batch_size: int) -> "Feed":
        """From a Prepared, a Batches, a DataLoader, a list of batches, or a (train, valid) pair of those."""
        if hasattr(data, "train") and hasattr(data, "valid"):
            train, valid = data.train, data.valid
        elif isinstance(data, tuple) and len(data) == 2 and not any(isinstance(part, Tensor) for part in data):
            train, valid = data
        else:
            train, valid = data, None
        for part in (train, valid):
            if part is not None and not isinstance(part, Batches) and iter(part) is part:
                raise GliaError("batches from a generator can be read once only", hint="a list, or a DataLoader")
        return cls(train, valid, batch_size)

    def steps(self) -> int | None:
        """Batches in an epoch, or None when the source does not say."""
        if isinstance(self.train, Batches):
            return self.train.steps(self.batch_size)
        try:
            return len(self.train)  # type: ignore[arg-type]
        except TypeError:
            return None

    def epoch(self, seed: int, epoch: int, start: int = 0) -> Iterator[Any]:
        """Training batches of one epoch, from batch `start` on."""
        if isinstance(self.train, Batches):
            return self.train.epoch(seed, epoch, self.batch_size, start)
        # A DataLoader without a generator of its own draws its order from torch's global one.
        torch.default_generator.manual_seed(mix(seed, "order", epoch))
        sampler: Any = getattr(self.train, "sampler", None)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
        own = getattr(self.train, "generator", None)
        if isinstance(own, torch.Generator):
            own.manual_seed(mix(seed, "order", epoch))
        return islice(iter(self.train), start, None)

    def check(self) -> Iterator[Any]:
        """Validation batches, in order and unchanged."""
        if self.valid is None:
            return iter(())
        return self.valid.ordered(4 * self.batch_size) if isinstance(self.valid, Batches) else iter(self.valid)

    def on_train(self) -> "Feed":
        """The same feed, validated on its own training rows (for steps that keep rows apart by themselves)."""
        return Feed(self.train, self.train, self.batch_size)


def moved(batch: Any, device: torch.device) -> Any:
    """The batch with every tensor on `device`, its shape kept."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: moved(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(moved(value, device) for value in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(moved(value, device) for value in batch)
    return batch
