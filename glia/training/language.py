"""The step of networks that write: tell the next token at every place."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.errors import GliaError
from glia.training.metrics import Metric
from glia.training.steps import Outcome, Step


def next_token(pad: int | None = None) -> Step:
    """A Step over tokens (N, L + 1): the network reads the first L of each row and tells the last L.

    A batch is such a tensor; a pair (source (N, S), tokens (N, L + 1)) for an encoder and a decoder; or one of glia's
    own whose inputs and targets (N, L) stand one token apart already. The loss is the mean cross-entropy of the tokens,
    in nats; those that are `pad` do not count. Metric: bits a token, which is bits a character for texts in characters.
    Over several batches rows count alike, however many tokens they have.
    """

    def step(model: nn.Module, batch: Any) -> Outcome:
        args, targets = _apart(batch)
        logits: Tensor = model(*args).float()  # the loss is taken in full precision
        if logits.shape[:-1] != targets.shape:
            expected = f"({', '.join(map(str, targets.shape))}, vocabulary)"
            raise GliaError("the logits of a language model", got=tuple(logits.shape), expected=expected)
        each = _each(logits, targets, pad)
        value = each.sum() / _counted(targets, pad).sum().clamp_min(1)
        return Outcome(value, len(targets), value.detach() * len(targets) / math.log(2))

    def per_row(logits: Tensor, targets: Tensor) -> Tensor:
        return _each(logits, targets, pad).sum(1) / _counted(targets, pad).sum(1).clamp_min(1) / math.log(2)

    step.metric = Metric("bits", per_row, higher_is_better=False)  # type: ignore[attr-defined]
    return step


def _apart(batch: Any) -> tuple[tuple[Tensor, ...], Tensor]:
    """What the network takes, and what it is to tell."""
    if isinstance(batch, Tensor):
        return (batch[:, :-1],), batch[:, 1:]
    if hasattr(batch, "inputs") and hasattr(batch, "targets"):
        return (batch.inputs,), batch.targets
    if isinstance(batch, list | tuple) and len(batch) == 2:
        source, tokens = batch
        return (source, tokens[:, :-1]), tokens[:, 1:]
    raise GliaError(
        "a batch of texts", got=type(batch).__name__, expected="tokens (N, L + 1), or a pair of source and tokens"
    )


def _each(logits: Tensor, targets: Tensor, pad: int | None) -> Tensor:
    """The loss of each token (N, L); 0 for `pad`."""
    flat = logits.flatten(0, 1), targets.flatten()
    ignored = -100 if pad is None else pad
    return F.cross_entropy(*flat, ignore_index=ignored, reduction="none").view(targets.shape)


def _counted(targets: Tensor, pad: int | None) -> Tensor:
    return torch.ones_like(targets) if pad is None else targets != pad
