"""Figures that training watches: cheap, a number a row, averaged over an epoch. The full evaluation comes after."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Metric:
    """`per_row(outputs, targets)` gives (N,) numbers; `finish` turns their mean into the figure."""

    name: str
    per_row: Callable[[Tensor, Tensor], Tensor]
    finish: Callable[[float], float] = float
    higher_is_better: bool = True


def _correct(outputs: Tensor, targets: Tensor) -> Tensor:
    """Is the largest of `outputs` (N, C) the label? Soft labels (N, C) count by their largest share."""
    labels = targets if targets.ndim == 1 else targets.argmax(-1)
    return (outputs.argmax(-1) == labels).float()


def _correct_labels(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of the yes/no answers (N, L) that are right; a logit above 0 is a yes."""
    return ((outputs > 0) == (targets > 0.5)).float().mean(-1)


accuracy = Metric("accuracy", _correct)
label_accuracy = Metric("accuracy", _correct_labels)


def rmse(scale: tuple[float, ...] = (1.0,)) -> Metric:
    """Root mean squared error in the targets' own units, when both arrive divided by `scale`."""

    def squared(outputs: Tensor, targets: Tensor) -> Tensor:
        factor = torch.tensor(scale, device=outputs.device)
        return ((outputs - targets) * factor).square().mean(-1)

    return Metric("rmse", squared, finish=lambda mean: mean**0.5, higher_is_better=False)
