"""An optimizer's step as one call of its fused kernel a group.

Of `optimizer.step()` on a small network nine tenths are bookkeeping: a profiler's record, hooks, lists that are built
anew. The kernel, what it is given and the state are the optimizer's own here too; no number changes.
"""

from collections.abc import Callable
from itertools import chain, islice
from operator import is_, itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim import optimizer as torchs

from glia.optim import layout
from glia.optim.bare import bare

_ADAM = itemgetter("lr", "betas", "weight_decay", "eps", "maximize", "decoupled_weight_decay")
_SGD = itemgetter("lr", "momentum", "weight_decay", "nesterov", "maximize")


class _Group(NamedTuple):
    """What one call of the kernel is given. settings: what it reads of the group, which may change at any time."""

    group: dict[str, Any]
    settings: Callable[[dict[str, Any]], tuple[Any, ...]]
    parameters: list[Tensor]
    first: list[Tensor]  # means of gradients, or momenta
    second: list[Tensor]  # means of squares
    steps: list[Tensor]  # how many were made for each parameter


class Direct:
    """The steps of one optimizer, for gradients that lie in memory as their parameters do."""

    def __init__(self, optimizer: Optimizer):
        self.optimizer = optimizer
        self.written = type(optimizer).step
        self.groups: list[_Group] = []
        self.whole: list[_Group] = []  # all groups as one
        self.counted: Any = None  # all their steps, as numpy sees them: it adds in a quarter of the time
        self.known: list[Any] = []  # the state that the groups were made of
        self.first: Any = None  # parameter

    def step(self) -> None:
        """The same as ``optimizer.step()``, the short way where there is one."""
        optimizer = self.optimizer
        calls = self._calls() if self._plain() and self._ready() else None
        if calls is None:
            bare(optimizer.step)()
            return
        for hook in torchs._global_optimizer_pre_hooks.values():
            hook(optimizer, (optimizer,), {})
        before = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)
        try:
            if self.counted is not None:
                self.counted += 1
            for made, settings, gradients in calls:
                _adam(made, settings, gradients) if made.steps else _sgd(made, settings, gradients)
        finally:
            torch._C._set_grad_enabled(before)
        for hook in torchs._global_optimizer_post_hooks.values():
            hook(optimizer, (optimizer,), {})

    def _plain(self) -> bool:
        """Does nobody ask for more of each step than the kernel does?"""
        optimizer, kind = self.optimizer, type(self.optimizer)
        if kind not in (Adam, AdamW, SGD) or "step" in vars(optimizer) or kind.step is not self.written:
            return False
        own = chain(optimizer._optimizer_step_pre_hooks.values(), optimizer._optimizer_step_post_hooks.values())
        return all(hook is layout._before_step for hook in own)

    def _ready(self) -> bool:
        """Is the state there, of a step that was made the long way?"""
        groups, state = self.optimizer.param_groups, self.optimizer.state
        # Plain SGD has no state; what others loaded has another dict.
        known = [state.get(self.first), *groups, *[len(group["params"]) for group in groups]]
        if self.first is not None and len(known) == len(self.known) and all(map(is_, known, self.known)):
            return True
        self.first, self.known = next((p for group in groups for p in group["params"]), None), []
        made = [self._group(group) for group in groups if group["params"]]
        self.groups = [group for group in made if group is not None]
        if not made or len(self.groups) < len(made):
            return False
        self._join()
        self.known = [state.get(self.first), *known[1:]]
        return True

    def _join(self) -> None:
        """One addition counts for all: each parameter's own count becomes a place of a common tensor."""
        steps = [step for made in self.groups for step in made.steps]
        counted = torch.stack(steps) if steps else None
        self.counted = None if counted is None else counted.numpy()
        places = iter(() if counted is None else counted.unbind())
        for made in self.groups:
            made.steps[:] = islice(places, len(made.steps))
            for parameter, place in zip(made.parameters, made.steps):
                self.optimizer.state[parameter]["step"] = place
        fields = zip(*[made[2:] for made in self.groups], strict=True)
        parameters, *others = (list(chain.from_iterable(lists)) for lists in fields)
        alike = len({p.dtype for p in parameters}) == 1
        self.whole = [_Group(self.groups[0].group, self.groups[0].settings, parameters, *others)] if alike else []

    def _calls(self) -> list[tuple[_Group, tuple[Any, ...], list[Tensor]]] | None:
        """Each call of the kernel: its settings and gradients. None where a gradient is missing."""
        settings = [made.settings(made.group) for made in self.groups]
        groups = self.whole if self.whole and settings.count(settings[0]) == len(settings) else self.groups
        calls = []
        for made, setting in zip(groups, settings):
            gradients = [gradient for p in made.parameters if (gradient := p.grad) is not None]
            if len(gradients) < len(made.parameters):
                return None
            calls.append((made, setting, gradients))
        return calls

    def _group(self, group: dict[str, Any]) -> _Group | None:
        """None where the kernel would not be all of the step."""
        parameters = list(group["params"])
        states = [self.optimizer.state.get(p) or {} for p in parameters]
        odd = ("amsgrad", "capturable", "differentiable", "foreach", "dampening")
        if not group.get("fused") or any(group.get(name) for name in odd) or isinstance(group["lr"], Tensor):
            return None
        if any(p.device.type != "cpu" or p.dtype != parameters[0].dtype for p in parameters):
            return None
        if "betas" not in group:
            if not group["momentum"]:
                return _Group(group, _SGD, parameters, [], [], [])
            if any(state.get("momentum_buffer") is None for state in states):
                return None
            momenta = [state["momentum_buffer"] for state in states]
            return _Group(group, _SGD, parameters, momenta, [], [])
        if any("exp_avg" not in state for state in states):
            return None
        first, second = [state["exp_avg"] for state in states], [state["exp_avg_sq"] for state in states]
        return _Group(group, _ADAM, parameters, first, second, [state["step"] for state in states])


def _adam(made: _Group, settings: tuple[Any, ...], gradients: list[Tensor]) -> None:
    lr, (beta1, beta2), decay, eps, maximize, decoupled = settings
    kernel = torch._fused_adamw_ if decoupled else torch._fused_adam_
    kernel(
        made.parameters, gradients, made.first, made.second, [], made.steps,
        amsgrad=False, lr=lr, beta1=beta1, beta2=beta2, weight_decay=decay, eps=eps, maximize=maximize,
    )  # fmt: skip


def _sgd(made: _Group, settings: tuple[Any, ...], gradients: list[Tensor]) -> None:
    lr, momentum, decay, nesterov, maximize = settings
    torch._fused_sgd_(
        made.parameters, gradients, made.first, weight_decay=decay, momentum=momentum, lr=lr, dampening=0.0,
        nesterov=nesterov, maximize=maximize, is_first_step=False,
    )  # fmt: skip
