"""Averages of the weights over the steps of training: exponential (EMA) or plain (SWA)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from glia.errors import GliaError

Decay = Callable[[int], float]
"""Updates made so far -> share of the old average that the next one keeps."""


def exponential(decay: float) -> Decay:
    """Up to `decay`, less at first, so that the initial weights are soon forgotten: min(decay, (1 + t) / (10 + t))."""
    return lambda updates: min(decay, (1 + updates) / (10 + updates))


def plain_mean(updates: int) -> float:
    """The mean of all weights that were given to `update` (Izmailov et al. 2018, arXiv 1803.05407, algorithm 1)."""
    return updates / (updates + 1)


def mean_from(first: int) -> Decay:
    """The mean of the weights from update `first` on (counted from 0), before that the weights as they are (SWA).

    Izmailov et al. begin after three quarters of the run, at a rate that stays high. Batch norm's figures are the live
    network's: they fit the mean less than they fit an exponential average, and may be measured anew on training rows.
    """
    return lambda updates: plain_mean(max(updates - first, 0))


class Average:
    """The running average of a model's parameters.

    decay: of an exponential average (Tarvainen and Valpola 2017, arXiv 1703.01780, equation 2), or any `Decay`.
    Buffers are not averaged: the averaged model runs with the live ones, batch norm's running figures among them.
    Parameters in half precision are averaged in float32, which can hold small changes.
    """

    def __init__(self, model: nn.Module, decay: float | Decay = 0.999):
        if not callable(decay) and not 0 <= decay < 1:
            raise GliaError("ema", got=decay, expected="a decay from 0 to below 1")
        self.decay = decay if callable(decay) else exponential(decay)
        named = {name: p for name, p in model.named_parameters() if p.is_floating_point()}
        self.names = list(named)
        self._live: list[Tensor] = list(named.values())
        self._mean = [_exact(p.detach()).clone(memory_format=torch.preserve_format) for p in self._live]
        self._as_they_are = all(_exact(p) is p for p in self._live)
        self.updates = 0
        self._inside = False

    def update(self) -> None:
        """Take in the weights as they are now; after each optimizer step."""
        if self._inside:
            raise RuntimeError("Average.update() inside applied(): the live weights are the averaged ones")
        share = 1.0 - self.decay(self.updates)
        before = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)  # a context manager takes half as long as the sum itself
        try:
            if self._mean:
                live = self._live if self._as_they_are else [_exact(p) for p in self._live]
                torch._foreach_lerp_(self._mean, live, share)
        finally:
            torch._C._set_grad_enabled(before)
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the model has the averaged weights, in the same memory; after, its own again, bit for bit."""
        if self._inside:
            raise RuntimeError("Average.applied() inside itself")
        with torch.no_grad():
            own = [p.detach().clone(memory_format=torch.preserve_format) for p in self._live]
            _copy(self._live, self._mean)
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
            with torch.no_grad():
                _copy(self._live, own)

    def state_dict(self) -> dict[str, Any]:
        """{"updates": count, "weights": {name: averaged tensor}}; the tensors are the live average, not copies."""
        return {"updates": self.updates, "weights": dict(zip(self.names, self._mean))}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy a saved average in."""
        weights: dict[str, Tensor] = state["weights"]
        if set(weights) != set(self.names):
            odd = sorted(set(weights) ^ set(self.names))
            raise GliaError("averaged weights of another model", got=f"{len(odd)} names that differ, first {odd[0]!r}")
        for name, mean in zip(self.names, self._mean):
            if weights[name].shape != mean.shape:
                raise GliaError(f"averaged weight {name}", got=tuple(weights[name].shape), expected=tuple(mean.shape))
        _copy(self._mean, [weights[name].to(mean.device) for name, mean in zip(self.names, self._mean)])
        self.updates = int(state["updates"])


def _exact(value: Tensor) -> Tensor:
    return value if value.dtype in (torch.float32, torch.float64) else value.float()


def _copy(to: Sequence[Tensor], source: Sequence[Tensor]) -> None:
    if to:
        torch._foreach_copy_(list(to), list(source))
