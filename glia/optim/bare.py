"""torch's optimizers without the import of its compiler, where nobody has asked for that.

Optimizers are guarded against being compiled, and the first call of a guarded method imports the compiler: a second of
work before the first step of any training. A compiler that was never imported compiles nothing, so until it is there
the same methods are called without their guards, and from then on as they are. Nothing of torch is changed.
"""

import sys
from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch._compile import _disable_dynamo
from torch.optim import Optimizer
from torch.optim import optimizer as torchs

_COMPILER = "torch._dynamo"


def _probe(optimizer: Any) -> None:
    """Wrapped only to know torch's wrappers by their code."""


_GUARD = getattr(_disable_dynamo(_probe), "__code__", None)
_GRADS = getattr(torchs._use_grad_for_differentiable(_probe), "__code__", None)
_HOOKS = getattr(Optimizer.profile_hook_step(_probe), "__code__", None)
_STEPS: dict[Any, Callable[[Any], Any]] = {}  # those of the classes that were met, by torch's own


def new(make: Callable[..., Optimizer], *args: Any, **options: Any) -> Optimizer:
    """The same as ``make(*args, **options)``."""
    if _COMPILER in sys.modules or not (isinstance(make, type) and issubclass(make, Optimizer)):
        return make(*args, **options)
    optimizer = make.__new__(make)
    optimizer.__dict__["add_param_group"] = bare(optimizer.add_param_group)  # which the class calls to make itself
    try:
        optimizer.__init__(*args, **options)  # type: ignore[misc]
    finally:
        del optimizer.__dict__["add_param_group"]
    return optimizer


def bare(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of an optimizer (of anything) that does the same.

    Example: ``bare(optimizer.step)()``. What is not as torch wrote it, because somebody wrapped it, stays as it is.
    """
    written, owner = getattr(method, "__func__", None), getattr(method, "__self__", None)
    if _COMPILER in sys.modules or written is None or owner is None:
        return method
    if _is(written, _GUARD):
        return MethodType(written.__wrapped__, owner)
    if _is(written, _HOOKS) and _is(written.__wrapped__, _GRADS) and not owner.defaults.get("differentiable"):
        if written not in _STEPS:
            _STEPS[written] = _step(written.__wrapped__.__wrapped__)
        return MethodType(_STEPS[written], owner)
    return method


def _is(function: Any, code: Any) -> bool:
    return code is not None and getattr(function, "__code__", None) is code and hasattr(function, "__wrapped__")


def _step(written: Callable[..., Any]) -> Callable[..., Any]:
    """A class's step with torch's hooks around it, without gradients."""

    def step(*args: Any, **options: Any) -> Any:
        with torch.set_grad_enabled(False):
            return written(*args, **options)

    return Optimizer.profile_hook_step(step)
