"""The loop: batches in, Moments out. Everything random is a function of (seed, epoch, step), so a run can be cut
anywhere and go on from a snapshot as if nothing had happened.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from itertools import islice
from time import perf_counter
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import nn

from glia.data.batches import Batches
from glia.errors import GliaError
from glia.optim import clip as clipping
from glia.optim.average import Average
from glia.optim.bare import bare
from glia.optim.build import base_rate
from glia.optim.build import build as build_optimizer
from glia.optim.layout import guard
from glia.optim.schedules import Schedule
from glia.seed import mix
from glia.training import memory
from glia.training.best import Best, rises
from glia.training.feed import Feed, moved
from glia.training.nonfinite import NonFinite
from glia.training.numbers import Numbers
from glia.training.restore import restore
from glia.training.soundness import Sound
from glia.training.steps import Step, supervised
from glia.training.update import Progress, Update, seed_noise
from glia.training.validate import validate
from glia.training.world import World, here

Mode = Callable[[nn.Module, int], None]


class Moment(NamedTuple):
    """What the loop yields after each step and each epoch.

    loss: of the step, or the mean of the epoch. grad_norm: before clipping; NaN where it was not measured.
    waited: seconds until the step's batches were there. figures: at an epoch, train_loss, train_<metric>, valid_loss,
    valid_<metric>. best: the best weights so far.
    way: at an epoch, how its steps were made ("replayed", or why not; see `glia.replay`).
    snapshot: a call gives all that ``fit(..., start=)`` needs to go on from here; call it before the next Moment.
    """

    kind: str  # "step" or "epoch"
    epoch: int
    step: int
    loss: float
    lr: float
    grad_norm: float = math.nan
    rows: int = 0
    waited: float = 0.0
    figures: Mapping[str, float] = MappingProxyType({})
    best: bool = False
    last: bool = False  # nothing comes after it
    way: str = ""
    snapshot: Callable[[], dict[str, Any]] = dict


def fit(
    model: nn.Module,
    data: Any,
    *,
    step: Step | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    epochs: int = 1,
    batch_size: int = 32,
    lr: float | None = None,
    schedule: Schedule | None = None,
    clip: float | clipping.Clip | None = None,
    l1: float = 0.0,
    accumulate: int = 1,
    average: Average | None = None,
    monitor: str = "valid_loss",
    patience: int = 0,
    valid_every: int = 1,
    precision: str = "float32",
    products: str = "torch",
    memory_format: str = "contiguous",
    seed: int = 0,
    measure_every: int = 1,
    mode: Mode | None = None,
    start: dict[str, Any] | None = None,
    world: World | None = None,
) -> Iterator[Moment]:
    """Train `model` on `data`; yield a Moment a step and a Moment an epoch. `break` stops it.

    data: what `glia.prepare` gives, a DataLoader, a list of batches, or a (train, valid) pair of those.
    step: (model, batch) -> loss or Outcome; cross-entropy on logits when not given. optimizer: AdamW when not given.
    lr, schedule: the rate of a step is ``lr * schedule(step, valid_losses)``; without a schedule it is left alone.
    average: averaged weights, which are then the ones that are validated and kept. However it ends, the model is left
    with the best weights that validation saw. measure_every: how often the gradient's norm is measured when it is not
    clipped. precision, products, memory_format: as in `glia.training.numbers.Numbers`. clip: the limit of the
    gradient's norm, or what `glia.optim.clip.build` gives. mode: called with the model and the epoch (from 0) after
    each ``model.train()``, to freeze or thaw parts of it (`glia.training.transfer.Thawing`); what it does must follow
    from the epoch alone. Raises NonFinite when a loss or a gradient is not finite, before the weights are touched; and
    rather than keep weights that are not (best or in a snapshot). The model is then left with its best weights, or its
    first where there are none.

    Under torch.distributed (torchrun) each process takes its share of every batch, and all take the step of the mean
    over the whole batch, from process 0's first weights (docs/processes.md). world: which processes these are.
    """
    own_world, world = world is None, world or here()
    step = step or supervised("cross_entropy")
    optimizer = guard(optimizer) if optimizer else build_optimizer("adamw", model, lr=1e-3 if lr is None else lr)
    feed = Feed.of(data, batch_size)
    feed = feed.on_train() if getattr(step, "valid_on_train", False) else feed
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    metric = getattr(step, "metric", None)
    best = Best(monitor if feed.valid is not None else "train_loss", patience, higher_is_better=rises(monitor, metric))
    if not callable(clip):
        clip = clipping.build("norm", model, clip) if clip else None
    numbers = Numbers(precision, products, memory_format)
    update = Update(model, step, optimizer, schedule, average, clip, l1, numbers, seed, measure_every, device, world)
    at = Progress(base_lr=lr if lr is not None else base_rate(optimizer))
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "best": best}
    parts |= {"average": average} if average else {}
    if start is not None:
        at = restore(parts, start)

    world.same([*model.parameters(), *model.buffers(), *(average.state_dict()["weights"].values() if average else ())])
    sound = Sound(model, optimizer, average)

    def snapshot() -> dict[str, Any]:
        sound.check(at.step, at.epoch, whole=True)
        return {"progress": {**vars(at)}} | {name: bare(part.state_dict)() for name, part in parts.items()}

    in_place = device.type == "cpu" and isinstance(feed.train, Batches) and numbers.layout == torch.preserve_format
    ending = ExitStack()
    ending.enter_context(memory.held())
    ending.callback(torch.default_generator.set_state, torch.default_generator.get_state())
    if own_world:
        ending.callback(world.close)
    try:
        while at.epoch < epochs and not at.done:
            model.train()
            if mode is not None:
                mode(model, at.epoch)
            batches = feed.epoch(seed, at.epoch, at.batch, world)
            for given, waited in _timed(batches, accumulate):
                done = update(given if in_place else [moved(batch, device, numbers.layout) for batch in given], at)
                yield Moment("step", at.epoch, at.step, *done, waited=waited, snapshot=snapshot)
            figures, is_best = _seen(at, metric), False
            if (at.epoch + 1) % valid_every == 0 or at.epoch + 1 == epochs:
                world.agree(model)
                sound.check(at.step, at.epoch)
                # What validation draws must not hang on which steps this process has made: a run goes on from any.
                seed_noise(mix(seed, "valid", at.epoch), device)
                with average.applied() if average else nullcontext():
                    figures |= validate(model, feed, step, numbers, device, world)
                    is_best = best.update(figures, at.epoch, model)
                sound.forget_first(best.weights)
                at.valid_losses.append(figures.get("valid_loss", figures["train_loss"]))
            rows, at.epoch, at.batch, at.done = at.rows, at.epoch + 1, 0, best.exhausted
            at.rows, at.loss_sum, at.metric_sum = 0, 0.0, 0.0
            last = at.done or at.epoch == epochs
            yield Moment(
                "epoch", at.epoch - 1, at.step, figures["train_loss"], optimizer.param_groups[0]["lr"], rows=rows,
                figures=figures, best=is_best, last=last, way=update.way, snapshot=snapshot,
            )  # fmt: skip
    except Exception as error:
        _explain(error, feed, world)
        raise
    finally:
        best.restore(model) if best.weights else sound.restore()
        model.eval()
        ending.close()


def _seen(at: Progress, metric: Any) -> dict[str, float]:
    """Figures of the epoch that is over, on its training rows."""
    if not at.rows:
        raise GliaError("the training batches are empty")
    loss = {"train_loss": at.loss_sum / at.rows}
    return loss | ({f"train_{metric.name}": metric.finish(at.metric_sum / at.rows)} if metric else {})


def _explain(error: Exception, feed: Feed, world: World) -> None:
    """Name rows as their source does, and let the other processes know."""
    if isinstance(error, NonFinite) and isinstance(feed.train, Batches):
        error.name_rows(feed.train.rows)
    world.failed(error)


def _timed(batches: Iterator[Any], size: int) -> Iterator[tuple[list[Any], float]]:
    """The batches of each step, and the seconds that they took to come."""
    asked = perf_counter()
    while group := list(islice(batches, size)):
        yield group, perf_counter() - asked
        asked = perf_counter()
