"""Replay: a step's forward and backward pass as one straight row of calls, as long as it does the same as the step.

Small networks wait for Python and autograd, not for the processor: of a step of a table's network two thirds go there.
What is replayed is compared bit for bit with what the step itself does, at first and every so often; where the two
differ, or the step is one that cannot be replayed, the step is made as it was written.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import thread_time
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules import module as modules

from glia.optim.beside import Beside
from glia.replay.emit import Program, emit
from glia.replay.outside import Outside
from glia.replay.trace import Flat, Refused, Work, trace

AFTER_S = 0.1  # spent on steps as they were written, about what tracing one takes
LONG_S = 0.01  # a step that is longer gains nothing
FIRST, EVERY = 3, 1000  # steps at first, and every so many, that are made both ways
GAIN = 1.03  # times faster than the step as written, below which it is left as it is
MOST = 3  # shapes of batches; of more, each comes too seldom

_GLOBAL_HOOKS = [
    getattr(modules, name)
    for name in dir(modules)
    if name.startswith("_global_") and isinstance(getattr(modules, name), dict)
]
OWN_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Found(NamedTuple):
    """What a step found; the gradients are in the parameters' `.grad`. The metric is a sum over rows, or None."""

    loss: Tensor
    metric: Tensor | None


@dataclass
class _Row:
    """One program, for batches of one shape.

    gradients: where it leaves those of the weights; `beside` where all lie in one memory. lean: it runs without
    anything of autograd, which some operators do not do.
    """

    program: Program
    beside: Beside | None
    gradients: list[Tensor | None]
    draws: bool
    lean: bool = True
    checks: int = FIRST  # that are left
    made: int = 0
    written_s: float = math.inf  # the fastest, of this thread alone: a busy machine is to decide nothing
    replayed_s: float = math.inf

    def run(self, given: Iterable[Tensor]) -> tuple[Tensor, Tensor | None]:
        """Loss and metric."""
        # Made by hand: the context managers of torch take as long as a small product.
        if self.lean:
            with torch._C._InferenceMode(True):
                return self.program.run(*given, *self.program.fixed)
        before = torch.is_grad_enabled()
        torch._C._set_grad_enabled(True)
        try:
            return self.program.run(*given, *self.program.fixed)
        finally:
            torch._C._set_grad_enabled(before)


class Replay:
    """Makes the forward and backward pass of one model's steps, in the shortest way that does the same.

    work: what is made, without side effects but for the model's buffers. `why` says why it is not replayed, once that
    is known; `running` whether it is; `beside` where the last step's gradients lie side by side, in the parameters'
    order, None where each lies by itself.
    """

    def __init__(self, work: Work, model: nn.Module):
        self.work, self.model = work, model
        self.why = ""
        self.running = False
        self.beside: Beside | None = None
        self.spent, self.fastest, self.steps = 0.0, math.inf, 0
        self.rows: dict[Any, _Row] = {}
        self.seen: Any = None  # the state of the model that the rows were made for
        self.parts = list(model.modules())
        self.hooks = [*_GLOBAL_HOOKS, *(getattr(part, name) for part in self.parts for name in OWN_HOOKS)]
        self.all = list(model.parameters())
        self.weights: list[Tensor] = []
        self.rest: list[Tensor] = []  # frozen parameters and buffers
        self.states: list[Tensor] = []  # weights and rest as the programs are given them

    def __call__(self, batch: Any, written: Callable[[], Found], seed: Callable[[], None]) -> Found:
        """Gradients and loss of one batch. written: makes the step as it was written, gradients cleared before.

        seed: sets the random numbers of this step; called where it may draw any.
        """
        self.beside = None
        if not self.why and self.spent >= AFTER_S and not self._watched():
            try:
                return self._made(batch, written, seed)
            except Refused as refused:
                self._leave(str(refused))
        seed()
        if self.why or self.spent >= AFTER_S:
            return written()
        return self._first(written)

    def _first(self, written: Callable[[], Found]) -> Found:
        """Before it is known whether there will be steps enough."""
        began = thread_time()
        found = written()
        self.steps += 1
        if self.steps > 1:  # the very first one makes room
            took = thread_time() - began
            self.spent, self.fastest = self.spent + took, min(self.fastest, took)
            if self.steps == FIRST + 1 and self.fastest > LONG_S:
                self._leave("its steps are long: the calls between the operators do not count")
        return found

    def _leave(self, why: str) -> None:
        self.why, self.running = why, False
        self.rows.clear()

    def _watched(self) -> bool:
        """Does somebody look into the forward or backward pass, who would see nothing of a replay?"""
        if any(self.hooks) or nn.Module.__call__ is not nn.Module._wrapped_call_impl:
            return True
        if Tensor.backward.__module__ != "torch._tensor" and not hasattr(_ear(), "replayed"):
            return True
        if torch._C._len_torch_dispatch_stack() or torch._C._len_torch_function_stack():
            return True
        return any(w._backward_hooks or w._post_accumulate_grad_hooks for w in self.weights)

    def _made(self, batch: Any, written: Callable[[], Found], seed: Callable[[], None]) -> Found:
        state = [
            *[part.training for part in self.parts],
            *[w.requires_grad for w in self.all],
            *[w.data_ptr() for w in self.all],
        ]
        if state != self.seen:  # another mode, or parameters that were frozen or moved
            self._begin(state)
        flat = Flat.of(batch)
        key = (*[(t.shape, t.stride(), t.dtype) for t in flat.tensors], *flat.others)
        row = self.rows.get(key)
        if row is None:
            if len(self.rows) == MOST:
                raise Refused("its batches are of many shapes")
            row = self.rows[key] = self._built(flat)
        row.made += 1
        if row.checks or row.made % EVERY == 0:
            return self._both(row, flat, written, seed)
        if row.draws:
            seed()
        loss, metric = row.run([*self.states, *flat.tensors])
        for weight, gradient in zip(self.weights, row.gradients, strict=True):
            weight.grad = gradient
        ear = _ear()
        if ear is not None:
            ear.replayed()
        self.running, self.beside = True, row.beside
        return Found(loss, metric)

    def _begin(self, state: list[Any]) -> None:
        self.rows.clear()
        self.seen = state
        self.weights = [p for p in self.all if p.requires_grad]
        frozen = [p for p in self.all if not p.requires_grad]
        self.rest = [*frozen, *self.model.buffers()]
        self.states = [t.detach() for t in (*self.weights, *self.rest)]

    def _built(self, flat: Flat) -> _Row:
        if any(t.device.type != "cpu" for t in (*self.weights, *flat.tensors)):
            raise Refused("it is not on the CPU")
        traced = trace(self.work, self.model, self.weights, self.rest, flat)
        gradients: list[Tensor | None] = [None] * len(self.weights)
        taught = [place for place, node in enumerate(traced.results[2:]) if node is not None]
        beside = None
        if len({self.weights[place].dtype for place in taught}) == 1:
            beside = Beside.like([self.weights[place] for place in taught])
            for place, part in zip(taught, beside.parts, strict=True):
                gradients[place] = part
        else:
            for place in taught:
                gradients[place] = torch.empty_like(self.weights[place])
        return _Row(emit(traced, self.states, len(self.weights), gradients), beside, gradients, traced.draws)

    def _both(self, row: _Row, flat: Flat, written: Callable[[], Found], seed: Callable[[], None]) -> Found:
        """Make the step both ways, and leave replaying where they differ in one bit. What was written counts."""
        weights = self.states[: len(self.weights)]
        rest = [held.clone() for held in self.rest]
        seed()
        began = thread_time()
        try:
            replayed = row.run([*weights, *rest, *flat.tensors])
        except Exception as error:
            # An operator that does without gradients what it did with them is the usual; whatever it is, it is left.
            if row.lean:
                row.lean = False
                return self._both(row, flat, written, seed)
            self._leave(f"replaying failed ({type(error).__name__}: {str(error).partition(chr(10))[0][:120]})")
            seed()
            return written()
        middle, noise = thread_time(), torch.default_generator.get_state()
        before = Outside.of(self.parts, flat.tensors)
        seed()
        started = thread_time()
        found = written()
        ended = thread_time()
        why = ""
        if Outside.of(self.parts, flat.tensors) != before:
            why = "it changes things of its own as it goes (counters, other random numbers, its inputs)"
        elif not (_same(replayed, found) and _same(row.gradients, [w.grad for w in self.weights])):
            why = "a replay found other numbers"
        elif not _same([*rest, noise], [*self.rest, torch.default_generator.get_state()]):
            why = "a replay left other buffers or random numbers behind"
        if why:
            self._leave(why)
            return found
        row.replayed_s, row.written_s = min(row.replayed_s, middle - began), min(row.written_s, ended - started)
        if row.checks:
            row.checks -= 1
            if not row.checks and row.replayed_s * GAIN > row.written_s:
                self._leave("replaying is not faster")
        return found


def _ear() -> Any:
    """Who hears of torch's backward passes (`glia.vitals.overhear`), if anybody does."""
    return getattr(Tensor.backward, "ear", None)


def _same(ones: Sequence[Tensor | None], others: Sequence[Tensor | None]) -> bool:
    """Are they the same numbers, in the same formats and laid alike?"""
    for one, other in zip(ones, others, strict=True):
        if one is None or other is None:
            if one is not other:
                return False
        elif (one.dtype, _laid(one)) != (other.dtype, _laid(other)) or not torch.equal(one, other):
            return False
    return True


def _laid(tensor: Tensor) -> list[int]:
    """How it lies in memory: its strides, but for those of axes of one place, which nothing hangs on."""
    return [stride for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]
