"""Feed: any source of batches, ours or a stranger's, in an order that is a function of (seed, epoch)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DistributedSampler

from glia.data.batches import Batches
from glia.errors import GliaError
from glia.nn.layout import channels_last
from glia.seed import mix
from glia.training.steps import unpack
from glia.training.update import rows_of
from glia.training.world import World


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

    def epoch(self, seed: int, epoch: int, start: int = 0, world: World | None = None) -> Iterator[Any]:
        """Training batches of one epoch, from batch `start` on; of each, this process's share."""
        world = world or World()
        if isinstance(self.train, Batches):
            return self.train.epoch(seed, epoch, self.batch_size, start, world.part if world.many else slice)
        # A DataLoader without a generator of its own draws its order from torch's global one.
        torch.default_generator.manual_seed(mix(seed, "order", epoch))
        sampler: Any = getattr(self.train, "sampler", None)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
        own = getattr(self.train, "generator", None)
        if isinstance(own, torch.Generator):
            own.manual_seed(mix(seed, "order", epoch))
        return _shares(self.train, islice(iter(self.train), start, None), world)

    def check(self, world: World | None = None) -> Iterator[Any]:
        """Validation batches, in order and unchanged; of each, this process's share."""
        world = world or World()
        if self.valid is None:
            return iter(())
        if isinstance(self.valid, Batches):
            return self.valid.ordered(4 * self.batch_size, world.part)
        return _shares(self.valid, iter(self.valid), world)

    def on_train(self) -> "Feed":
        """The same feed, validated on its own training rows (for steps that keep rows apart by themselves)."""
        return Feed(self.train, self.train, self.batch_size)


def _shares(source: Any, batches: Iterator[Any], world: World) -> Iterator[Any]:
    """This process's share of each batch of a stranger's. A loader with a DistributedSampler has divided already."""
    samplers = (getattr(source, "sampler", None), getattr(getattr(source, "batch_sampler", None), "sampler", None))
    if not world.many or any(isinstance(sampler, DistributedSampler) for sampler in samplers):
        yield from batches
        return
    first = next(batches, None)
    facts = world.gather(_facts(source, first))
    if any(fact != facts[0] for fact in facts):
        raise GliaError(
            "the first batch is not the same in all processes", expected="batches that glia can divide among them",
            hint="the same data in each, or a DataLoader with a DistributedSampler",
        )  # fmt: skip
    for batch in () if first is None else chain([first], batches):
        yield sliced(batch, rows_of(batch), world.part(rows_of(batch)))


def _facts(source: Any, batch: Any) -> list[float]:
    """Few numbers that tell whether two processes were given the same: batches, rows of the first, its answers."""
    if batch is None:
        return [0.0, 0.0, 0.0]
    targets = batch if isinstance(batch, Tensor) else unpack(batch).targets
    answers = float(targets.double().sum().nan_to_num()) if isinstance(targets, Tensor) else 0.0
    return [float(len(source)) if hasattr(source, "__len__") else -1.0, float(rows_of(batch)), answers]


def sliced(value: Any, rows: int, part: slice) -> Any:
    """Some rows of a batch of `rows`, its shape kept. Raises GliaError for a tensor that does not have a row each."""
    if isinstance(value, Tensor) and value.ndim:
        if len(value) != rows:
            raise GliaError(
                "a batch that processes can divide", got=f"a tensor {tuple(value.shape)} in it",
                expected=f"{rows} rows in each", hint="a DataLoader with a DistributedSampler",
            )  # fmt: skip
        return value[part]
    if isinstance(value, Mapping):
        return {key: sliced(one, rows, part) for key, one in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(sliced(one, rows, part) for one in value))
    if isinstance(value, list | tuple):
        plain = len(value) == rows and not any(isinstance(one, Tensor | Mapping | list | tuple) for one in value)
        return value[part] if plain else type(value)(sliced(one, rows, part) for one in value)
    return value


def moved(batch: Any, device: torch.device, layout: torch.memory_format = torch.preserve_format) -> Any:
    """The batch with every tensor on `device`, its shape kept. layout: how floats of four dimensions are to lie."""
    if isinstance(batch, Tensor):
        batch = batch.to(device, non_blocking=True)
        return channels_last(batch) if layout == torch.channels_last and _has_pictures(batch) else batch
    if isinstance(batch, Mapping):
        return {key: moved(value, device, layout) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(moved(value, device, layout) for value in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(moved(value, device, layout) for value in batch)
    return batch


def folds_pictures(model: nn.Module, batch: Any) -> bool:
    """Has it convolutions, and the batch pictures that they may meet in the order in which they lie: floats?"""
    return _has_pictures(batch) and any(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for m in model.modules())


def _has_pictures(batch: Any) -> bool:
    if isinstance(batch, Tensor):
        return batch.ndim == 4 and batch.is_floating_point()
    if isinstance(batch, Mapping | list | tuple):
        return any(map(_has_pictures, batch.values() if isinstance(batch, Mapping) else batch))
    return False
