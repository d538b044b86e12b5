"""Listening: any PyTorch loop, watched through torch's global hooks while a block runs.

What it costs: two hooks on the optimiser and one look at each loss, always; hooks on every module only at measured
steps. Gradients are read where the optimiser finds them, for a global backward hook costs half a step again. Nothing
is drawn and nothing is changed, so the loop computes bit for bit what it would have computed alone.
"""

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from glia.vitals.chart import (
    BatchFacts,
    Chart,
    LayerVitals,
    ModelFacts,
    OptimizerFacts,
    ParameterFacts,
    Spread,
    StepVitals,
)
from glia.vitals.measure import LossReading, described, first_tensor, norm, read_loss, sample, scalars, spread

FIRST_STEPS = 20  # measured whatever that costs; then steps 40, 80, 160 ..., and what the budget allows
BUDGET = 0.02  # share of the time
MOST_LINES = 4000  # steps that the chart keeps
MOST_MEASURED = 64  # measured steps that it keeps
MOST_LAYERS = 256  # modules measured at a step
MOST_MODELS = 16  # outermost modules told apart
MOST_FORWARDS = 8  # forward passes measured at a step
MOST_LOSSES = 8  # kinds of loss graph
READ_EVERY = 64  # steps whose losses are read together
WEIGHT_SAMPLE = 2**14  # numbers of a parameter that are compared before and after a step
_WRAPPERS = ("_orig_mod.", "module.")  # put before a path by torch.compile, DDP


class Models:
    """The outermost modules seen, and what their modules answered on the way to the next step."""

    def __init__(self) -> None:
        self.roots: list[nn.Module] = []
        self.paths: dict[int, str] = {}  # of every module in them, by id; `roots` keeps the ids valid
        self.known: set[int] = set()  # parameters in them
        self.called: set[int] = set()
        self.graded: Counter[int] = Counter()
        self.measured = 0
        self.clear()

    def clear(self) -> None:
        """A step is over."""
        self.running: nn.Module | None = None
        self.entrance: nn.Module | None = None  # the first outermost module of the step: its input is the batch
        self.forwards = 0
        self.answers: dict[int, tuple[nn.Module, Spread, Spread]] = {}
        self.batch: tuple[tuple[int, ...], str, Spread] | None = None
        self.before: dict[int, Tensor] = {}
        self.grad_norms: dict[int, float] = {}

    def enter(self, module: nn.Module, given: Any) -> None:
        """A forward pass begins: is it an outermost one? What is kept of each is the last one before a step."""
        if self.running is not None or next(module.parameters(), None) is None:
            return
        own = {id(p) for p in module.parameters()}
        if not own <= self.known and len(self.roots) < MOST_MODELS:
            self.roots.append(module)
            self.known |= own
            self.paths |= {id(inner): _path(name) for name, inner in module.named_modules()}
        self.running = module
        self.forwards += 1
        if self.forwards > MOST_FORWARDS:
            return
        for inner in module.modules():
            self.answers.pop(id(inner), None)
        self.entrance = self.entrance or module
        if self.entrance is module:
            self.batch = described(given)

    def leave(self, module: nn.Module, given: Any, output: Any) -> None:
        """A module of a running model answered; what it was given is measured where it has weights."""
        if self.running is None:
            return
        if module is self.running:
            self.running = None
            self.batch = self.batch or described(given)  # the hook before it was not shown keyword arguments
        if id(module) not in self.paths:
            return
        self.called.add(id(module))
        own = _own(module)
        plain_leaf = next(module.children(), None) is None
        full = id(module) in self.answers or len(self.answers) >= MOST_LAYERS or self.forwards > MOST_FORWARDS
        out, x = first_tensor(output), first_tensor(given)
        if full or out is None or not (own or plain_leaf):
            return
        taken = spread(x, columns=True) if own and x is not None else Spread()
        self.answers[id(module)] = (module, spread(out), taken)

    def before_step(self, theirs: set[int]) -> None:
        """The gradients as the optimiser of `theirs` (ids of parameters) finds them, and the weights as they were."""
        self.measured += 1
        for root in self.roots:
            self.graded.update(id(p) for p in root.parameters() if p.grad is not None)
        for key, (module, _, _) in self.answers.items():
            own = [p for p in _own(module) if id(p) in theirs]
            self.before |= {id(p): sample(p.detach(), WEIGHT_SAMPLE).clone() for p in own}
            self.grad_norms[key] = norm(p.grad for p in own if p.grad is not None)

    def layers(self, step: int) -> Iterator[LayerVitals]:
        """What the modules answered, once the step is done."""
        for key, (module, out, taken) in self.answers.items():
            own = _own(module)
            pairs = [(self.before[id(p)], sample(p.detach(), WEIGHT_SAMPLE)) for p in own if id(p) in self.before]
            was, change = norm(old for old, _ in pairs), norm(new - old for old, new in pairs)
            yield LayerVitals(
                step, self.paths[key], type(module).__name__, out, taken, self.grad_norms.get(key, math.nan),
                norm(own), change / was if was else math.nan, leaf=next(module.children(), None) is None,
            )  # fmt: skip

    def facts(self, optimized: set[int]) -> Iterator[ModelFacts]:
        """What each model is made of, and which parameters were reached."""
        for root in self.roots:
            owners = {id(p): module for module in root.modules() for p in _own(module)}
            parameters = tuple(
                ParameterFacts(
                    _path(name), p.numel(), p.requires_grad, id(p) in optimized, self.graded[id(p)],
                    id(owners[id(p)]) in self.called,
                )
                for name, p in root.named_parameters()
            )  # fmt: skip
            modules = tuple((_path(name), type(module).__name__) for name, module in root.named_modules())
            yield ModelFacts(type(root).__name__, modules, parameters, self.measured)


class Listener:
    """The hooks, the rhythm of measuring, and the chart that they fill."""

    def __init__(self, chart: Chart):
        self.chart, self.models = chart, Models()
        self.thread, self.began = threading.get_ident(), perf_counter()
        self.spent, self.step, self.next_sure, self.stride = 0.0, 0, 2 * FIRST_STEPS, 1
        self.muted = self.measuring = False
        self.optimizers: list[Optimizer] = []
        self.optimized: set[int] = set()
        self.uncleared: set[int] = set()  # optimisers (index) whose gradients are still those of their last step
        self.losses: list[Tensor] = []  # of the backward passes since the last step
        self.waiting: list[tuple[int, float, float, int, int, bool | None]] = []  # steps whose losses are `unread`
        self.unread: list[Tensor] = []
        self.readings: dict[tuple[str, ...], LossReading] = {}
        self.grad_norm = math.nan
        self.handles: list[Any] = []

    # Hooks. Each is guarded: whatever goes wrong here must not reach the loop that is listened to.

    def on_enter(self, module: nn.Module, args: Any) -> None:
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            self.guarded(self.models.enter, module, args)

    def on_leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            self.guarded(self.models.leave, module, (*args, *kwargs.values()), output)

    def on_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self.guarded(self._before_step, optimizer)

    def on_stepped(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self.guarded(self._after_step, optimizer)

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

    def _backward(self, tensors: Any) -> None:
        self.chart.backwards += 1
        loss = tensors if isinstance(tensors, Tensor) else next(iter(tensors), None)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            return
        self.losses.append(loss.detach())
        if not self.measuring:
            return
        for index in list(self.uncleared):
            held = norm(p.grad for p in _parameters(self.optimizers[index]) if p.grad is not None)
            if not held > 0:  # NaN when there are none
                self.uncleared.discard(index)
        self._read(loss)

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

    def _before_step(self, optimizer: Optimizer) -> None:
        if optimizer not in self.optimizers:
            self.optimizers.append(optimizer)
            self.chart.optimizers.append(_facts(optimizer))
        if not self.measuring:
            return
        theirs = _parameters(optimizer)
        self.optimized |= {id(p) for p in theirs}
        self.grad_norm = norm(p.grad for p in theirs if p.grad is not None)
        if self.losses:  # without a loss the gradients come within the step: a closure
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
        self._bound()
        self._measure_next(self._due())

    def _write_steps(self) -> None:
        """Read the losses that wait, all at once: on a GPU each reading waits for all that was asked of it before."""
        values = iter(scalars(self.unread))
        for step, lr, grad_norm, index, backwards, carried in self.waiting:
            loss = sum(islice(values, backwards)) / backwards if backwards else math.nan
            self.chart.steps.append(StepVitals(step, loss, lr, grad_norm, None, index, backwards, carried))
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
        """Hooks on the modules are there for measured steps only: even idle ones cost."""
        if wanted and not self.handles:
            self.handles = [
                register_module_forward_pre_hook(self.on_enter),
                register_module_forward_hook(self.on_leave, with_kwargs=True),
            ]
        if not wanted:
            self.close()
        self.measuring = wanted

    def close(self) -> None:
        while self.handles:
            self.handles.pop().remove()

    def finish(self) -> None:
        """What is only known at the end."""
        self._write_steps()
        self.chart.losses.extend(reading.done() for reading in self.readings.values())
        self.chart.models.extend(self.models.facts(self.optimized))


@contextmanager
def listen() -> Iterator[Chart]:
    """Watch the training loop inside the block, whoever wrote it.

    The chart fills as the loop goes on (losses some steps late) and is complete at the end of the block.
    Example: ``with glia.listen() as chart: my_own_loop()``, then ``glia.examine(chart)``.
    """
    listener = Listener(Chart())
    backward = torch.autograd.backward  # what Tensor.backward calls as well

    def heard(tensors: Any, *args: Any, **kwargs: Any) -> None:
        listener.guarded(listener._backward, tensors)
        backward(tensors, *args, **kwargs)

    torch.autograd.backward = heard
    always = [
        register_optimizer_step_pre_hook(listener.on_step),
        register_optimizer_step_post_hook(listener.on_stepped),
    ]
    listener._measure_next(True)
    try:
        yield listener.chart
    finally:
        torch.autograd.backward = backward
        listener.close()
        for handle in always:
            handle.remove()
        listener.guarded(listener.finish)


def _own(module: nn.Module) -> Sequence[Tensor]:
    """The parameters that a module holds itself."""
    return [p for p in module._parameters.values() if p is not None]


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _facts(optimizer: Optimizer) -> OptimizerFacts:
    numbers = {k: float(v) for k, v in optimizer.param_groups[0].items() if type(v) in (int, float)}
    size = sum(p.numel() for p in _parameters(optimizer))
    return OptimizerFacts(type(optimizer).__name__, numbers, len(optimizer.param_groups), size)


def _path(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name
