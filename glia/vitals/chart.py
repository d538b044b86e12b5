"""Chart: what was observed of a training run, whoever ran it. Numbers only; what they mean is for the doctor to say."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Any


@dataclass(frozen=True, slots=True)
class Spread:
    """The numbers in a tensor. Values that are not finite count in `nonfinite` alone; unknown figures are NaN.

    zeros: share of exact zeros. dead: share of units (columns or channels) that are 0 in every row.
    rows: how many were looked at. narrowest, widest: smallest and largest standard deviation of a column, of those
    that vary at all.
    """

    mean: float = nan
    std: float = nan
    low: float = nan
    high: float = nan
    zeros: float = 0.0
    dead: float = 0.0
    nonfinite: float = 0.0
    rows: int = 0
    narrowest: float = nan
    widest: float = nan

    @property
    def rms(self) -> float:
        """Root of the mean square: how large the numbers are, wherever they lie."""
        return (self.mean**2 + self.std**2) ** 0.5


@dataclass(frozen=True, slots=True)
class StepVitals:
    """One optimiser step. Figures that were not measured are NaN or None.

    loss: mean over the step's backward passes, before the update. grad_norm: as the optimiser finds the gradients.
    backwards: backward passes since the step before. carried: the gradients still held what the step before had used.
    """

    step: int
    loss: float = nan
    lr: float = nan
    grad_norm: float = nan
    epoch: int | None = None
    optimizer: int = 0  # index in Chart.optimizers
    backwards: int = 1
    carried: bool | None = None


@dataclass(frozen=True, slots=True)
class LayerVitals:
    """One module at one measured step; a step's layers stand in the order in which they answered.

    output, input: its first tensors, at its first call in the step. leaf: it has no modules inside.
    grad_norm, weight_norm: of its own parameters, NaN without any. update_ratio: norm of the change / weight_norm.
    """

    step: int
    module: str
    kind: str
    output: Spread = Spread()
    input: Spread = Spread()
    grad_norm: float = nan
    weight_norm: float = nan
    update_ratio: float = nan
    leaf: bool = True

    @property
    def weighted(self) -> bool:
        """Does it hold weights of its own (not only the scale and shift of a norm)?"""
        return self.weight_norm == self.weight_norm and "Norm" not in self.kind

    @property
    def place(self) -> str:
        """What people call it: its path and class."""
        return f"{self.module or 'the model'} ({self.kind})"


@dataclass(frozen=True, slots=True)
class ParameterFacts:
    """A parameter of a model. graded: measured steps at which it had a gradient; called: its module ran forward."""

    name: str
    size: int = 1
    trainable: bool = True
    in_optimizer: bool = True
    graded: int = 1
    called: bool = True


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model: the outermost module with parameters. modules: (path, class name). measured: steps looked at."""

    kind: str
    modules: tuple[tuple[str, str], ...] = ()
    parameters: tuple[ParameterFacts, ...] = ()
    measured: int = 0


@dataclass(frozen=True, slots=True)
class OptimizerFacts:
    """An optimiser that stepped. options: the numbers of its first group, at its first step. size: its parameters."""

    kind: str
    options: Mapping[str, float] = field(default_factory=dict)
    groups: int = 1
    size: int = 0


@dataclass(frozen=True, slots=True)
class LossFacts:
    """A loss, as the autograd graph shows it when it is first met.

    kind: "cross_entropy", "nll", "bce", "bce_logits", "mse", "l1", "huber", ... or "unknown".
    path: operations from the scalar back to the loss function. before: those from its input back to the first weights.
    value: the loss function's own mean at `step`, whatever was done to it afterwards; total: the scalar itself.
    outputs: numbers a row. targets: their spread. classes: how many, for class labels.
    chance: mean loss of the best constant answer on the labels seen, where it is known.
    """

    kind: str
    step: int = 0
    path: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    value: float = nan
    total: float = nan
    outputs: int = 0
    classes: int = 0
    targets: Spread = Spread()
    chance: float = nan


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """What went into a model at a measured step."""

    step: int
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    inputs: Spread = Spread()


@dataclass(frozen=True, slots=True)
class EpochVitals:
    """The end of an epoch. figures: train_loss, valid_loss, train_<metric>, valid_<metric>."""

    epoch: int
    step: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Chart:
    """Everything observed of a run, in order. It fills while the run goes on, so it is not frozen; its items are.

    models and losses are complete when listening has ended. backwards: backward passes in all. notes: what the
    observer could not do. Example: ``Chart(steps=[StepVitals(i, loss=2.3) for i in range(100)])``
    """

    steps: list[StepVitals] = field(default_factory=list)
    layers: list[LayerVitals] = field(default_factory=list)
    epochs: list[EpochVitals] = field(default_factory=list)
    batches: list[BatchFacts] = field(default_factory=list)
    losses: list[LossFacts] = field(default_factory=list)
    models: list[ModelFacts] = field(default_factory=list)
    optimizers: list[OptimizerFacts] = field(default_factory=list)
    backwards: int = 0
    notes: list[str] = field(default_factory=list)

    @classmethod
    def from_lines(cls, lines: Iterable[str | bytes | Mapping[str, Any]]) -> "Chart":
        """The chart of a run folder, from the lines of its chart.jsonl (text or parsed); kinds it does not know are
        passed over, and so is all that follows a line that a kill cut short.
        """
        chart = cls()
        for line in lines:
            try:
                item = line if isinstance(line, Mapping) else json.loads(line)
            except ValueError:
                break
            if item.get("kind") == "step":
                chart.steps.append(_step(item))
            elif item.get("kind") == "epoch":
                chart.epochs.append(_epoch(item))
        chart.backwards = len(chart.steps)
        return chart


def _step(item: Mapping[str, Any]) -> StepVitals:
    loss, lr, norm = (float(item.get(name, nan)) for name in ("loss", "lr", "grad_norm"))
    return StepVitals(int(item["step"]), loss, lr, norm, item.get("epoch"))


def _epoch(item: Mapping[str, Any]) -> EpochVitals:
    figures = {
        name: float(value)
        for name, value in item.items()
        if name.startswith(("train_", "valid_")) and isinstance(value, int | float)
    }
    return EpochVitals(int(item["epoch"]), int(item.get("step", 0)), figures)
