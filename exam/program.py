"""Program: all choices that make one training script, before it is written out."""

from dataclasses import dataclass, field

from exam.data_kinds import Data


@dataclass
class Optimiser:
    """One optimiser of a script. parameters, name and options go into the text as they are; lr is a number."""

    name: str
    lr: float | None
    options: dict[str, object] = field(default_factory=dict)
    parameters: str = "model.parameters()"
    variable: str = "optimizer"


@dataclass
class Program:
    """What will be written. A fault changes some of these fields; its healthy twin is the same without the change.

    prepare, prepare_valid: standard, pixels or none, for training and held-out inputs. targets, targets_valid: are
    numbers to predict standardised. spoils: changes of the stored arrays, by name. layers: texts of layers, "@" for
    the activation. tail: what follows the last layer. flat: outputs and answers are rows, not columns. zero: when
    gradients are cleared. seen: which rows the last line judges.
    """

    kind: str
    data: Data
    rows: int
    seed: int
    noise: float
    stored: bool = False
    spoils: list[str] = field(default_factory=list)
    prepare: str = "none"
    prepare_valid: str = "none"
    reshape: str = ""
    targets: bool = True
    targets_valid: bool = True
    answers: str = ""
    core: str = "layers"
    layers: list[str] = field(default_factory=list)
    units: int = 32
    dropout: float = 0.0
    act: str | None = "relu"
    tail: str | None = None
    outputs: int = 1
    body_detached: str = ""
    form: str = "sequential"
    wrap: str = "plain"
    flat: bool = False
    flat_answers: bool | None = None
    after_model: list[str] = field(default_factory=list)
    loss_setup: str = ""
    loss: str = "criterion(out, y)"
    optimisers: list[Optimiser] = field(default_factory=list)
    batch: int = 32
    epochs: int = 20
    shuffle: bool = True
    zero: str = "first"
    step: str = "each"
    clip: float | None = None
    accumulate: int = 1
    bfloat: bool = False
    schedule: str | None = None
    train_call: str = "each"
    eval_call: str = "eval"
    style: str = "loader"
    monitor: str = "each"
    seen: str = "valid"
    metric: str = ""
    patience: int = 0

    @property
    def optimiser(self) -> Optimiser:
        return self.optimisers[0]

    @property
    def steps(self) -> int:
        return self.epochs * -(-self.train_rows // self.batch)

    @property
    def train_rows(self) -> int:
        return self.rows * 3 // 4
