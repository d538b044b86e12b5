"""The step of networks that turn a text into another: each next token of the translation, given those before it."""

import math
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from glia.training.metrics import Metric
from glia.training.steps import Outcome, Step


def translating(pad: int, smoothing: float = 0.0) -> Step:
    """A Step over batches whose inputs are tokens (N, S) and whose targets are tokens (N, L + 1) with begin and end.

    The network is given the true tokens before each place (teacher forcing). The loss is the mean cross-entropy of the
    tokens that are not `pad`, in nats; smoothing: share of certainty taken from each token, in training alone.
    `Outcome.rows` counts tokens, so that means over batches are means over tokens. Metric: perplexity, exp of the loss
    without smoothing.
    """

    def step(model: nn.Module, batch: Any) -> Outcome:
        targets = batch.targets[:, 1:]
        logits: Tensor = model(batch.inputs, batch.targets[:, :-1])
        there = targets != pad
        told, wanted = logits[there].float(), targets[there]  # the loss is taken in full precision
        plain = F.cross_entropy(told, wanted)
        value = plain
        if smoothing and model.training:
            # The mean over all tokens of minus their log share is what smoothing mixes in.
            even = (told.logsumexp(1) - told.mean(1)).mean()
            value = (1 - smoothing) * plain + smoothing * even
        return Outcome(value, len(wanted), plain.detach() * len(wanted))

    def per_row(logits: Tensor, targets: Tensor) -> Tensor:
        each = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=pad, reduction="none")
        return each.view(targets.shape).sum(1) / (targets != pad).sum(1).clamp_min(1)

    step.metric = Metric("perplexity", per_row, finish=_perplexity, higher_is_better=False)  # type: ignore[attr-defined]
    return step


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700.0)) if loss == loss else loss
