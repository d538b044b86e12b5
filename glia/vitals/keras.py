"""Keras on torch: its optimisers are not torch's, so their steps are heard here and told as those of a stand-in.

The stand-in is an optimiser of torch with the same parameters and settings. It never steps itself.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.optim import Optimizer

HOME = "keras.src.optimizers.base_optimizer"
Told = Callable[[Optimizer, Any, Any], None]
_NAMES = {"learning_rate": "lr", "epsilon": "eps", "momentum": "momentum", "nesterov": "nesterov"}
_RHO = {"RMSprop": "alpha", "Adadelta": "rho"}


@contextmanager
def keras_steps(before: Told, after: Told) -> Iterator[Callable[[], None]]:
    """Tell of each step of a Keras optimiser, before and after it. Gives a function to be called before a step, at a
    backward pass: from its first call after the script has imported Keras the steps are heard.
    """
    patched: list[tuple[Any, Any]] = []

    def look() -> None:
        home = sys.modules.get(HOME)
        owner = getattr(home, "BaseOptimizer", None)
        if patched or owner is None:
            return
        original = owner.apply
        owner.apply = _heard(original, before, after)
        patched.append((owner, original))

    try:
        yield look
    finally:
        for owner, original in patched:
            owner.apply = original


def _heard(original: Callable[..., Any], before: Told, after: Told) -> Callable[..., Any]:
    known: WeakKeyDictionary[Any, Optimizer] = WeakKeyDictionary()

    def apply(optimizer: Any, grads: Any, trainable_variables: Any = None) -> Any:
        count = getattr(optimizer, "gradient_accumulation_steps", None) or 1
        moves = count == 1 or (int(optimizer._iterations.value) + 1) % count == 0
        twin = _twin(known, optimizer, trainable_variables) if moves else None
        if twin is not None:
            before(twin, (twin,), {})
        result = original(optimizer, grads, trainable_variables)
        if twin is not None:
            after(twin, (twin,), {})
        return result

    return apply


def _twin(known: "WeakKeyDictionary[Any, Optimizer]", optimizer: Any, variables: Any) -> Optimizer | None:
    """The stand-in, at the rate of this step; None where the variables are not torch's."""
    if optimizer not in known:
        values = [v.value for v in (variables if variables is not None else optimizer._trainable_variables)]
        if not values or not all(isinstance(value, Tensor) for value in values):
            return None
        known[optimizer] = stand_in(optimizer, values)
    twin = known[optimizer]
    for group in twin.param_groups:
        group["lr"] = float(optimizer.learning_rate)
    return twin


def stand_in(optimizer: Any, values: list[Tensor]) -> Optimizer:
    """An optimiser of torch with the settings of one of Keras."""
    names = [base.__name__ for base in type(optimizer).__mro__ if base.__name__ != "Optimizer"]
    name = next((name for name in names if hasattr(torch.optim, name)), "")
    kind: Any = getattr(torch.optim, name, None)
    if kind is None:
        return type(type(optimizer).__name__, (Optimizer,), {})(values, {"lr": float(optimizer.learning_rate)})
    settings = optimizer.get_config()
    options: dict[str, Any] = {
        "lr": float(optimizer.learning_rate),
        "weight_decay": settings.get("weight_decay") or 0.0,
    }
    options |= {ours: settings[theirs] for theirs, ours in _NAMES.items() if theirs in settings and ours != "lr"}
    if "beta_1" in settings:
        options["betas"] = (settings["beta_1"], settings["beta_2"])
    if name in _RHO and "rho" in settings:
        options[_RHO[name]] = settings["rho"]
    allowed = inspect.signature(kind).parameters
    made: Optimizer = kind(values, **{key: value for key, value in options.items() if key in allowed})
    return made
