"""Dice loss: how far two areas are from covering each other. For masks, where most places are background."""

from torch import Tensor
from torch.nn import functional as F

from glia.errors import GliaError
from glia.nn.precision import exact


def dice(logits: Tensor, targets: Tensor, smooth: float = 1.0) -> Tensor:
    """1 - (2 sum(p t) + smooth) / (sum(p^2) + sum(t^2) + smooth) over the places; the mean over classes and rows.

    logits (N, C, places ...): with class indices (N, places ...) p is their softmax, with floats 0 .. 1 of the logits'
    own shape the sigmoid of each, for areas that may overlap. smooth: places that count as right in every picture, so
    that a class which is neither there nor seen costs nothing.
    Milletari et al. 2016, arXiv 1606.04797, section 3; `smooth` is not in the paper.
    """
    return dice_rows(logits, targets, smooth).mean()


def dice_rows(logits: Tensor, targets: Tensor, smooth: float = 1.0) -> Tensor:
    """`dice` a row: (N,)."""
    logits = exact(logits)
    shares, truth = _areas(logits, targets)
    shares, truth = shares.flatten(2), truth.flatten(2)
    both = (shares * truth).sum(2)
    each = shares.square().sum(2) + truth.square().sum(2)
    return 1 - ((2 * both + smooth) / (each + smooth)).mean(1)


def _areas(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, places ...) shares that were given, and that are true."""
    if logits.ndim > 2 and targets.shape == logits.shape and targets.is_floating_point():
        return logits.sigmoid(), targets.to(logits.dtype)
    if logits.ndim > 2 and targets.shape == logits.shape[:1] + logits.shape[2:] and not targets.is_floating_point():
        return logits.softmax(1), F.one_hot(targets.long(), logits.shape[1]).movedim(-1, 1).to(logits.dtype)
    raise GliaError(
        "dice",
        got=f"logits {tuple(logits.shape)}, targets {tuple(targets.shape)} {targets.dtype}",
        expected="logits (N, C, places ...), class indices (N, places ...) or floats of the logits' shape",
    )
