"""Losses from logits: (outputs, targets) -> the mean over the batch. Each has a form that gives a number a row, save
those that compare the rows with each other (`glia.nn.embedding_losses`); `build` makes all of them.

The mean of the rows is always the loss, class weights or not. (torch divides a weighted cross-entropy by the sum of the
batch's weights instead, so that a row's share depends on its neighbours.) Half precision is lifted to float32.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from glia.catalog import entry as catalog
from glia.errors import GliaError
from glia.nn.ctc import ctc_rows
from glia.nn.dice import dice_rows
from glia.nn.precision import exact

Loss = Callable[[Tensor, Tensor], Tensor]
_TENSORS = ("weight", "pos_weight")
_RANGES = {
    "label_smoothing": (0.0, 1.0),
    "alpha": (0.0, 1.0),
    "gamma": (0.0, inf),
    "delta": (1e-12, inf),
    "blank": (0, inf),
    "smooth": (1e-12, inf),
    "margin": (0.0, inf),
    "temperature": (1e-4, inf),
}


def build(name: str, **options: Any) -> Loss:
    """The loss of that name as a function (outputs, targets) -> scalar, the mean over the batch.

    options: what the catalogue says; weights may be any sequence. Example: ``build("cross_entropy", weight=[1, 3])``
    """
    entry, given = _checked(name, options)
    return partial(catalog.load(entry), **given)


def per_row(name: str, **options: Any) -> Loss:
    """The loss of that name as a function (outputs, targets) -> (N,), whose mean is that of `build`."""
    entry, given = _checked(name, options)
    if entry.name not in _PER_ROW:
        raise GliaError(f"{entry.name} has no value a row", expected="a loss that does not compare rows")
    return partial(_PER_ROW[entry.name], **given)


def cross_entropy(
    logits: Tensor, targets: Tensor, weight: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Minus the log of the share that the softmax gives to the truth.

    logits (N, C); targets: class indices (N,), one-hot or shares of classes (N, C). weight (C,): of each class.
    label_smoothing: this share of the truth is spread evenly over all classes (arXiv 1512.00567, section 7).
    """
    if weight is not None:
        return _cross_entropy_rows(logits, targets, weight, label_smoothing).mean()
    logits, targets = _classes(logits, targets)
    return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)


def _cross_entropy_rows(
    logits: Tensor, targets: Tensor, weight: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    logits, targets = _classes(logits, targets)
    own = None if weight is None else weight.to(logits)
    return _rows(F.cross_entropy(logits, targets, own, reduction="none", label_smoothing=label_smoothing))


def binary_cross_entropy(
    logits: Tensor, targets: Tensor, pos_weight: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Minus the log of the sigmoid's share for each answer, yes or no; the mean over labels and rows.

    logits, targets (N, L), targets 0 .. 1. pos_weight (L,): what a yes of each label counts.
    label_smoothing: 1 becomes 1 - s / 2 and 0 becomes s / 2.
    """
    logits, targets = _alike(logits, targets)
    return _binary(logits, targets, pos_weight, label_smoothing, reduction="mean")


def _binary_rows(
    logits: Tensor, targets: Tensor, pos_weight: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    logits, targets = _alike(logits, targets)
    return _rows(_binary(logits, targets, pos_weight, label_smoothing, reduction="none"))


def _binary(logits: Tensor, targets: Tensor, pos_weight: Tensor | None, smoothing: float, reduction: str) -> Tensor:
    if smoothing:
        targets = targets * (1 - smoothing) + smoothing / 2
    own = None if pos_weight is None else pos_weight.to(logits)
    return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=own, reduction=reduction)


def focal(
    logits: Tensor, targets: Tensor, weight: Tensor | None = None, gamma: float = 2.0, alpha: float | None = None
) -> Tensor:
    """Cross-entropy times (1 - p)^gamma, p the share given to the truth (arXiv 1708.02002, equations 4 and 5).

    Class indices (N,) for logits (N, C): p of the softmax; weight (C,) is the paper's alpha_t.
    Floats (N, L) like the logits: p of the sigmoid, as in the paper; alpha weighs a yes, 1 - alpha a no.
    """
    return _focal_rows(logits, targets, weight, gamma, alpha).mean()


def _focal_rows(
    logits: Tensor, targets: Tensor, weight: Tensor | None = None, gamma: float = 2.0, alpha: float | None = None
) -> Tensor:
    if targets.is_floating_point():
        if weight is not None:
            raise GliaError("focal loss of yes/no answers", got="weight", expected="alpha")
        logits, targets = _alike(logits, targets)
        return _rows(_focal_binary(logits, targets, gamma, alpha))
    if alpha is not None:
        raise GliaError("focal loss of classes", got="alpha", expected="weight")
    logits, targets = _classes(logits, targets)
    if targets.ndim == logits.ndim:
        raise GliaError("focal loss of classes", got="shares of classes", expected="class indices (N,)")
    log_p = -F.cross_entropy(logits, targets, reduction="none")
    loss = -log_p * _missing(-torch.expm1(log_p), gamma)
    return _rows(loss if weight is None else loss * weight.to(logits)[targets])


def _focal_binary(logits: Tensor, targets: Tensor, gamma: float, alpha: float | None) -> Tensor:
    """Of each answer; a soft target is a mixture of both."""
    yes = -F.logsigmoid(logits) * _missing(torch.sigmoid(-logits), gamma)
    no = -F.logsigmoid(-logits) * _missing(torch.sigmoid(logits), gamma)
    if alpha is not None:
        yes, no = alpha * yes, (1 - alpha) * no
    return targets * yes + (1 - targets) * no


def _missing(share: Tensor, gamma: float) -> Tensor:
    """share^gamma, with a gradient of 0 instead of infinity at share 0 when gamma is below 1."""
    return share.clamp_min(torch.finfo(share.dtype).tiny).pow(gamma)


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean of (output - target)^2 over all numbers of (N, T)."""
    return F.mse_loss(*_alike(outputs, targets))


def pinball(outputs: Tensor, targets: Tensor, quantiles: Sequence[float] = (0.1, 0.5, 0.9)) -> Tensor:
    """Mean over the quantiles q of max(q e, (q - 1) e), where e = target - output; its minimum is at the quantiles.

    outputs (..., Q), targets (...). Koenker, Bassett 1978.
    """
    return _pinball_rows(outputs, targets, quantiles).mean()


def half_mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean of (output - target)^2 / 2: its gradient is the plain difference."""
    return F.mse_loss(*_alike(outputs, targets)) / 2


def mae(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean of |output - target|."""
    return F.l1_loss(*_alike(outputs, targets))


def huber(outputs: Tensor, targets: Tensor, delta: float = 1.0) -> Tensor:
    """Mean of d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), d = output - target."""
    return F.huber_loss(*_alike(outputs, targets), delta=delta)


def _rows(each: Tensor) -> Tensor:
    """(N, ...) -> (N,)."""
    return each.flatten(1).mean(1) if each.ndim > 1 else each


def _pinball_rows(outputs: Tensor, targets: Tensor, quantiles: Sequence[float] = (0.1, 0.5, 0.9)) -> Tensor:
    outputs = exact(outputs)
    levels = torch.tensor(quantiles, dtype=outputs.dtype, device=outputs.device)
    if outputs.shape[-1] != len(levels):
        raise GliaError("outputs of the pinball loss", got=tuple(outputs.shape), expected=f"(..., {len(levels)})")
    error = targets.to(outputs.dtype).unsqueeze(-1) - outputs
    return torch.maximum(levels * error, (levels - 1) * error).flatten(1).mean(1)


def _mse_rows(outputs: Tensor, targets: Tensor) -> Tensor:
    return _rows(F.mse_loss(*_alike(outputs, targets), reduction="none"))


def _half_mse_rows(outputs: Tensor, targets: Tensor) -> Tensor:
    return _mse_rows(outputs, targets) / 2


def _mae_rows(outputs: Tensor, targets: Tensor) -> Tensor:
    return _rows(F.l1_loss(*_alike(outputs, targets), reduction="none"))


def _huber_rows(outputs: Tensor, targets: Tensor, delta: float = 1.0) -> Tensor:
    return _rows(F.huber_loss(*_alike(outputs, targets), reduction="none", delta=delta))


_PER_ROW: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": _cross_entropy_rows,
    "binary_cross_entropy": _binary_rows,
    "focal": _focal_rows,
    "mse": _mse_rows,
    "half_mse": _half_mse_rows,
    "mae": _mae_rows,
    "huber": _huber_rows,
    "pinball": _pinball_rows,
    "ctc": ctc_rows,
    "dice": dice_rows,
}


def _classes(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Logits in full precision; targets as indices (N,) or floats (N, C)."""
    logits = exact(logits)
    if targets.ndim == logits.ndim:
        if targets.shape != logits.shape:
            raise _mismatch(logits, targets)
        return logits, targets.to(logits.dtype)
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise GliaError(
            "targets of a loss over classes",
            got=f"{targets.dtype} {tuple(targets.shape)}",
            expected="whole numbers (N,), or shares of classes (N, C)",
        )
    return logits, targets.long()


def _alike(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Both in full precision and of one shape: broadcasting (N, 1) against (N,) would compare all with all."""
    if outputs.shape != targets.shape:
        raise _mismatch(outputs, targets)
    outputs = exact(outputs)
    return outputs, targets.to(outputs.dtype)


def _mismatch(outputs: Tensor, targets: Tensor) -> GliaError:
    return GliaError(f"targets do not have the outputs' shape {tuple(outputs.shape)}", got=tuple(targets.shape))


def _checked(name: str, options: dict[str, Any]) -> tuple[catalog.Entry, dict[str, Any]]:
    """The entry, and its options: known, in range, weights as tensors."""
    entry = catalog.find("losses", name)
    if entry.facts["form"] == "players":
        raise GliaError(f"{entry.name} is no loss of outputs and targets", hint="glia.nn.adversarial.build makes it")
    given = catalog.options(entry, options, entry.facts["options"])
    made = {key: _number(entry, key, value) for key, value in given.items() if value is not None}
    return entry, made


def _number(entry: catalog.Entry, key: str, value: Any) -> Any:
    if key in _TENSORS:
        weights = value if isinstance(value, Tensor) else torch.tensor(_list(value), dtype=torch.float32)
        if not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()):
            raise GliaError(f"{key} of {entry.name}", got=value, expected="finite numbers of 0 or more")
        return weights
    if key == "quantiles":
        levels = tuple(_list(value))
        if not levels or not all(0 < level < 1 for level in levels):
            raise GliaError(
                f"{key} of {entry.name}", got=value, expected="numbers between 0 and 1, such as 0.1, 0.5, 0.9"
            )
        return levels
    low, high = _RANGES[key]
    if not low <= value < high:
        raise GliaError(f"{key} of {entry.name}", got=value, expected=f"a number from {low:g} to below {high:g}")
    return value


def _list(value: Sequence[float]) -> list[float]:
    return [float(item) for item in value]
