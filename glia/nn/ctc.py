"""Connectionist temporal classification: symbols in their order, without knowing at which frame each of them stands."""

import torch
from torch import Tensor
from torch.nn import functional as F

from glia.errors import GliaError
from glia.nn.precision import exact


def ctc(logits: Tensor, targets: Tensor, lengths: Tensor | None = None, blank: int = 0) -> Tensor:
    """Minus the log of the share of all ways to spell the target, in nats a symbol; the mean over the rows.

    logits (N, frames, C), one class of them the `blank`; targets (N, S) whole numbers, shorter rows filled up with
    -1. lengths (N,): how many frames of each row count, all when None. A target that cannot fit into its frames (it
    needs one a symbol, and one more between two alike) costs nothing and moves nothing, as no weights could spell it.
    Graves et al. 2006, ICML, section 4.1. As torch's, each row is divided by the length of its target.
    """
    return ctc_rows(logits, targets, lengths, blank).mean()


def ctc_rows(logits: Tensor, targets: Tensor, lengths: Tensor | None = None, blank: int = 0) -> Tensor:
    """`ctc` a row: (N,)."""
    _check(logits, targets, blank)
    if lengths is None:
        lengths = torch.full((len(logits),), logits.shape[1], device=logits.device)
    symbols = (targets >= 0).sum(1)
    shares = exact(logits).log_softmax(2).transpose(0, 1)  # torch wants the frames first
    spelled = targets.long().clamp_min(0)
    each = F.ctc_loss(shares, spelled, lengths.long(), symbols, blank, reduction="none", zero_infinity=True)
    return each / symbols.clamp_min(1)


PAST = -1e4  # logit of every symbol but the blank where a row has ended


def ended(logits: Tensor, lengths: Tensor, blank: int = 0) -> Tensor:
    """logits (N, frames, C) that can be nothing but the blank past the end of each row (N,).

    A row is then read, and costs, the same however far its batch is filled up, whoever forgets its length.
    """
    past = torch.arange(logits.shape[1], device=logits.device) >= lengths[:, None]
    certain = logits.new_full((logits.shape[2],), PAST)
    certain[blank] = 0.0
    return torch.where(past[:, :, None], certain, logits)


def frames(logits: Tensor, blank: int = 0) -> Tensor:
    """int64 (N,): the lengths that `ended` was given, 1 or more."""
    others = torch.cat((logits[..., :blank], logits[..., blank + 1 :]), 2)
    there = (others > PAST).any(2)
    return (there * torch.arange(1, logits.shape[1] + 1, device=logits.device)).amax(1).clamp_min(1)


def _check(logits: Tensor, targets: Tensor, blank: int) -> None:
    if logits.ndim != 3 or targets.ndim != 2 or len(targets) != len(logits) or targets.is_floating_point():
        got = f"logits {tuple(logits.shape)}, targets {tuple(targets.shape)} {targets.dtype}"
        raise GliaError("ctc", got=got, expected="logits (N, frames, C) and whole numbers (N, S)")
    if not 0 <= blank < logits.shape[2]:
        raise GliaError("blank of ctc", got=blank, expected=f"a class from 0 to {logits.shape[2] - 1}")
    wrong = targets[(targets == blank) | (targets >= logits.shape[2])]  # torch would read past the end of its table
    if len(wrong):
        others = f"classes below {logits.shape[2]} but not the blank {blank}, and -1 past the end"
        raise GliaError("targets of ctc", got=int(wrong[0]), expected=others)
