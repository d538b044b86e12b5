"""By module: what each takes of a step's forward and backward pass, by itself and with what it calls.

Any clock will do: seconds, or the operations that torch's counter has counted. A backward pass has no modules; each of
its operations belongs to the module that was running when its forward part was recorded, which torch's sequence
numbers tell.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.backends import cudnn, mkldnn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from glia.profiling.work import Rig
from glia.vitals.fair import FairClock

OUTSIDE = "loss"  # what is computed outside modules
MOST_NODES = 200_000


@dataclass
class Part:
    """Of one module, in units of the clock. own: without what it calls. flops: of its own matrix products."""

    name: str
    kind: str
    calls: int = 0
    forward_own: float = 0.0
    backward_own: float = 0.0
    forward: float = 0.0
    backward: float = 0.0
    flops: float = 0.0
    parts: list["Part"] = field(default_factory=list)

    @property
    def own(self) -> float:
        return self.forward_own + self.backward_own

    @property
    def total(self) -> float:
        return self.forward + self.backward

    def all(self) -> list["Part"]:
        """It and all below it."""
        return [self, *(inner for part in self.parts for inner in part.all())]


class _Meter:
    """Reads the clock as modules come and go, and as the backward pass goes through what they left."""

    def __init__(self, models: list[nn.Module], now: Callable[[], float]):
        self.now = now
        self.spent: dict[tuple[int, str, str], float] = {}  # (root, path, direction)
        self.calls: dict[tuple[int, str], int] = {}
        self.stack: list[tuple[tuple[int, str], float, int]] = []
        self.inner: list[float] = [0.0]  # time of what the running one calls
        self.owner: dict[int, tuple[int, str]] = {}  # by sequence number
        self.weights: dict[int, tuple[int, str]] = {}
        self.handles: list[Any] = []
        self.running_back = 0.0
        for root, model in enumerate(models):
            for path, module in model.named_modules():
                at = (root, path)
                for parameter in module.parameters(recurse=False):
                    self.weights.setdefault(id(parameter), at)
                self.handles.append(module.register_forward_pre_hook(partial(self._enter, at), prepend=True))
                self.handles.append(module.register_forward_hook(partial(self._leave, at)))

    def _enter(self, at: tuple[int, str], module: nn.Module, args: Any) -> None:
        self.stack.append((at, self.now(), torch._C._autograd._get_sequence_nr()))
        self.inner.append(0.0)

    def _leave(self, at: tuple[int, str], module: nn.Module, args: Any, output: Any) -> None:
        _, began, first = self.stack.pop()
        taken = self.now() - began
        own = taken - self.inner.pop()
        self.inner[-1] += taken
        self.spent[(*at, "forward")] = self.spent.get((*at, "forward"), 0.0) + own
        self.calls[at] = self.calls.get(at, 0) + 1
        for number in range(first, torch._C._autograd._get_sequence_nr()):
            self.owner.setdefault(number, at)

    def follow(self, loss: Tensor) -> None:
        """Meter the backward pass that is about to begin from `loss`."""
        waiting: list[Any] = [loss.grad_fn]
        seen: set[Any] = set()
        while waiting and len(seen) < MOST_NODES:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            weight = getattr(node, "variable", None)
            nowhere = (0, OUTSIDE)
            at = (
                self.weights.get(id(weight), nowhere)
                if weight is not None
                else self.owner.get(node._sequence_nr(), nowhere)
            )
            self.handles.append(node.register_prehook(self._back))
            self.handles.append(node.register_hook(partial(self._backed, at)))
            waiting += [after for after, _ in node.next_functions]

    def _back(self, gradients: Any) -> None:
        self.running_back = self.now()

    def _backed(self, at: tuple[int, str], inputs: Any, outputs: Any) -> None:
        self.spent[(*at, "backward")] = self.spent.get((*at, "backward"), 0.0) + self.now() - self.running_back

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()


def seconds_by_module(rig: Rig, steps: int) -> list[Part]:
    """Seconds a step of each model's modules, the mean of some steps; and of what is outside them, the last."""

    clock = FairClock()

    def now() -> float:
        rig.wait()
        return clock()

    return _tree(rig, *_metered(rig, now, steps))


def flops_of(rig: Rig) -> tuple[float, list[Part]]:
    """Floating-point operations of the matrix products and convolutions of one step, in all and by module.

    torch counts what it can take apart: attention and recurrent layers are therefore computed the long way for it.
    """
    counter = FlopCounterMode(display=False)

    def now() -> float:
        return float(counter.get_total_flops())

    with _taken_apart(), counter:
        spent, calls = _metered(rig, now, 1)
        total = now()
    return total, _tree(rig, spent, calls)


@contextmanager
def _taken_apart() -> Iterator[None]:
    """Without the kernels that do a whole layer at once."""
    with ExitStack() as stack:
        before = mkldnn.set_flags(False, None, None, None)
        stack.callback(mkldnn.set_flags, before[0], None, None, None)
        if torch.cuda.is_initialized():
            stack.enter_context(cudnn.flags(False))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield


def _metered(
    rig: Rig, now: Callable[[], float], steps: int
) -> tuple[dict[tuple[int, str, str], float], dict[tuple[int, str], int]]:
    meter = _Meter(rig.models, now)
    try:
        for _ in range(steps):
            rig.clear()
            for _ in range(rig.work.accumulate):
                meter.owner.clear()
                began = now()
                meter.inner[:] = [0.0]
                loss = rig.loss()
                outside = now() - began - meter.inner[0]
                key = (0, OUTSIDE, "forward")
                meter.spent[key] = meter.spent.get(key, 0.0) + outside
                meter.follow(loss)
                loss.backward()
    finally:
        meter.close()
    return {key: value / steps for key, value in meter.spent.items()}, {
        key: max(1, round(value / steps)) for key, value in meter.calls.items()
    }


def _tree(rig: Rig, spent: dict[tuple[int, str, str], float], calls: dict[tuple[int, str], int]) -> list[Part]:
    def part(root: int, name: str, module: nn.Module | None) -> Part:
        made = Part(name or "model", type(module).__name__ if module is not None else "", calls.get((root, name), 0))
        made.forward_own = spent.get((root, name, "forward"), 0.0)
        made.backward_own = spent.get((root, name, "backward"), 0.0)
        for child, inner in module.named_children() if module is not None else ():
            made.parts.append(part(root, f"{name}.{child}" if name else child, inner))
        made.forward = made.forward_own + sum(one.forward for one in made.parts)
        made.backward = made.backward_own + sum(one.backward for one in made.parts)
        return made

    roots = [part(number, "", model) for number, model in enumerate(rig.models)]
    for number, root in enumerate(roots):
        root.name = "model" if len(roots) == 1 else f"model {number + 1}"
    return [*roots, part(0, OUTSIDE, None)]
