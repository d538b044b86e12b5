"""Memory layout of gradients and optimizer state.

torch's fused CPU step walks parameter, gradient and state side by side through memory and never looks at their strides.
A channels-last weight whose state came back contiguous from a file is then updated with other elements' state, and
nothing says so.
"""

from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from torch.optim import Optimizer

_GUARDED: WeakSet[Optimizer] = WeakSet()


def guard(optimizer: Optimizer) -> Optimizer:
    """Keep gradients and loaded state in their parameters' layout; let momentum begin late where a gradient comes late.

    Returns the optimizer; guarding it twice is guarding it once. A copy.deepcopy has no guard (torch drops hooks).
    """
    if optimizer in _GUARDED:
        return optimizer
    _GUARDED.add(optimizer)
    optimizer.register_step_pre_hook(_before_step)
    optimizer.register_load_state_dict_post_hook(_after_load)
    return optimizer


def like(value: Tensor, parameter: Tensor) -> Tensor:
    """A copy of `value` in its own dtype, in the layout of `parameter` where the shapes are the same."""
    if value.shape != parameter.shape:
        return value.clone()
    return torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)


def _before_step(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    for group in optimizer.param_groups:
        if not group.get("fused"):
            continue
        late = group.get("momentum", 0.0) != 0 and "betas" not in group
        for parameter in group["params"]:
            gradient = parameter.grad
            if gradient is None or gradient.layout != torch.strided:
                continue
            if gradient.stride() != parameter.stride():
                parameter.grad = like(gradient, parameter)
            # the fused kernel refuses a mixture of old momenta and none; the first sum is the gradient either way
            if late and "momentum_buffer" not in optimizer.state[parameter]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _after_load(optimizer: Optimizer) -> None:
    """load_state_dict keeps the very tensors that it was given, as they lie: copy them, in the right layout."""
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                state[key] = like(value, parameter)
