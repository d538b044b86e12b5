"""Where a NaN or an infinity was born: the step is run again, forward, under hooks, from the same state."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class NonFinite(ArithmeticError):
    """The loss of a step is not a finite number. Exit code 1: the data and settings were well-formed."""

    exit_code = 1

    def __init__(self, step: int, epoch: int, loss: float, where: str):
        self.step, self.epoch, self.loss, self.where = step, epoch, loss, where
        super().__init__(f"the loss became {loss} at step {step} (epoch {epoch + 1}); {where}")


def locate(model: nn.Module, run: Callable[[], Any], inputs: tuple[Any, ...]) -> str:
    """Run a forward pass again and say, in words, the first place where something was not finite."""
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            return f"the weights of {name} are not finite already: lower the learning rate, or clip gradients"
    bad_rows = _bad_rows(inputs)
    born: list[str] = []
    handles = []

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if not born and isinstance(output, Tensor) and not torch.isfinite(output).all():
                given = all(torch.isfinite(a).all() for a in args if isinstance(a, Tensor) and a.is_floating_point())
                came = "from finite inputs" if given else "from inputs that were not finite"
                born.append(
                    f"first in the output of module {name or 'the whole model'} ({type(module).__name__}), {came}"
                )

        return hook

    try:
        handles += [module.register_forward_hook(watch(name)) for name, module in model.named_modules()]
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    where = born[0] if born else "every module's output was finite: it arose in the loss itself"
    return f"{where}; {bad_rows}" if bad_rows else where


def _bad_rows(inputs: tuple[Any, ...]) -> str:
    """Tables may hold NaN for a missing value, so infinities are what is named here."""
    for given in inputs:
        if isinstance(given, Tensor) and given.is_floating_point() and given.ndim > 1:
            rows = torch.isinf(given).flatten(1).any(1).nonzero().flatten().tolist()
            if rows:
                return f"rows {rows[:5]} of the batch hold infinities"
    return ""
