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
class OperationFacts:
    """One operation of a model's forward pass: a layer with weights, an activation, a norm, a dropout.

    name: as torch calls it ("linear", "conv2d", "lstm", "embedding", "relu", "softmax", "dropout", "batch_norm").
    module: path of the module that ran it. inputs, outputs: features or channels. std, mean, bias: of the weights and
    the bias before the first step. option: p of a dropout. trainable: its weights want gradients. owned:
    they are among the model's parameters.
    """

    name: str
    module: str = ""
    inputs: int = 0
    outputs: int = 0
    fan_in: int = 0
    std: float = nan
    mean: float = nan
    bias: float = nan
    option: float = nan
    trainable: bool = True
    owned: bool = True

    @property
    def weighted(self) -> bool:
        """Is it a layer with weights that multiply (not the scale of a norm)?"""
        return self.fan_in > 0


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model: the outermost module with parameters. modules: (path, class name). measured: steps looked at.

    operations: of its forward pass, in order. output: what is done to the numbers of the last layer with weights
    ("none", "softmax", "sigmoid", "relu", "other", ...; "" where that is not known).
    """

    kind: str
    modules: tuple[tuple[str, str], ...] = ()
    parameters: tuple[ParameterFacts, ...] = ()
    measured: int = 0
    operations: tuple[OperationFacts, ...] = ()
    output: str = ""


@dataclass(frozen=True, slots=True)
class OptimizerFacts:
    """An optimiser that stepped. options: the numbers of its first group, at its first step. size: its parameters;
    shared: those that an optimiser before it holds too.
    """

    kind: str
    options: Mapping[str, float] = field(default_factory=dict)
    groups: int = 1
    size: int = 0
    shared: int = 0


@dataclass(frozen=True, slots=True)
class LossFacts:
    """A loss, as the autograd graph shows it when it is first met.

    kind: "cross_entropy", "nll", "bce", "bce_logits", "mse", "l1", "huber", ... or "unknown".
    path: operations from the scalar back to the loss function. before: those from its input back to the first weights.
    value: the loss function's own mean at `step`, whatever was done to it afterwards; total: the scalar itself.
    outputs: numbers a row. targets: their spread. classes: how many, for class labels.
    chance: mean loss of the best constant answer on the labels seen, where it is known.
    sign: -1 when the scalar falls as this loss rises. times, added: scalar = times * mean loss + added, at the first
    step; summed: over the rows; unstable: not finite for an output of exactly 0 or 1. applied: activation between the
    model's output and the loss function ("softmax"). broadcast: shapes of output and target, where one was stretched to
    fit the other.
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
    sign: int = 1
    times: float = nan
    added: float = nan
    summed: bool = False
    unstable: bool = False
    applied: str = ""
    broadcast: tuple[tuple[int, ...], tuple[int, ...]] | None = None


@dataclass(frozen=True, slots=True)
class RowsFacts:
    """The rows of one part ("train", "valid") as the model is given them.

    rows: how many were looked at. columns: numbers a row. constant: columns with one value. same: pairs of equal
    columns. repeated: share of rows that stand there more than once.
    """

    part: str
    rows: int = 0
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    inputs: Spread = Spread()
    columns: int = 0
    constant: tuple[int, ...] = ()
    same: tuple[tuple[int, int], ...] = ()
    repeated: float = 0.0


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """The answers of one part.

    kind: "classes" (an index a row, or one-hot), "binary", "multilabel", "numbers", "tokens" (an index a position),
    or "unknown". form: "index", "onehot", "column", "raw". counts: rows of each class. in_order: share of rows whose
    neighbour, in the order in which they were given to the model, has the same label; by_chance: what it would be
    after shuffling. in_data_order: the same in the order of the data set, where that is known.
    """

    part: str
    kind: str = "unknown"
    form: str = "raw"
    rows: int = 0
    classes: int = 0
    counts: tuple[int, ...] = ()
    values: Spread = Spread()
    whole: bool = False  # all are whole numbers
    in_order: float = nan
    by_chance: float = nan
    in_data_order: float = nan


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """How training rows and held-out rows lie to each other.

    shared: share of held-out rows that are training rows too; near: those that nearly are. scale: ratio of the root
    mean squares (held out / train), without the largest hundredth of the numbers. jointly_scaled: mean 0 and
    deviation 1 (or lowest 0 and highest 1) hold over both together and not over the training rows alone. telltale:
    column that says most of the answer; its correlation with the labels in train and held out. neighbours_train,
    neighbours_valid: share of rows whose nearest training rows, or nearest class mean, have their label, less chance;
    neighbours_within: the same of held-out rows among themselves. In numbers to predict: R2 instead.
    shared_by_chance: share of held-out rows that would be training rows if their columns had nothing to do with each
    other; near_by_chance: share of training rows that nearly are another one. between: share of held-out rows that
    are windows of a series, cut between two windows of training rows. same: both parts are the same rows. shift: how
    far the mean of a held-out column lies from that of training rows, in their deviations (median of the columns);
    width: ratio of the deviations (held out / train; root mean square over the columns).
    """

    shared: float = 0.0
    near: float = 0.0
    scale: float = nan
    jointly_scaled: bool = False
    telltale: int | None = None
    telltale_train: float = nan
    telltale_valid: float = nan
    neighbours_train: float = nan
    neighbours_valid: float = nan
    neighbours_within: float = nan
    ordered: bool = False  # held-out rows come before training rows in time
    rows_train: int = 0
    rows_valid: int = 0
    shared_by_chance: float = 0.0
    near_by_chance: float = 0.0
    between: float = 0.0
    same: bool = False
    shift: float = nan
    width: float = nan


@dataclass(frozen=True, slots=True)
class LoopFacts:
    """How the loop goes. Shares are of the steps or forward passes that were looked at; NaN: not known.

    training_mode: passes with gradients in train(); evaluation_mode: passes without gradients in train(). mode_gain:
    skill on held-out rows in eval(), less that in the script's own mode. switches: the model has parts that differ
    between the two. cleared_late: steps with a zero_grad() between backward() and step(). clip: norm or value given to
    clip_grad_*. shuffled: the loader's order changes from epoch to epoch. rows, epoch_steps: in an epoch.
    unused_optimizers: made and never stepped. detached: losses without a gradient to anything.
    """

    epochs: float = nan
    steps: int = 0
    batch_size: int = 0
    rows: int = 0
    epoch_steps: int = 0
    training_mode: float = nan
    evaluation_mode: float = nan
    mode_gain: float = nan
    switches: bool = False
    cleared_late: float = nan
    clip: float = nan
    shuffled: bool | None = None
    unused_optimizers: int = 0
    detached: int = 0
    argmax_of_one: bool = False  # held-out answers were read off as the largest of a single output
    half: bool = False
    validated: bool = False


@dataclass(frozen=True, slots=True)
class ScoreFacts:
    """How good the answers are at the end. metric: "accuracy", "r2", ... ; chance: of the best constant answer."""

    metric: str
    part: str
    value: float
    chance: float = 0.0
    rows: int = 0

    @property
    def skill(self) -> float:
        """Share of the way from the best constant answer (0) to perfect (1); never below 0."""
        if self.value != self.value or self.chance >= 1:
            return 0.0
        return min(1.0, max(0.0, (self.value - self.chance) / (1 - self.chance)))


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """Where the time and the memory went. step_s: a step's median; wait_s: of it, waiting for a batch.

    memory: bytes held at equal distances over the run, after the first steps.
    """

    step_s: float = nan
    wait_s: float = nan
    workers: int = 0
    memory: tuple[float, ...] = ()
    syncs: float = nan


@dataclass(frozen=True, slots=True)
class BirthFacts:
    """Where the first number that is not finite was made. rows: the first of the batch that have it; batch: of so many.

    operation: a torch function in `module`, or "the loss", "the inputs", "the weights".
    """

    step: int
    operation: str
    module: str = ""
    rows: tuple[int, ...] = ()
    batch: int = 0


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
    rows: list[RowsFacts] = field(default_factory=list)
    labels: list[LabelFacts] = field(default_factory=list)
    scores: list[ScoreFacts] = field(default_factory=list)
    split: SplitFacts | None = None
    loop: LoopFacts | None = None
    clock: ClockFacts | None = None
    birth: BirthFacts | None = None
    places: dict[str, str] = field(
        default_factory=dict
    )  # module path, "optimizer", "loader", "backward" -> script line
    bench: Any = field(default=None, repr=False, compare=False)  # what trials need: bench.Bench
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
