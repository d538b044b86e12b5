"""Answers: what the labels of a run are, how good outputs are, and the loss that fits them. Pure functions."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from glia.vitals.chart import ScoreFacts

IGNORED = -100  # torch's mark for labels that do not count
MOST_CLASSES = 100_000
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Answers:
    """What is asked for. kind: "classes", "binary", "multilabel" or "numbers". outputs: numbers that the model gives a
    row. classes: how many there are. form: "index", "onehot" or "column" labels, "raw" numbers.
    """

    kind: str
    outputs: int
    classes: int
    form: str

    @property
    def fitting_outputs(self) -> int:
        """How many numbers a row the fitting loss needs."""
        return self.classes if self.kind == "classes" and self.classes > 2 else self.outputs


def understood(outputs: Tensor, labels: Tensor) -> Answers | None:
    """What kind of answers these are, from the shapes and values of both; None where they do not go together."""
    if not outputs.ndim or not labels.ndim or not outputs.is_floating_point():
        return None
    width = outputs.shape[-1] if outputs.ndim == 2 else 1
    if not labels.is_floating_point() and labels.dtype != torch.bool and by_row(outputs, labels) is not None:
        classes = by_row(outputs, labels)[0].shape[1]  # type: ignore[index]
        return Answers("classes", classes, classes, "index")
    values = labels.double()
    whole = bool((values == values.round()).all()) and bool(values.isfinite().all())
    binary = whole and bool(((values == 0) | (values == 1)).all())
    if labels.numel() == outputs.numel() and (width == 1 or labels.shape == outputs.shape):
        if binary and width > 1 and labels.ndim == 2 and bool((values.sum(1) == 1).all()):
            return Answers("classes", width, width, "onehot")
        signs = width > 1 and labels.ndim == 2 and bool((values.abs() == 1).all())
        if signs and bool(((values == 1).sum(1) == 1).all()):
            return Answers("classes", width, width, "onehot")  # as hinge losses take it
        if binary:
            return Answers("binary" if labels.numel() == len(labels) else "multilabel", width, 2, "column")
        seen = values.unique()
        if width == 1 and whole and seen.tolist() == [-1.0, 1.0]:
            return Answers("binary", 1, 2, "signs")
        few = whole and len(seen) <= 20 and len(seen) < max(3, len(values) / 10)
        if few and not labels.is_floating_point():
            return Answers("classes", 1, int(seen.max().item()) + 1, "column")
        return Answers("numbers", width, len(seen) if few else 0, "raw")
    if labels.is_floating_point() and whole and labels.numel() == len(outputs) and outputs.ndim == 2:
        return Answers("classes", width, width, "index")  # indices that came as floats
    return None


def by_row(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor] | None:
    """Outputs as (M, C) and class indices as (M,), for rows, tokens (N, T, C) and pictures (N, C, H, W)."""
    o, y = outputs, labels
    if o.ndim < 2:
        return None
    if y.ndim == 2 and y.shape[1] == 1 and o.ndim == 2:
        y = y[:, 0]
    if o.ndim > 2 and y.shape == (o.shape[0], *o.shape[2:]):
        o = o.movedim(1, -1)
    if y.numel() != o.numel() // o.shape[-1] or o.shape[-1] < 2 or o.shape[-1] > MOST_CLASSES:
        return None
    return o.reshape(-1, o.shape[-1]), y.reshape(-1)


def indices(answers: Answers, outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs (M, C) and the right class of each (M,), without the labels that do not count."""
    if labels.shape == outputs.shape and labels.ndim == 2 and labels.shape[1] > 1:
        return outputs, labels.argmax(1)
    pair = by_row(outputs, labels)
    if pair is None:
        raise ValueError(f"outputs {tuple(outputs.shape)} and labels {tuple(labels.shape)} do not go together")
    o, y = pair[0], pair[1].long()
    counts = y != IGNORED
    return (o, y) if bool(counts.all()) else (o[counts], y[counts])


def score(answers: Answers, outputs: Tensor, labels: Tensor, part: str = "valid", threshold: float = 0.5) -> ScoreFacts:
    """How good outputs are: accuracy of classes, R2 of numbers (the mean over columns).

    Chance is that of always giving the most common class. Where classes are uneven, the mean recall of the classes
    counts if it shows more skill. threshold: outputs above it mean yes, for one output a label.
    """
    if answers.kind == "numbers":
        return _r2(outputs, labels, part)
    if answers.kind == "classes" and answers.outputs > 1:
        o, y = indices(answers, outputs, labels)
        if not len(y) or not bool(o.isfinite().all()):
            return ScoreFacts("accuracy", part, math.nan, 0.0, len(y))
        return _accuracy(o.argmax(1), y, part)
    o, y = outputs.reshape(len(outputs), -1).float(), labels.reshape(len(outputs), -1).float()
    if not bool(o.isfinite().all()):
        return ScoreFacts("accuracy", part, math.nan, 0.0, len(y))
    if answers.form == "signs":
        y, threshold = (y > 0).float(), 0.0
    said = (o > threshold).float()
    if answers.kind != "multilabel":
        return _accuracy(said[:, 0].long(), y[:, 0].long(), part)
    right = (said == y).float().mean().item()
    share = y.mean(0)
    return ScoreFacts("accuracy", part, right, torch.maximum(share, 1 - share).mean().item(), len(y))


def _accuracy(said: Tensor, right: Tensor, part: str) -> ScoreFacts:
    classes, counts = right.unique(return_counts=True)
    plain = ScoreFacts(
        "accuracy", part, (said == right).float().mean().item(), (counts.max() / len(right)).item(), len(right)
    )
    if len(classes) < 2 or len(classes) > 1000:
        return plain
    hits = torch.stack([(said[right == c] == c).float().mean() for c in classes])
    balanced = ScoreFacts("mean recall", part, hits.mean().item(), 1 / len(classes), len(right))
    return balanced if balanced.skill > plain.skill + 0.1 else plain


def _r2(outputs: Tensor, labels: Tensor, part: str) -> ScoreFacts:
    o, y = outputs.reshape(len(outputs), -1).double(), labels.reshape(len(labels), -1).double()
    if o.shape != y.shape:
        raise ValueError(f"outputs {tuple(o.shape)} and labels {tuple(y.shape)} do not go together")
    if not bool(o.isfinite().all()):
        return ScoreFacts("R2", part, math.nan, 0.0, len(y))
    error, spread = (o - y).square().mean(), y.var(0, correction=0).mean()
    return ScoreFacts("R2", part, 1 - (error / (spread + 1e-12)).item(), 0.0, len(y))


def fitting_loss(answers: Answers) -> tuple[str, Loss]:
    """The torch.nn loss for these answers on raw outputs, by name, and as a function of outputs and labels."""
    if answers.kind == "numbers":
        return "MSELoss", lambda o, y: F.mse_loss(o.reshape(len(o), -1).float(), y.reshape(len(y), -1).float())
    if answers.kind == "classes" and answers.outputs > 1:
        return "CrossEntropyLoss", lambda o, y: F.cross_entropy(*indices(answers, o, y))
    return "BCEWithLogitsLoss", lambda o, y: F.binary_cross_entropy_with_logits(
        o.reshape(len(o), -1).float(), y.reshape(len(y), -1).float()
    )


def references(answers: Answers) -> Iterator[tuple[str, Loss]]:
    """Losses that people give such answers, by name: means over rows, of outputs and labels as they are."""

    def flat(loss: Loss) -> Loss:
        return lambda o, y: loss(o.reshape(-1), y.reshape(-1).to(o.dtype))

    if answers.kind == "classes" and answers.outputs > 1:

        def onehot(loss: Loss) -> Loss:
            def of(o: Tensor, y: Tensor) -> Tensor:
                rows, right = indices(answers, o, y)
                return loss(rows, F.one_hot(right, rows.shape[1]).to(rows.dtype))

            return of

        def picked(of: Callable[[Tensor], Tensor]) -> Loss:
            def loss(o: Tensor, y: Tensor) -> Tensor:
                rows, right = indices(answers, o, y)
                return -of(rows.gather(1, right.unsqueeze(1))).mean()

            return loss

        def shifted(o: Tensor, y: Tensor) -> Tensor:
            return F.cross_entropy(o[:, :-1].reshape(-1, o.shape[-1]), y[:, 1:].reshape(-1))

        yield "cross_entropy", lambda o, y: F.cross_entropy(*indices(answers, o, y))
        yield "nll", picked(lambda p: p)
        yield "log", picked(lambda p: p.clamp(min=1e-7).log())
        yield "mse", onehot(F.mse_loss)
        yield "l1", onehot(F.l1_loss)
        yield "bce", onehot(lambda o, y: F.binary_cross_entropy(o.clamp(0, 1), y))
        yield "bce_logits", onehot(F.binary_cross_entropy_with_logits)
        yield "hinge", onehot(lambda o, y: F.relu(1 - (2 * y - 1) * o).mean())
        yield "hinge", lambda o, y: F.multi_margin_loss(*indices(answers, o, y))
        yield "smooth_l1", onehot(F.smooth_l1_loss)
        if answers.form == "index":
            yield "causal_cross_entropy", shifted
        return
    yield "mse", flat(F.mse_loss)
    yield "l1", flat(F.l1_loss)
    yield "smooth_l1", flat(F.smooth_l1_loss)
    yield "bce_logits", flat(F.binary_cross_entropy_with_logits)
    yield "bce", flat(lambda o, y: F.binary_cross_entropy(o.clamp(0, 1), y.clamp(0, 1)))
    yield "hinge", flat(lambda o, y: F.relu(1 - y * o).mean())
    yield "hinge", flat(lambda o, y: F.relu(1 - (2 * y - 1) * o).mean())
    yield "root_mse", flat(lambda o, y: F.mse_loss(o, y).sqrt())
