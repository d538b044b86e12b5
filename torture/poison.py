"""What may become NaN, infinite or 1e38 in a training, and when: small networks, and the poisons put into them."""

import math
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from glia.data.batches import Batches
from glia.data.facts import TextFacts
from glia.data.task import Task
from glia.models.build import build
from glia.models.gan import GAN
from glia.optim import build as build_optim
from glia.optim.average import Average
from glia.training.adversarial import adversarial
from glia.training.language import next_token
from glia.training.loop import Moment, fit
from glia.training.metrics import accuracy
from glia.training.steps import Outcome, Step, supervised

ROWS, HELD, BATCH, EPOCHS = 48, 16, 8, 4
STEPS = ROWS // BATCH * EPOCHS
FIRST_ROW = 1000  # the number of the first training row in its source: unlike its place


class Recurrent(nn.Module):
    """An LSTM and an answer from its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.lstm(x)[0][:, -1])
        return out


def _mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.1), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 3)
    )


def _cnn() -> nn.Module:
    convolutions = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 2), nn.ReLU()
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(24, 3))


def _gpt() -> nn.Module:
    return build(
        "gpt",
        TextFacts(11, 8, -1, 0),
        Task("language", ("next",), tuple(map(str, range(11)))),
        width=16,
        layers=1,
        heads=2,
    )


def _gan() -> nn.Module:
    judge = nn.Sequential(nn.Linear(6, 12), nn.LeakyReLU(0.2), nn.Linear(12, 1))
    return GAN(nn.Sequential(nn.Linear(3, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 6)), judge, 3)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], Callable[[], Step]]] = {
    "mlp": (_mlp, (6,), lambda: supervised("cross_entropy")),
    "cnn": (_cnn, (1, 8, 8), lambda: supervised("cross_entropy")),
    "lstm": (Recurrent, (5, 4), lambda: supervised("cross_entropy")),
    "gpt": (_gpt, (9,), next_token),
    "gan": (_gan, (6,), adversarial),
}


@dataclass
class Bench:
    """A training of one small network, the same at each making, and the steps it has made."""

    network: str
    settings: dict[str, Any]
    average: Average | None = None
    done: int = 0  # updates
    model: nn.Module = field(init=False)
    train: Any = field(init=False)
    valid: Any = field(init=False)

    def __post_init__(self) -> None:
        made, shape, step = NETWORKS[self.network]
        torch.manual_seed(1)
        self.model, self.step = made(), step()
        self.train, self.valid = _rows(shape, ROWS, self.network), _rows(shape, HELD, self.network)
        settings = dict(self.settings)
        self.optimizer = build_optim.build(settings.pop("optimizer"), self.model, lr=0.01)
        decay, self.settings = settings.pop("ema"), settings
        self.average = Average(self.model, decay) if decay else None

    def moments(self, start: dict[str, Any] | None = None) -> Iterator[Moment]:
        """Train it; counts what is done."""
        if start is not None:
            self.done = start["progress"]["step"]
        handle = self.optimizer.register_step_post_hook(lambda *_: setattr(self, "done", self.done + 1))
        asked: dict[str, Any] = {
            "epochs": EPOCHS,
            "batch_size": BATCH,
            "step": self.step,
            "optimizer": self.optimizer,
            "lr": 0.01,
        }
        run = fit(self.model, (self.train, self.valid), **asked, **self.settings, average=self.average, start=start)
        try:
            with closing(run) as moments:  # type: ignore[type-var]
                yield from moments
        finally:
            handle.remove()


def _rows(shape: tuple[int, ...], count: int, network: str) -> Any:
    generator = torch.Generator().manual_seed(count)
    if network == "gpt":
        tokens = torch.randint(0, 11, (count, *shape), generator=generator)
        return list(tokens.split(BATCH))
    x = torch.randn(count, *shape, generator=generator)
    y = (x.flatten(1)[:, :3] if network != "cnn" else x.flatten(1)[:, 20:23]).argmax(1)
    return Batches(x, y, torch.arange(FIRST_ROW, FIRST_ROW + count))


@dataclass(frozen=True)
class Poison:
    """What is put where. value: NaN, an infinity or a huge number; step: of the update that meets it, from 0."""

    place: str
    value: float
    step: int
    random: Random


def _cells(bench: Bench, poison: Poison, part: str) -> None:
    rows: Batches = getattr(bench, part)
    chosen = poison.random.randrange(len(rows))
    assert isinstance(rows.inputs, Tensor)
    rows.inputs.view(len(rows), -1)[chosen, 0] = poison.value
    bench.settings["row"] = FIRST_ROW + chosen


def _output(bench: Bench, poison: Poison, *, held_out: bool = False) -> Any:
    leaves = [m for m in bench.model.modules() if not list(m.children()) and not isinstance(m, nn.LSTM)]
    leaf = leaves[-1] if held_out else poison.random.choice(leaves)

    def spoil(module: nn.Module, args: Any, out: Tensor) -> Tensor:
        due = bench.done > poison.step if held_out else bench.done == poison.step
        if module.training is not held_out and due:
            out = out.clone()
            out.view(-1)[0] = poison.value
        return out

    return leaf.register_forward_hook(spoil)


def _gradient(bench: Bench, poison: Poison) -> Any:
    parameter = poison.random.choice(list(bench.model.parameters()))

    def spoil(gradient: Tensor) -> Tensor:
        if bench.done == poison.step:
            gradient = gradient.clone()
            gradient.view(-1)[poison.random.randrange(gradient.numel())] = poison.value
        return gradient

    return parameter.register_hook(spoil)


def _after_step(bench: Bench, poison: Poison, tensors: Callable[[], list[Tensor]]) -> Any:
    def spoil(*_: Any) -> None:
        if bench.done == poison.step:  # counted after this hook, which was there first
            poison.random.choice(tensors()).detach().view(-1)[0] = poison.value

    return bench.optimizer.register_step_post_hook(spoil)


def _loss(bench: Bench, poison: Poison) -> None:
    plain = bench.step

    def step(model: nn.Module, batch: Any) -> Outcome:
        outcome = plain(model, batch)
        assert isinstance(outcome, Outcome)
        wrong = poison.value if model.training and bench.done == poison.step else 0.0
        return outcome._replace(loss=outcome.loss + wrong)

    step.metric = plain.metric  # type: ignore[attr-defined]
    bench.step = step


def _metric(bench: Bench, poison: Poison) -> None:
    def per_row(outputs: Tensor, targets: Tensor) -> Tensor:
        right = accuracy.per_row(outputs, targets)
        return right * poison.value if bench.done > poison.step and not bench.model.training else right

    bench.step = supervised("cross_entropy", metric=accuracy.__class__("accuracy", per_row))


def _rate(bench: Bench, poison: Poison) -> None:
    bench.settings["schedule"] = lambda step, losses: poison.value if step == poison.step else 1.0


def _overflow(bench: Bench, poison: Poison) -> Any:
    """bfloat16 holds numbers as large as float32 does, and no larger."""
    bench.settings["precision"] = "bfloat16"
    leaf = next(m for m in bench.model.modules() if isinstance(m, nn.Linear | nn.Conv2d))
    return leaf.register_forward_hook(
        lambda module, args, out: out * 1e30 * 1e30 if module.training and bench.done == poison.step else out
    )


@contextmanager
def poisoned(bench: Bench, poison: Poison) -> Iterator[None]:
    """The poison is in place inside the block."""
    model, optimizer = bench.model, bench.optimizer
    buffers = [b for b in model.buffers() if b.is_floating_point()]
    ways: dict[str, Callable[[], Any]] = {
        "training rows": lambda: _cells(bench, poison, "train"),
        "held-out rows": lambda: _cells(bench, poison, "valid"),
        "output": lambda: _output(bench, poison),
        "held-out output": lambda: _output(bench, poison, held_out=True),
        "gradient": lambda: _gradient(bench, poison),
        "loss": lambda: _loss(bench, poison),
        "metric": lambda: _metric(bench, poison),
        "weights": lambda: _after_step(bench, poison, lambda: list(model.parameters())),
        "buffer": lambda: _after_step(bench, poison, lambda: buffers),
        "optimizer": lambda: _after_step(bench, poison, lambda: _moments(optimizer)),
        "average": lambda: _after_step(bench, poison, lambda: list(bench.average.state_dict()["weights"].values())),  # type: ignore[union-attr]
        "rate": lambda: _rate(bench, poison),
        "overflow": lambda: _overflow(bench, poison),
    }
    handle = ways[poison.place]()
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()


def _moments(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [v for state in optimizer.state.values() for v in state.values() if isinstance(v, Tensor) and v.ndim]


def fits(network: str, place: str, value: float, settings: dict[str, Any]) -> bool:
    """Is there such a place in this training?"""
    if place in ("training rows", "held-out rows") and network == "gpt":
        return False  # tokens are whole numbers
    if place in ("metric", "held-out output", "held-out rows") and network in ("gpt", "gan"):
        return False
    if place == "buffer" and network in ("lstm", "gpt"):
        return False
    if place == "average":
        return bool(settings["ema"])
    if place == "optimizer":
        return settings["optimizer"] == "adamw"
    if place in ("rate", "metric", "held-out output"):
        return not math.isfinite(value)
    return place != "overflow" or (network in ("mlp", "cnn") and math.isnan(value))


PLACES = (
    "training rows", "held-out rows", "output", "held-out output", "gradient", "loss", "metric", "weights", "buffer",
    "optimizer", "average", "rate", "overflow",
)  # fmt: skip
