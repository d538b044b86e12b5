"""An optimizer's step as one call of its fused kernel a group.

Of `optimizer.step()` on a small network nine tenths are bookkeeping: a profiler's record, hooks, lists that are built
anew. The kernel, what it is given and the state are the optimizer's own here too; no number changes.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim import optimizer as torchs

from glia.optim import layout
from glia.optim.bare import bare


class _Group(NamedTuple):
    group: dict[str, Any]
    parameters: list[Tensor]
    first: list[Tensor]  # means of gradients, or momenta
    second: list[Tensor]  # means of squares
    steps: list[Tensor]  # of each parameter, which are places of `counted`
    counted: Tensor  # how many steps were made


class Direct:
    """The steps of one optimizer, for gradients that lie in memory as their parameters do."""

    def __init__(self, optimizer: Optimizer):
        self.optimizer = optimizer
        self.written = type(optimizer).step
        self.groups: list[_Group] = []
        self.known: Any = None  # the state that the groups were made of

    def step(self) -> None:
        """The same as ``optimizer.step()``, the short way where there is one."""
        optimizer = self.optimizer
        if not self._plain() or not self._ready():
            bare(optimizer.step)()
            return
        for hook in torchs._global_optimizer_pre_hooks.values():
            hook(optimizer, (optimizer,), {})
        before = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)
        try:
            for group in self.groups:
                gradients = [p.grad for p in group.parameters if p.grad is not None]
                _adam(group, gradients) if group.steps else _sgd(group, gradients)
        finally:
            torch._C._set_grad_enabled(before)
        for hook in torchs._global_optimizer_post_hooks.values():
            hook(optimizer, (optimizer,), {})

    def _plain(self) -> bool:
        """Does nobody ask for more of each step than the kernel does?"""
        optimizer = self.optimizer
        own = [*optimizer._optimizer_step_pre_hooks.values(), *optimizer._optimizer_step_post_hooks.values()]
        return (
            type(optimizer) in (Adam, AdamW, SGD)
            and "step" not in vars(optimizer)
            and type(optimizer).step is self.written
            and all(hook is layout._before_step for hook in own)
        )

    def _ready(self) -> bool:
        """Is the state there, of a step that was made the long way, and is every gradient?"""
        optimizer = self.optimizer
        groups, state = optimizer.param_groups, optimizer.state
        first = next((p for group in groups for p in group["params"]), None)
        if first is None:
            return False
        # Plain SGD has no state; what others loaded has another dict.
        known = [state.get(first), *groups, *[len(group["params"]) for group in groups]]
        if self.known is None or len(known) != len(self.known) or any(a is not b for a, b in zip(known, self.known)):
            self.groups, self.known = [], None
            made = [self._group(group) for group in groups if group["params"]]
            if None in made:
                return False
            self.groups, self.known = [group for group in made if group is not None], known
        return all(p.grad is not None for group in self.groups for p in group.parameters)

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
                return _Group(group, parameters, [], [], [], torch.empty(0))
            if any(state.get("momentum_buffer") is None for state in states):
                return None
            return _Group(group, parameters, [state["momentum_buffer"] for state in states], [], [], torch.empty(0))
        if any("exp_avg" not in state for state in states):
            return None
        # One addition counts for all: each parameter's own count becomes a place of a common tensor.
        counted = torch.stack([state["step"] for state in states])
        for state, place in zip(states, counted.unbind(), strict=True):
            state["step"] = place
        first, second = [state["exp_avg"] for state in states], [state["exp_avg_sq"] for state in states]
        return _Group(group, parameters, first, second, [state["step"] for state in states], counted)


def _adam(made: _Group, gradients: list[Tensor]) -> None:
    group, (beta1, beta2) = made.group, made.group["betas"]
    kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
    made.counted.add_(1)
    kernel(
        made.parameters, gradients, made.first, made.second, [], made.steps,
        amsgrad=False, lr=group["lr"], beta1=beta1, beta2=beta2, weight_decay=group["weight_decay"],
        eps=group["eps"], maximize=group["maximize"],
    )  # fmt: skip


def _sgd(made: _Group, gradients: list[Tensor]) -> None:
    group = made.group
    torch._fused_sgd_(
        made.parameters, gradients, made.first,
        weight_decay=group["weight_decay"], momentum=group["momentum"], lr=group["lr"], dampening=0.0,
        nesterov=group["nesterov"], maximize=group["maximize"], is_first_step=False,
    )  # fmt: skip
