"""Update: one optimiser step, from some batches to changed weights."""

import json
import math
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
from torch import nn

from glia.data.batches import Batch
from glia.optim.average import Average
from glia.optim.bare import bare
from glia.optim.build import set_lr
from glia.optim.clip import ByNorm, Clip, total_norm
from glia.optim.direct import Direct
from glia.optim.schedules import Schedule
from glia.replay.replay import Found, Replay
from glia.seed import mix
from glia.training.nonfinite import NonFinite, all_finite, bad_gradient, blame, locate, running_figures
from glia.training.numbers import Numbers
from glia.training.stall import beat
from glia.training.steps import Outcome, Step, unpack
from glia.training.world import Summed, World, weights_of


@dataclass
class Progress:
    """Where a run stands; with the weights and the optimiser, all that it needs to go on."""

    epoch: int = 0  # the epoch under way, from 0
    batch: int = 0  # batches of it that are done
    step: int = 0  # updates made so far
    base_lr: float = 0.0
    rows: int = 0  # rows seen in this epoch, with the sums of their loss and metric
    loss_sum: float = 0.0
    metric_sum: float = 0.0
    valid_losses: list[float] = field(default_factory=list)
    done: bool = False  # no gain for too long


class Done(NamedTuple):
    """What an update did. The gradient's norm is taken before clipping; NaN where it was not measured."""

    loss: float
    lr: float
    grad_norm: float
    rows: int


class Short(NamedTuple):
    """A small network's step without what it does not need."""

    replay: Replay
    optimizer: Direct


@dataclass(frozen=True)
class Update:
    """Everything that stays the same from step to step."""

    model: nn.Module
    step: Step
    optimizer: torch.optim.Optimizer
    schedule: Schedule | None
    average: Average | None
    clip: Clip | None
    l1: float
    numbers: Numbers
    seed: int
    measure_every: int
    device: torch.device
    world: World = field(default_factory=World)

    def __call__(self, group: list[Any], at: Progress) -> Done:
        """Forward, loss, backward for each batch of `group` (their mean counts), then one change of the weights.

        Raises NonFinite, for the loss and for gradients, before the weights are touched.
        """
        rate = at.base_lr * (self.schedule(at.step, at.valid_losses) if self.schedule else 1.0)
        if not math.isfinite(rate):
            raise NonFinite(at.step, at.epoch, rate, "no step was made with it", what="the learning rate")
        if self.schedule:
            set_lr(self.optimizer, rate)
        short = self.short if len(group) == 1 and rows_of(group[0]) else None
        if self.world.many:
            self.world.before(self.model)
        with self.numbers.step():
            seen, odd = self._backward(group, at, short)
        if self.world.many:
            seen, odd = self._together(seen, odd, at)
        if odd is not None:
            raise odd
        at.loss_sum += seen.loss * seen.rows
        at.metric_sum += seen.metric
        norm = self._clipped_norm(at.step, short)
        if not math.isfinite(norm):
            self._look_at_gradients(group, at, norm)
        # Gradients that several batches added up lie as autograd left them: that is for the optimizer's own step.
        if short is not None and short.replay.running:
            short.optimizer.step()
        else:
            bare(self.optimizer.step)()
        if self.average:
            self.average.update()
        at.step, at.batch, at.rows = at.step + 1, at.batch + len(group), at.rows + seen.rows
        return Done(seen.loss, rate, norm, seen.rows)

    def _backward(self, group: list[Any], at: Progress, short: "Short | None") -> tuple[Summed, NonFinite | None]:
        """Gradients of the mean over the rows of `group`, and what was seen; an error instead of a bad loss."""
        sizes = [rows_of(batch) for batch in group]
        total, mean, metric_sum = sum(sizes), 0.0, 0.0
        if short is None:
            self._seed(at.step)
            bare(self.optimizer.zero_grad)()
        for batch, rows in zip(group, sizes, strict=True):
            beat()
            if not rows:  # a share of a batch with fewer rows than processes
                continue
            if short is not None:
                found = short.replay(batch, partial(self._alone, batch), partial(self._seed, at.step))
            else:
                found = self._found(self.model, batch)
                (found.loss if rows == total else found.loss * (rows / total)).backward()
            value = found.loss.item()
            if not math.isfinite(value):
                where, bad = locate(self.model, partial(self._again, batch, at.step), _inputs(batch))
                odd = NonFinite(at.step, at.epoch, value, where, rows=bad, batch=_places([batch]))
                return Summed(total, 0.0, 0.0, odd=True), odd
            mean += value if rows == total else value * (rows / total)
            metric_sum += 0.0 if found.metric is None else found.metric.item()
        if self.running and not all_finite(self.running_tensors):
            name, figure = next((n, f) for n, f in self.running.items() if not f.isfinite().all())
            spoilt = f"the running figure {name}", figure[~figure.isfinite()][0].item(), "the loss was finite"
            return Summed(total, 0.0, 0.0, odd=True), self._non_finite(at, group, *spoilt)
        return Summed(total, mean, metric_sum, odd=False), None

    def _found(self, model: nn.Module, batch: Any) -> Found:
        with self.numbers.forward(self.device):
            outcome = as_outcome(self.step(model, batch))
        loss = outcome.loss + self.l1 * l1_norm(model) if self.l1 else outcome.loss
        return Found(loss, outcome.metric)

    def _alone(self, batch: Any) -> Found:
        """Loss and gradients of one batch, as the step is written."""
        bare(self.optimizer.zero_grad)()
        found = self._found(self.model, batch)
        found.loss.backward()
        return found

    @cached_property
    def short(self) -> "Short | None":
        """The short way, where the step does nothing but find a loss."""
        own = {id(p) for p in self.model.parameters()}
        others = any(id(p) not in own for group in self.optimizer.param_groups for p in group["params"])
        if self.world.many or others or self.device.type != "cpu" or not getattr(self.step, "pure", False):
            return None
        return Short(Replay(self._found, self.model), Direct(self.optimizer))

    @property
    def way(self) -> str:
        """How steps are made, in words; "" where nothing else than as they are written was tried."""
        if self.short is None:
            return ""
        return "replayed" if self.short.replay.running else self.short.replay.why

    @cached_property
    def parameters(self) -> list[nn.Parameter]:
        return list(self.model.parameters())

    @cached_property
    def running(self) -> dict[str, torch.Tensor]:
        """Batch norm's figures, which a step may spoil while its loss is fine."""
        return running_figures(self.model)

    @cached_property
    def running_tensors(self) -> list[torch.Tensor]:
        return list(self.running.values())

    def _together(self, seen: Summed, odd: NonFinite | None, at: Progress) -> tuple[Summed, NonFinite | None]:
        """The same of all processes; all end with the same error where one has one."""
        seen = self.world.combine(self.model, weights_of(self.model, self.optimizer), seen)
        if not seen.odd:
            return seen, None
        return seen, self._agreed(odd, at)

    def _agreed(self, odd: NonFinite | None, at: Progress) -> NonFinite:
        """One error of all processes, the first that names rows or else the first; all call this once one has one."""
        lines = self.world.lines("" if odd is None else _told(odd))
        told = {rank: json.loads(line) for rank, line in enumerate(lines) if line}
        rank = next((rank for rank, said in told.items() if said["places"]), min(told))
        said = told[rank]
        places, own = said["places"], said["places"] or len(told) < self.world.size
        where = f"{said['where']} (process {rank})" if own else said["where"]
        value = float(said["value"])
        return NonFinite(at.step, at.epoch, value, where, what=said["what"], rows=range(len(places)), batch=places)

    def _seed(self, step: int) -> None:
        seed_noise(self._noise(step), self.device)

    def _noise(self, step: int) -> int:
        """Dropout at step t is a function of (seed, t), whatever was drawn before; and of the process."""
        return mix(self.seed, "step", step, *((self.world.rank,) if self.world.many else ()))

    def _clipped_norm(self, step: int, short: "Short | None") -> float:
        if self.clip is not None:
            beside = short.replay.beside if short is not None else None
            if beside is not None and isinstance(self.clip, ByNorm):
                return self.clip.beside(beside).item()
            return self.clip().item()
        grads = [p.grad for p in self.parameters if p.grad is not None]
        if step % self.measure_every:
            return math.nan if all_finite(grads) else math.inf
        return total_norm(grads).item()

    def _look_at_gradients(self, group: list[Any], at: Progress, norm: float) -> None:
        """A norm that was not measured is NaN too, and clipping by value may have mended an infinity."""
        if self.clip is None and at.step % self.measure_every and math.isnan(norm):
            return
        bad = bad_gradient(self.model)
        if bad is None:
            return
        odd = self._non_finite(at, group, *bad)
        # The sum is the same in all processes, so all are here; whose rows spoilt it only one of them may know.
        raise self._agreed(odd, at) if self.world.many else odd

    def _non_finite(self, at: Progress, group: list[Any], what: str, value: float, where: str) -> NonFinite:
        said, rows = blame([_inputs(batch) for batch in group])
        where = f"{where}; {said}" if said else where
        return NonFinite(at.step, at.epoch, value, where, what=what, rows=rows, batch=_places(group))

    def _again(self, batch: Any, step: int) -> None:
        """The forward pass of this very step, with the noise that it had."""
        self._seed(step)
        with self.numbers.step(), self.numbers.forward(self.device):
            self.step(self.model, batch)


def as_outcome(found: Outcome | torch.Tensor) -> Outcome:
    """A step may return a bare loss."""
    return found if isinstance(found, Outcome) else Outcome(found)


def l1_norm(model: nn.Module) -> torch.Tensor:
    """Sum of the absolute weights (not biases, not norms: they have one dimension)."""
    return torch.stack([p.abs().sum() for p in model.parameters() if p.requires_grad and p.ndim > 1]).sum()


def seed_noise(seed: int, device: torch.device) -> None:
    """Set the generators that dropout draws from; the CPU's own is much cheaper to set than `torch.manual_seed`."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _inputs(batch: Any) -> tuple[Any, ...]:
    """A bare tensor is a step of one's own: texts, pictures to imitate."""
    return (batch,) if isinstance(batch, torch.Tensor) else unpack(batch).args


def _places(group: list[Any]) -> list[int]:
    """Where the rows of some batches stand among the training rows; empty for batches that do not say."""
    return [place for batch in group if isinstance(batch, Batch) for place in batch.index.tolist()]


def _told(odd: NonFinite) -> str:
    """What the other processes need of an error, in few bytes."""
    places = [odd.batch[row] for row in odd.rows[:20]] if odd.batch else []
    return json.dumps({"what": odd.what[:100], "value": str(odd.value), "where": odd.where[:250], "places": places})


def rows_of(batch: Any) -> int:
    """Rows of any batch."""
    if isinstance(batch, Batch):
        return batch.index.shape[0]  # its length, without the call of Python's that a tensor's length is
    targets = unpack(batch).targets if not isinstance(batch, torch.Tensor) else batch
    return len(targets) if getattr(targets, "ndim", 0) else 1
