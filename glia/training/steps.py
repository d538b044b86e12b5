"""Steps: what one batch means to a model. A Step is any function (model, batch) -> Outcome (or a bare loss)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from glia.catalog import entry as catalog
from glia.data.batches import Batches
from glia.errors import GliaError
from glia.nn import losses
from glia.training.metrics import Metric, accuracy, label_accuracy, rmse

Loss = Callable[[Tensor, Tensor], Tensor]


class Outcome(NamedTuple):
    """What a step found.

    loss: scalar, to be minimised. rows: how many rows it is the mean of. metric: sum over rows of the step's metric.
    """

    loss: Tensor
    rows: int = 1
    metric: Tensor | None = None


Step = Callable[[nn.Module, Any], Outcome | Tensor]
"""With `pure = True` where it does nothing but find them: such a step may be replayed (`glia.replay`)."""

_TARGET_NAMES = ("targets", "target", "labels", "label", "y")


class Parts(NamedTuple):
    """A batch, taken apart."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    targets: Tensor


def unpack(batch: Any) -> Parts:
    """Inputs and targets of a batch: our Batch, an (x, y) or (x1, x2, ..., y) sequence, or a dict with a "labels",
    "targets" or "y" among its keys (the rest are keyword arguments of the model; a lone "x", "inputs" is positional).
    """
    if isinstance(batch, Mapping):
        name = next((name for name in _TARGET_NAMES if name in batch), None)
        if name is None:
            raise GliaError("a batch that is a dict", got=f"keys {sorted(batch)}", expected=f"one of {_TARGET_NAMES}")
        rest = {key: value for key, value in batch.items() if key != name}
        if len(rest) == 1 and next(iter(rest)) in ("x", "X", "inputs", "input", "features"):
            return Parts(tuple(rest.values()), {}, batch[name])
        return Parts((), rest, batch[name])
    if hasattr(batch, "index") and hasattr(batch, "inputs"):
        return Parts((batch.inputs,), {}, batch.targets)
    if isinstance(batch, Sequence) and len(batch) >= 2:
        return Parts(tuple(batch[:-1]), {}, batch[-1])
    raise GliaError("a batch", got=type(batch).__name__, expected="(inputs, targets), or a dict with 'labels'")


def _tensor(outputs: Any) -> Tensor:
    """The logits among what a model returned: itself, or its `.logits` / "logits"."""
    if isinstance(outputs, Tensor):
        return outputs
    if isinstance(outputs, Mapping) and "logits" in outputs:
        return outputs["logits"]
    if hasattr(outputs, "logits"):
        return outputs.logits
    raise GliaError("the model's output", got=type(outputs).__name__, expected="a tensor, or something with .logits")


def supervised(loss: str | Loss = "cross_entropy", *, metric: Metric | None = None, **options: Any) -> Step:
    """A Step that compares outputs with targets.

    loss: a name in the catalogue, with its `options` (weight, label_smoothing, ...), or (outputs, targets) -> scalar.
    An ensemble's outputs (N, K, C) are scored member by member: the mean of the losses, not the loss of the mean.
    Label smoothing is for training: validation is scored against the labels as they are.
    """
    if callable(loss):
        training = scoring = loss
    else:
        training = losses.build(loss, **options)
        scoring = losses.build(loss, **{key: value for key, value in options.items() if key != "label_smoothing"})
        metric = metric or _metric_for(loss)

    def step(model: nn.Module, batch: Any) -> Outcome:
        args, kwargs, targets = unpack(batch)
        outputs = _tensor(model(*args, **kwargs))
        if outputs.is_floating_point() and outputs.dtype != torch.float32:
            outputs = outputs.float()  # losses and metrics are taken in full precision
        members = outputs.ndim == 3 and hasattr(model, "members")
        value = _members_loss(training if model.training else scoring, outputs, targets, members=members)
        with torch.no_grad():
            mean = outputs.mean(1) if members else outputs
            return Outcome(value, len(outputs), None if metric is None else _scored(metric, mean, targets, model))

    step.metric = metric  # type: ignore[attr-defined]
    step.pure = not callable(loss) or torchs(loss)  # type: ignore[attr-defined]
    return step


def _scored(metric: Metric, outputs: Tensor, targets: Tensor, model: nn.Module) -> Tensor:
    """The sum over rows. In validation NaN where an output is: the largest of NaN is class 0, which may well be right.

    In training the loss tells. Infinities below 0 are left alone, they mask what cannot be.
    """
    total = metric.per_row(outputs, targets).sum()
    return total if model.training else total + 0.0 * outputs.amax()


def torchs(loss: Loss) -> bool:
    """Is it one of torch's own, which remember nothing?"""
    return (loss.__module__ or "").startswith("torch.nn.")


def _members_loss(loss: Loss, outputs: Tensor, targets: Tensor, *, members: bool) -> Tensor:
    if not members:
        return loss(outputs, targets)
    spread = targets.unsqueeze(1).expand(len(targets), outputs.shape[1], *targets.shape[1:])
    return loss(outputs.flatten(0, 1), spread.flatten(0, 1))


def _metric_for(loss: str) -> Metric | None:
    tasks = catalog.find("losses", loss).facts.get("tasks", ())
    for task, metric in (("classify", accuracy), ("multilabel", label_accuracy), ("regress", rmse())):
        if task in tasks:
            return metric
    return None


@dataclass(frozen=True)
class FoldStep:
    """The Step of packed folds: member j of the ensemble never trains on rows of fold j mod `folds`.

    valid_on_train: in evaluation the training rows are scored by the members that never saw them, so they give an
    honest validation figure and none has to be held out; it tells the loop to validate so. False: other rows are, by
    all members.
    fold_of: (rows,) fold of each training row. combine: (outputs (N, K, C), mask (N, K)) -> (N, C).
    """

    per_row: Loss
    scoring: Loss
    metric: Metric
    fold_of: Tensor
    folds: int
    combine: Callable[[Tensor, Tensor], Tensor]
    valid_on_train: bool = True
    pure: ClassVar[bool] = True

    def __call__(self, model: nn.Module, batch: Any) -> Outcome:
        inputs, targets, index = batch
        if not model.training:
            outputs = self.held_out(model, inputs, index) if self.valid_on_train else model(inputs).float()
            return Outcome(self.scoring(outputs, targets), len(outputs), _scored(self.metric, outputs, targets, model))
        outputs = model(inputs).float()
        count, members = outputs.shape[:2]
        spread = targets.unsqueeze(1).expand(count, members, *targets.shape[1:])
        each = self.per_row(outputs.flatten(0, 1), spread.flatten(0, 1)).view(count, members)
        seen = ~self._held(index, members)
        with torch.no_grad():
            metric = self.metric.per_row(outputs.mean(1), targets).sum()
        return Outcome((each * seen).sum() / seen.sum(), count, metric)

    def _held(self, index: Tensor, members: int) -> Tensor:
        fold = self.fold_of.to(index.device)[index]
        return fold[:, None] == torch.arange(members, device=index.device) % self.folds

    def held_out(self, model: nn.Module, inputs: Tensor, index: Tensor) -> Tensor:
        """Outputs (N, C) of the members that never trained on these rows."""
        outputs = model.members(inputs).float()  # type: ignore[operator]
        return self.combine(outputs, self._held(index, outputs.shape[1]))

    def out_of_fold(self, model: nn.Module, rows: Batches, batch_size: int = 1024) -> Tensor:
        """Held-out outputs of all training rows, in order."""
        with torch.inference_mode():
            return torch.cat([self.held_out(model, batch.inputs, batch.index) for batch in rows.ordered(batch_size)])
