"""Copies: how the copy of a network, its inputs and its labels are made ready for a trial."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from glia.doctor.changes import Change
from glia.seed import mix
from glia.vitals.bench import Bench, Rows
from glia.vitals.tape import Ref, mapped

SLOPE = 1e-8  # added to a deviation before it divides


def target_scale(bench: Bench, change: Change) -> Callable[[Tensor], Tensor]:
    """Labels with mean 0 and deviation 1 over the training rows, where the change asks for it."""
    if not change.get("normalise_targets") or bench.label_slot is None:
        return lambda y: y
    known = bench.data[bench.label_slot] if bench.together else bench.capture.batches[0][bench.label_slot]
    if known is None:
        raise ValueError("the labels are not known")
    mean, std = known.double().mean(0), known.double().std(0, correction=0) + SLOPE
    return lambda y: ((y.double() - mean) / std).to(known.dtype if known.is_floating_point() else torch.float32)


class Inputs:
    """What a change does to the model's inputs: filled, standardised or brought between 0 and 1, column by column."""

    def __init__(self, bench: Bench, change: Change):
        self.slot: int | None = None
        how, fill = change.get("normalise_inputs"), change.get("impute")
        if not how and not fill:
            return
        at_slot = {at: i for i, at in enumerate(bench.tape.given)}
        refs = [v for v in [*bench.call.args, *bench.call.kwargs.values()] if isinstance(v, Ref) and v.at in at_slot]
        slots = [at_slot[ref.at] for ref in refs]
        known = [(i, bench.data[i] if bench.together else bench.capture.batches[0][i]) for i in slots]
        floats = [(i, x) for i, x in known if x is not None and x.is_floating_point() and x.ndim > 1]
        if not floats:
            raise ValueError("the inputs are not numbers to be scaled")
        self.slot, x = floats[0]
        self.position = next(n for n, v in enumerate(bench.call.used) if v == bench.tape.given[self.slot])
        columns = x.double()
        good = columns.isfinite()
        count = good.sum(0).clamp(min=1)
        zeroed = columns.nan_to_num(0, 0, 0)
        self.mean = zeroed.sum(0) / count
        self.fill, self.offset, self.width = bool(fill), torch.zeros(()), torch.ones(())
        if how == "minmax":
            low = torch.where(good, columns, math.inf).amin(0)
            self.offset, self.width = low, torch.where(good, columns, -math.inf).amax(0) - low + SLOPE
        elif how:
            spread = (torch.where(good, columns - self.mean, 0.0).square().sum(0) / count).sqrt()
            self.offset, self.width = self.mean, spread + SLOPE

    def change(self, x: Tensor) -> Tensor:
        """The inputs as the change would have them."""
        wide = x.double()
        if self.fill:
            wide = torch.where(wide.isfinite(), wide, self.mean)
        return ((wide - self.offset) / self.width).to(x.dtype)

    def prepared(self, batch: list[Any]) -> list[Any]:
        """The values of a batch."""
        if self.slot is None:
            return batch
        return [self.change(v) if i == self.slot else v for i, v in enumerate(batch)]

    def arguments(self, rows: Rows) -> tuple[Any, Any]:
        """The arguments of held-out rows."""
        if self.slot is None:
            return rows.args, rows.kwargs
        counter = iter(range(10**6))
        return mapped((rows.args, rows.kwargs), lambda t: self.change(t) if next(counter) == self.position else t)


def stirred(models: Sequence[nn.Module], seed: int) -> None:
    """Another draw of the script's own first weights: the numbers of each weight in another order."""
    generator = torch.Generator().manual_seed(mix("stir", seed) % 2**62)
    with torch.no_grad():
        for model in models:
            for parameter in model.parameters():
                flat = parameter.detach().reshape(-1)
                parameter.copy_(flat[torch.randperm(flat.numel(), generator=generator)].reshape(parameter.shape))


def drawn_anew(models: Sequence[nn.Module], how: str) -> None:
    """First weights as torch draws them; "he": He's for layers that are linear or convolve, with biases of 0."""
    for model in models:
        for module in model.modules():
            reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
            plain = isinstance(module, nn.Linear | nn.modules.conv._ConvNd)
            if callable(reset):
                reset()
            for parameter in module._parameters.values():
                if parameter is None or not (plain and how == "he" or not callable(reset)):
                    continue
                if parameter.ndim > 1:
                    nn.init.kaiming_normal_(parameter, nonlinearity="relu")
                elif plain:
                    nn.init.zeros_(parameter)
