"""Birth: at the first loss that is not finite, the forward pass is made again on a copy, to find where it began."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from glia.vitals.chart import BirthFacts
from glia.vitals.operations import walk
from glia.vitals.tape import leaves

MOST_ROWS = 8  # rows that are named


def birth(step: int, call: tuple[nn.Module, Any, Any] | None, loss: Tensor) -> BirthFacts:
    """Where a loss that is NaN or infinite came from. The model is as it was when it made it; dropout is drawn anew."""
    if call is None:
        return BirthFacts(step, "the loss")
    module, args, kwargs = call
    given = [t for t in leaves((args, kwargs)) if t.is_floating_point()]
    for tensor in given:
        if not tensor.isfinite().all():
            return BirthFacts(step, "the inputs", "", *_rows(tensor))
    for name, parameter in module.named_parameters():
        if not parameter.isfinite().all():
            return BirthFacts(step, "the weights", name)
    twin = copy.deepcopy(module)
    with torch.random.fork_rng(devices=[]):
        steps, output = walk(twin, lambda: twin(*args, **kwargs))
    for one in steps:
        if one.out is not None and one.out.is_floating_point() and not one.out.isfinite().all():
            return BirthFacts(step, one.name, one.module, *_rows(one.out))
    for out in leaves(output):
        if out.is_floating_point() and not out.isfinite().all():
            return BirthFacts(step, "the model's output", "", *_rows(out))
    return BirthFacts(step, "the loss")


def _rows(tensor: Tensor) -> tuple[tuple[int, ...], int]:
    """The first rows that hold a number that is not finite, and how many rows there are."""
    if not tensor.ndim:
        return (), 0
    bad = ~tensor.isfinite().flatten(1).all(1) if tensor.ndim > 1 else ~tensor.isfinite()
    return tuple(bad.nonzero().flatten()[:MOST_ROWS].tolist()), len(tensor)
