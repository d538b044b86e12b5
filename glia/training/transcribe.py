"""The step of networks that write down what is said."""

from typing import Any

import torch
from torch import Tensor, nn

from glia.errors import GliaError
from glia.nn.ctc import ctc_rows, frames
from glia.nn.ctc_decode import greedy
from glia.nn.edits import edit_distance
from glia.training.metrics import Metric
from glia.training.steps import Outcome, Step, unpack

PAST = -1


def transcribing(blank: int = 0) -> Step:
    """A Step by connectionist temporal classification: logits (N, frames, C) against texts (N, S), -1 past the end.

    The loss is `glia.nn.ctc:ctc`, in nats a sign. Metric: the character error rate of the most likely path; the mean
    over the rows, whatever their length.
    """

    def step(model: nn.Module, batch: Any) -> Outcome:
        args, kwargs, targets = unpack(batch)
        logits = model(*args, **kwargs)
        if not isinstance(logits, Tensor) or logits.ndim != 3:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise GliaError("the logits of a transcription", got=got, expected="(N, frames, classes)")
        each = ctc_rows(logits.float(), targets, frames(logits.detach(), blank), blank)
        with torch.no_grad():
            metric = per_row(logits.detach(), targets).sum()
            metric = metric if model.training else metric + 0.0 * logits.amax()  # NaN has no text of its own
        return Outcome(each.mean(), len(targets), metric)

    def per_row(logits: Tensor, targets: Tensor) -> Tensor:
        told = padded([one.symbols for one in greedy(logits, blank)]).to(targets.device)
        return edit_distance(told, targets, PAST) / (targets != PAST).sum(1).clamp_min(1)

    step.metric = Metric("cer", per_row, higher_is_better=False)  # type: ignore[attr-defined]
    return step


def padded(rows: list[list[int]]) -> Tensor:
    """Rows of whole numbers as one int64 tensor, -1 past the end of each."""
    out = torch.full((len(rows), max(map(len, rows), default=0)), PAST, dtype=torch.int64)
    for place, row in enumerate(rows):
        out[place, : len(row)] = torch.tensor(row, dtype=torch.int64)
    return out
