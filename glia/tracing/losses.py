"""Losses by name at the end of a network, whether it gives logits or has a softmax or sigmoid of its own."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from glia.catalog import entry as catalog
from glia.errors import GliaError
from glia.nn import losses

Loss = Callable[[Tensor, Tensor], Tensor]
_FORMULAS = {
    "mse": "L = mean of (ŷ - y)^2",
    "half_mse": "L = mean of (ŷ - y)^2 / 2",
    "mae": "L = mean of |ŷ - y|",
    "huber": "L = mean of (ŷ - y)^2 / 2, and straight beyond delta",
    "cross_entropy": "L = -sum of y log ŷ",
    "binary_cross_entropy": "L = -(y log ŷ + (1 - y) log(1 - ŷ))",
    "focal": "L = -(1 - ŷ of the truth)^2 log(ŷ of the truth)",
}
_SLOPES = {
    "mse": "2 (ŷ - y)",
    "half_mse": "ŷ - y",
    "mae": "sign of (ŷ - y)",
    "cross_entropy": "ŷ - y",
    "binary_cross_entropy": "ŷ - y",
}


class Named:
    """A loss with its name, its formula, and how the prediction ŷ is made from what the network gives.

    made: "" as it is, "softmax" or "sigmoid". slope: dL/d(output) of one number in symbols, "" where it is not short.
    """

    def __init__(self, loss: str | Loss, last: str = ""):
        """last: the operation that made the output. Shares from a network's own softmax or sigmoid are not squashed
        again: their logarithm is taken, as in textbooks."""
        self.made, self.slope, self.shape_matters, self.classes = "", "", False, False
        if callable(loss):
            named = getattr(loss, "__name__", None) or type(loss).__name__
            self.name, self.formula, self.call = named.strip("<>"), "", loss
            return
        entry = catalog.find("losses", loss)
        self.name, self.formula = entry.name, _FORMULAS.get(entry.name, "")
        self.classes = "classify" in entry.facts["tasks"]
        self.shape_matters = True
        shares = {"cross_entropy": ("softmax", _entropy), "binary_cross_entropy": ("sigmoid", _binary)}
        if entry.name in shares and last.lower() == shares[entry.name][0]:
            self.call = shares[entry.name][1]
            self.slope = "-y / ŷ" if self.classes else "(1 - y) / (1 - ŷ) - y / ŷ"
        elif entry.facts["logits"] and last.lower() in ("softmax", "sigmoid", "log_softmax", "logsoftmax"):
            wanted = "no activation at the end: the loss applies it"
            raise GliaError(f"{entry.name} after {last}", expected=wanted, hint=_instead(last))
        else:
            self.call, self.slope = losses.build(entry.name), _SLOPES.get(entry.name, "")
            if self.classes:
                self.call = _at_every_place(self.call)
            if entry.facts["logits"]:
                self.made = "softmax" if self.classes else "sigmoid"

    def prediction(self, outputs: Tensor) -> Tensor:
        """ŷ."""
        if self.made == "softmax":
            return outputs.softmax(-1)
        return outputs.sigmoid() if self.made == "sigmoid" else outputs

    def gradient(self, outputs: Tensor) -> str:
        """`slope`, and how many numbers or rows the mean goes over."""
        count = outputs.numel() // outputs.shape[-1] if self.classes and outputs.ndim else outputs.numel()
        over = f" / {count}" if count > 1 else ""
        inner = f"({self.slope})" if over and " - " in self.slope and "(" not in self.slope else self.slope
        return inner + over if self.slope else "from the loss"

    def targets(self, y: Any, outputs: Tensor) -> Tensor:
        """y as the loss wants it: lists become tensors, and the shape is that of the outputs where it must be."""
        given = isinstance(y, Tensor)
        tensor = y.detach().to(outputs.device) if isinstance(y, Tensor) else _tensor(y, outputs.dtype)
        if not self.shape_matters:
            return tensor
        if tensor.numel() == outputs.numel() and not (self.classes and tensor.ndim < outputs.ndim):
            tensor = tensor.reshape(outputs.shape)
        elif self.classes and tensor.numel() * outputs.shape[-1] == outputs.numel():
            whole = not tensor.is_floating_point() or bool((tensor == tensor.round()).all())
            tensor = tensor.reshape(outputs.shape[:-1])
            return tensor.long() if whole and not given else tensor
        return tensor


def _instead(last: str) -> str:
    if "log" in last.lower():
        return "torch.nn.functional.nll_loss"
    return "'cross_entropy' after softmax, 'binary_cross_entropy' after sigmoid"


def _tensor(y: Any, dtype: torch.dtype) -> Tensor:
    try:
        return torch.as_tensor(y, dtype=dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise GliaError("y is not an array of numbers", got=error) from None


def _at_every_place(loss: Loss) -> Loss:
    """Classes at every place of a text, logits (N, L, C) and y (N, L), are as many rows."""

    def call(outputs: Tensor, y: Tensor) -> Tensor:
        if outputs.ndim > 2 and y.shape == outputs.shape[:-1]:
            return loss(outputs.flatten(0, -2), y.flatten())
        return loss(outputs, y)

    return call


def _entropy(shares: Tensor, y: Tensor) -> Tensor:
    """Mean of -sum y log p over the rows; y: class indices, or shares of classes like the outputs."""
    if y.ndim < shares.ndim:
        y = F.one_hot(y.long(), shares.shape[-1]).to(shares.dtype)
    if y.shape != shares.shape:
        expected = f"a class a row, or {tuple(shares.shape)}"
        raise GliaError("y does not fit the outputs", got=tuple(y.shape), expected=expected)
    return -torch.special.xlogy(y, shares).sum(-1).mean()


def _binary(shares: Tensor, y: Tensor) -> Tensor:
    if y.shape != shares.shape:
        raise GliaError("y does not fit the outputs", got=tuple(y.shape), expected=tuple(shares.shape))
    return F.binary_cross_entropy(shares, y.to(shares.dtype))
