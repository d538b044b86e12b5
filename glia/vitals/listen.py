"""Listening: any PyTorch loop, watched through torch's global hooks while a block runs.

What it costs: two hooks on the optimiser and one look at each loss, always; hooks on every module only at measured
steps. Gradients are read where the optimiser finds them, for a global backward hook costs half a step again. Nothing
is drawn and nothing is changed, so the loop computes bit for bit what it would have computed alone.
"""

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from glia.vitals.birth import birth
from glia.vitals.calls import Calls
from glia.vitals.capture import Capturer
from glia.vitals.chart import BatchFacts, BirthFacts, Chart, LoopFacts, OptimizerFacts, StepVitals
from glia.vitals.clock import Clock, clock
from glia.vitals.keras import keras_steps
from glia.vitals.layers import Layers
from glia.vitals.measure import LossReading, norm, read_loss, scalars
from glia.vitals.observe import complete
from glia.vitals.overhear import overheard
from glia.vitals.places import Places

FIRST_STEPS = 12  # measured whatever that costs; then steps 40, 80, 160 ..., and what the budget allows
BUDGET = 0.01  # share of the time
MOST_LINES = 4000  # steps that the chart keeps
MOST_MEASURED = 64  # measured steps that it keeps
MOST_LOSSES = 8  # kinds of loss graph
READ_EVERY = 64  # steps whose losses are read together
TURN, MOST_TURNS = 20, 8  # steps after which a new model is a new training; trainings whose rows are kept


class Enough(BaseException):
    """Raised in the loop to end it early. Not an Exception: no script should catch it."""


class Listener:
    """The hooks, the rhythm of measuring, and the chart that they fill."""

    def __init__(self, chart: Chart, capture: bool, *, turns: bool = False):
        self.thread, self.capture, self.turns = threading.get_ident(), capture, turns
        self.calls = Calls(self.on_enter, self.on_leave)
        self.over: list[tuple[Chart, Capturer | None, list[nn.Module]]] = []  # trainings that another one followed
        self.seen: set[int] = set()  # outermost modules
        self.weights: set[int] = set()  # their parameters
        self.places: Places | None = None
        self.clock: Clock | None = None
        self.look: Callable[[], None] = lambda: None  # for optimisers that are not torch's
        self.enough: Callable[[int], bool] | None = None  # ends the run when it says so of a number of steps
        self.steps_before = 0
        self._begin(chart)

    def _begin(self, chart: Chart) -> None:
        """Of one training."""
        self.chart, self.models = chart, Layers()
        self.capturer = Capturer() if self.capture and len(self.over) < MOST_TURNS else None
        self.began = perf_counter()
        self.spent, self.step, self.next_sure, self.stride = 0.0, 0, 2 * FIRST_STEPS, 1
        self.within = 0  # calls of an optimiser's step that have begun
        self.muted = self.measuring = self.captured_all = False
        self.root: nn.Module | None = None  # the outermost module that is running
        self.graded = False  # it was called with gradients
        self.optimizers: list[Optimizer] = []
        self.made_count = 0
        self.fresh: Optimizer | None = None  # made since the training began
        self.idle: list[Optimizer] = []  # made, and none has stepped yet
        self.optimized: set[int] = set()
        self.uncleared: set[int] = set()  # optimisers (index) whose gradients are still those of their last step
        self.losses: list[Tensor] = []  # of the backward passes since the last step
        self.waiting: list[tuple[int, float, float, int, int, bool | None]] = []  # steps whose losses are `unread`
        self.unread: list[Tensor] = []
        self.readings: dict[tuple[str, ...], LossReading] = {}
        self.grad_norm = math.nan
        self.modes: Counter[bool] = Counter()  # train() or not, at measured steps
        self.cleared_late: Counter[tuple[int, bool]] = (
            Counter()
        )  # by optimiser: gradients cleared between backward and step, at a measured step
        self.cleared_after: set[int] = set()  # parameters, since the last backward pass
        self.clip = math.nan
        self.birth: BirthFacts | None = None
        self.last_call: tuple[nn.Module, Any, Any] | None = None

    def _turn(self, module: nn.Module) -> None:
        """Is it the next training of the script? A model that shares nothing with those that were trained so far, or
        an optimiser of other parameters than any that stepped.
        """
        self.seen.add(id(module))
        own = {id(p) for p in module.parameters()}
        fresh, self.fresh = self.fresh, None
        other = fresh is not None and all(_ids(fresh) != _ids(known) for known in self.optimizers)
        if self.step >= TURN and (other or own.isdisjoint(self.weights)):
            self._next_training()
        self.weights |= own

    def _next_training(self) -> None:
        if self.capturer is not None:
            self.capturer.pause()
        self.guarded(self.finish)
        self.over.append((self.chart, self.capturer, self.models.roots))
        made = max(0, self.made_count - len(self.optimizers))
        self.steps_before += self.step
        self._begin(Chart())
        self.made_count = made
        self._measure_next(True)

    # Hooks. Each is guarded: whatever goes wrong here must not reach the loop that is listened to.

    def on_enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if threading.get_ident() != self.thread:
            return
        if self.root is None:
            if next(module.parameters(), None) is None:
                return
            if self.turns and torch.is_grad_enabled() and (self.fresh is not None or id(module) not in self.seen):
                self._turn(module)
            self.root, self.calls.inside = module, True
            self.captured(Capturer.enter, module, args, kwargs)
            self.graded = torch.is_grad_enabled()
            if self.measuring and self.graded:
                self.modes[module.training] += 1
                self.guarded(self.models.enter, module, (*args, *kwargs.values()))
            if torch.is_grad_enabled():
                self.last_call = (module, args, kwargs)

    def on_leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if self.root is None or threading.get_ident() != self.thread:
            return
        if self.measuring and output is not None and self.graded:
            self.guarded(self.models.leave, module, (*args, *kwargs.values()), output)
        if module is self.root:
            self.root = self.models.running = None
            self.calls.inside = False
            self.captured(Capturer.leave, module, args, kwargs, output)

    def on_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if threading.get_ident() != self.thread:
            return
        self.within += 1
        if self.within > 1:  # torch hooks the step of a class and that of its parent, which the first may call
            return
        closure = (len(args) > 1 and args[1] is not None) or kwargs.get("closure") is not None
        if self.turns and self.step >= TURN and self._of_others(optimizer):
            self._next_training()  # its first forward pass was not watched; the rows are kept from the second on
        elif self.capturer is not None and self.capturer.busy:
            self.captured(Capturer.step, optimizer, closure)
        if self.measuring or optimizer not in self.optimizers:
            self.guarded(self._before_step, optimizer, closure)

    def _of_others(self, optimizer: Optimizer) -> bool:
        """Does an optimiser step for the first time, over nothing that any module seen so far has?"""
        if optimizer in self.optimizers or threading.get_ident() != self.thread:
            return False
        return _ids(optimizer).isdisjoint(self.weights)

    def on_stepped(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if threading.get_ident() != self.thread:
            return
        self.within = max(0, self.within - 1)
        if self.within:
            return
        self.guarded(self._after_step, optimizer)
        if self.clock is not None:
            self.clock.held = self.capturer.bytes + self.capturer.held_bytes if self.capturer is not None else 0
            self.clock.step()
        if self.enough is not None and self.enough(self.steps_before + self.step):
            raise Enough

    def backward(self, tensors: Any) -> None:
        self.within = 0  # a step that ended in an error, or one with a closure, which is counted where it ends
        self.look()
        loss = tensors if isinstance(tensors, Tensor) else next(iter(tensors), None)
        if isinstance(loss, Tensor) and self.capturer is not None and self.capturer.busy:
            self.captured(Capturer.backward, loss)
        self.guarded(self._backward, loss)

    def loader(self, loader: Any) -> None:
        if self.places is not None and torch.is_grad_enabled():
            self.chart.places.setdefault("loader", self.places.of(loader))
        self.captured(Capturer.loader_began, loader)

    def fetching(self) -> None:
        if self.capturer is not None and self.capturer.pending is not None:
            self.captured(Capturer.fetching)

    def batch(self, batch: Any) -> None:
        if self.capturer is not None and threading.get_ident() == self.thread:
            self.capturer.batch = None if self.captured_all else batch

    def evaluating(self) -> None:
        """Gradients are turned off, or a model is put into eval(): what is called now may be held-out rows."""
        if self.capturer is not None and not self.captured_all and threading.get_ident() == self.thread:
            self.calls.switch(on=True)

    def made(self, optimizer: Optimizer) -> None:
        self.made_count += 1
        self.fresh = optimizer if self.step >= TURN else None
        if self.fresh is not None and self.turns:
            self.calls.switch(on=True)  # so that its model is seen before it has trained
        if not self.step and len(self.idle) < 4:
            self.idle.append(optimizer)  # until one of them steps

    def clipped(self, most: float) -> None:
        self.clip = most

    def cleared(self, owner: Any) -> None:
        if self.losses and self.measuring:
            own = _parameters(owner) if isinstance(owner, Optimizer) else owner.parameters()
            self.cleared_after |= {id(p) for p in own}

    def scaled(self, loss: Any) -> None:
        if self.capturer is not None and isinstance(loss, Tensor):
            self.capturer.scaled = loss

    def guarded(self, work: Callable[..., None], *args: Any) -> None:
        """Do it on the listener's own thread and count the time; if it fails, listen no more."""
        if self.muted or threading.get_ident() != self.thread:
            return
        start = perf_counter()
        try:
            if self.measuring:
                with torch.no_grad():
                    work(*args)
            else:
                work(*args)
        except Exception as error:
            self.muted = True
            self.chart.notes.append(f"listening ended at step {self.step}: {type(error).__name__}: {error}")
        self.spent += perf_counter() - start

    def captured(self, work: Callable[..., None], *args: Any) -> None:
        """Let the capturer know; if it fails, it captures no more, and nothing can be tried afterwards."""
        capturer = self.capturer
        if capturer is None or self.captured_all or threading.get_ident() != self.thread:
            return
        if capturer.done:
            self.captured_all = True
            return
        try:
            work(capturer, *args)
        except Exception as error:
            capturer.capture.broken = f"{type(error).__name__}: {error}"
            capturer.pause()
            self.calls.switch(on=self.measuring)

    def _backward(self, loss: Any) -> None:
        self.chart.backwards += 1
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            return
        self.losses.append(loss.detach())
        self.cleared_after = set()
        if self.places is not None and "backward" not in self.chart.places:
            self.chart.places["backward"] = self.places.here()
        if loss.is_cpu and self.birth is None and not math.isfinite(loss.item()):
            self._born(self.step, loss)
        if not self.measuring:
            return
        for index in list(self.uncleared):
            held = norm(p.grad for p in _parameters(self.optimizers[index]) if p.grad is not None)
            if not held > 0:  # NaN when there are none
                self.uncleared.discard(index)
        self._read(loss)

    def _born(self, step: int, loss: Tensor) -> None:
        """Make the last forward pass again, to see where its numbers ended; that pass is not to be heard."""
        self.root = self.last_call[0] if self.last_call else None
        self.birth = birth(step, self.last_call, loss)
        self.root = None

    def _read(self, loss: Tensor) -> None:
        try:
            reading, targets = read_loss(loss, self.step)
        except RuntimeError as error:  # autograd refuses to show saved tensors that were changed in place
            if not self.chart.notes:
                self.chart.notes.append(f"a loss could not be read: {error}")
            return
        key = (reading.facts["kind"], *reading.facts["path"], "|", *reading.facts["before"])
        if key in self.readings or len(self.readings) < MOST_LOSSES:
            self.readings.setdefault(key, reading).see(targets)

    def _before_step(self, optimizer: Optimizer, closure: bool) -> None:
        if optimizer not in self.optimizers:
            earlier = set[int]().union(*(_ids(one) for one in self.optimizers))
            self.optimizers.append(optimizer)
            shared = len(_ids(optimizer) & earlier)
            self.chart.optimizers.append(replace(_facts(optimizer), shared=shared))
            if self.places is not None:
                self.chart.places.setdefault("optimizer", self.places.of(optimizer))
        if not self.measuring:
            return
        theirs = _parameters(optimizer)
        self.optimized |= {id(p) for p in theirs}
        self.grad_norm = norm(p.grad for p in theirs if p.grad is not None)
        if not closure:  # a closure brings the gradients within the step
            index = self.optimizers.index(optimizer)
            cleared = bool(theirs) and id(theirs[0]) in self.cleared_after
            self.cleared_late[index, cleared] += bool(self.losses)
            self.models.before_step({id(p) for p in theirs})

    def _after_step(self, optimizer: Optimizer) -> None:
        index = self.optimizers.index(optimizer)
        if self.step % self.stride == 0:
            carried = index in self.uncleared if self.measuring and self.step else None
            lr, backwards = float(optimizer.param_groups[0]["lr"]), len(self.losses)
            self.waiting.append((self.step, lr, self.grad_norm, index, backwards, carried))
            self.unread += self.losses
        if self.measuring or len(self.waiting) >= READ_EVERY:
            self._write_steps()
        if self.measuring:
            self.chart.layers.extend(self.models.layers(self.step))
            if self.models.batch is not None:
                self.chart.batches.append(BatchFacts(self.step, *self.models.batch))
            self.models.clear()
        self.losses = []
        self.uncleared.add(index)
        self.grad_norm = math.nan
        self.step += 1
        self.idle = []
        self._bound()
        self._measure_next(self._due())

    def _write_steps(self) -> None:
        """Read the losses that wait, all at once: on a GPU each reading waits for all that was asked of it before."""
        values = iter(scalars(self.unread))
        for step, lr, grad_norm, index, backwards, carried in self.waiting:
            loss = sum(islice(values, backwards)) / backwards if backwards else math.nan
            self.chart.steps.append(StepVitals(step, loss, lr, grad_norm, None, index, backwards, carried))
            if backwards and self.birth is None and not math.isfinite(loss):
                self._born(step, self.unread[0])  # on a GPU, where the losses are read late
        self.waiting, self.unread = [], []

    def _due(self) -> bool:
        if self.step >= self.next_sure:
            self.next_sure *= 2
            return True
        return self.step < FIRST_STEPS or self.spent < BUDGET * (perf_counter() - self.began)

    def _bound(self) -> None:
        """Drop every second line of what has grown too long; the first ones and the last one stay."""
        chart = self.chart
        if len(chart.steps) > MOST_LINES:
            chart.steps[FIRST_STEPS:] = chart.steps[FIRST_STEPS::2]
            self.stride *= 2
        if not self.measuring:
            return
        measured = sorted({batch.step for batch in chart.batches} | {layer.step for layer in chart.layers})
        if len(measured) > MOST_MEASURED:
            dropped = set(measured[1:-1:2])
            chart.batches[:] = [batch for batch in chart.batches if batch.step not in dropped]
            chart.layers[:] = [layer for layer in chart.layers if layer.step not in dropped]

    def _measure_next(self, wanted: bool) -> None:
        """Calls of modules are watched at measured steps, and while rows are captured: even idle watching costs. After
        the first epoch these can only be held-out rows, and `evaluating` says when.
        """
        self.measuring = self.calls.deep = wanted
        self.calls.switch(on=wanted or (self.capturer is not None and self.capturer.training))

    def finish(self) -> None:
        """What is only known at the end."""
        self._write_steps()
        self.chart.losses.extend(reading.done() for reading in self.readings.values())
        self.chart.models.extend(self.models.facts(self.optimized))
        self.chart.birth = self.birth
        if self.clock is not None:
            self.chart.clock = self.clock.facts()
        if self.places is not None:
            for root in self.models.roots:
                for module in root.modules():
                    self.chart.places.setdefault(self.models.paths[id(module)], self.places.of(module))
        if not self.optimizers and self.capturer is not None:
            self.capturer.unstepped(self.idle)
        self.chart.loop = LoopFacts(
            steps=self.step,
            training_mode=_share(self.modes),
            switches=any(_switches(root) for root in self.models.roots),
            cleared_late=max((_cleared(self.cleared_late, i) for i in range(len(self.optimizers))), default=math.nan),
            clip=self.clip,
            unused_optimizers=max(0, self.made_count - len(self.optimizers)),
        )


@contextmanager
def listen(capture: bool = True) -> Iterator[Chart]:
    """Watch the training loop inside the block, whoever wrote it.

    The chart fills as the loop goes on (losses some steps late) and is complete at the end of the block. capture: keep
    a copy of the model and of some batches too, so that `glia.examine` can try cures (at most 0.5 GB; see capture.py).
    Example: ``with glia.listen() as chart: my_own_loop()``, then ``glia.examine(chart)``.
    """
    with listening(Listener(Chart(), capture)) as listener:
        yield listener.chart


@contextmanager
def listening(listener: Listener) -> Iterator[Listener]:
    """Put a listener's hooks in place; complete its charts at the end."""
    with ExitStack() as watching:
        watching.callback(listener.guarded, listener.finish)
        listener.clock = watching.enter_context(clock())
        for handle in (
            register_optimizer_step_pre_hook(listener.on_step),
            register_optimizer_step_post_hook(listener.on_stepped),
        ):
            watching.callback(handle.remove)
        watching.callback(listener.calls.switch, on=False)
        watching.enter_context(overheard(listener))
        listener.look = watching.enter_context(keras_steps(listener.on_step, listener.on_stepped))
        listener._measure_next(True)
        try:
            yield listener
        finally:
            if listener.capturer is not None:
                listener.capturer.pause()
    for chart, capturer, roots in [*listener.over, (listener.chart, listener.capturer, listener.models.roots)]:
        if capturer is not None:
            complete(chart, capturer, roots)


def _share(counts: Counter[bool]) -> float:
    """Of those that are true; NaN without any."""
    return counts[True] / counts.total() if counts.total() else math.nan


def _cleared(counts: Counter[tuple[int, bool]], index: int) -> float:
    """Share of an optimiser's measured steps before which its gradients were cleared."""
    return counts[index, True] / max(1, counts[index, True] + counts[index, False])


def _switches(model: nn.Module) -> bool:
    """Does it answer differently in train() and in eval()?"""
    return any(
        (isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0) or isinstance(m, nn.modules.batchnorm._BatchNorm)
        for m in model.modules()
    )


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _ids(optimizer: Optimizer) -> set[int]:
    return {id(p) for p in _parameters(optimizer)}


def _facts(optimizer: Optimizer) -> OptimizerFacts:
    numbers = {k: float(v) for k, v in optimizer.param_groups[0].items() if type(v) in (int, float)}
    betas = optimizer.param_groups[0].get("betas")
    if isinstance(betas, tuple) and len(betas) == 2:
        numbers |= {"beta1": float(betas[0]), "beta2": float(betas[1])}
    size = sum(p.numel() for p in _parameters(optimizer))
    return OptimizerFacts(type(optimizer).__name__, numbers, len(optimizer.param_groups), size)
