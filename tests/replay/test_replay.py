"""Replay: whatever it takes over does bit for bit what torch does, and what it cannot take over is left alone."""

import pathlib
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import glia
from glia.data.batches import Batches
from glia.replay import replay as room
from glia.replay.replay import Replay
from glia.training.loop import Moment
from glia.training.steps import FoldStep, Outcome, supervised

ROWS, WIDTH, CLASSES, BATCH, EPOCHS = 96, 12, 3, 16, 3


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replay from the first step on, and keep at it: what is tested is the same numbers, not the time."""
    monkeypatch.setattr(room, "AFTER_S", 0.0)
    monkeypatch.setattr(room, "GAIN", 0.0)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Replay]:
    """Every Replay that was made."""
    all_made: list[Replay] = []
    begin = Replay.__init__

    def init(self: Replay, *args: Any) -> None:
        begin(self, *args)
        all_made.append(self)

    monkeypatch.setattr(Replay, "__init__", init)
    return all_made


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rows(shape: tuple[int, ...] = (WIDTH,)) -> Batches:
    labels = torch.randint(CLASSES, (ROWS,), generator=torch.Generator().manual_seed(1))
    return Batches(normal(ROWS, *shape), labels, torch.arange(ROWS))


class Sequence(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]):
        super().__init__()
        self.reads, self.head = kind(4, 8, batch_first=True), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.reads(x)[0][:, -1])


class Forked(nn.Module):
    """What is rectified is used as it was too; and one layer learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.idle, self.head = nn.Linear(WIDTH, 16), nn.Linear(2, 2), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        made = self.first(x)
        return self.head(torch.relu(made) + made)


def perceptron(*inside: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(WIDTH, 16), *inside, nn.ReLU(), nn.Linear(16, CLASSES))


def shared() -> nn.Sequential:
    one = nn.Linear(WIDTH, WIDTH)
    return nn.Sequential(one, nn.Tanh(), one, nn.GELU(), nn.Linear(WIDTH, CLASSES))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "plain": (perceptron, (WIDTH,)),
    "dropout": (lambda: perceptron(nn.Dropout(0.3)), (WIDTH,)),
    "batch norm": (lambda: perceptron(nn.BatchNorm1d(16)), (WIDTH,)),
    "layer norm": (lambda: perceptron(nn.LayerNorm(16)), (WIDTH,)),
    "shared layer": (shared, (WIDTH,)),
    "weight norm": (lambda: perceptron(nn.utils.parametrizations.weight_norm(nn.Linear(16, 16))), (WIDTH,)),
    "convolutions": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, CLASSES)).to(
            memory_format=torch.channels_last
        ),
        (1, 8, 8),
    ),
    "one channel, strided": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, CLASSES)),
        (1, 8, 8),
    ),
    "lstm": (lambda: Sequence(nn.LSTM), (5, 4)),  # which torch cannot make without autograd's help
    "relu of a view": (lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(20, CLASSES)), (5, 4)),
    "twice rectified": (lambda: Forked(), (WIDTH,)),
    "gru": (lambda: Sequence(nn.GRU), (5, 4)),
    "transformer": (
        lambda: nn.Sequential(
            nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), nn.Flatten(), nn.Linear(20, CLASSES)
        ),
        (5, 4),
    ),
}


def trained(
    network: Callable[[], nn.Module],
    data: Batches,
    *,
    pure: bool,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW,
    look: Callable[[nn.Module, Moment], None] = lambda model, moment: None,
    **settings: Any,
) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    """The state of model and optimizer, and the losses and norms of all steps. Not pure: the step as it is written."""
    torch.manual_seed(0)
    model = network()
    step = supervised("cross_entropy")

    def unknown(model: nn.Module, batch: Any) -> Outcome:
        found = step(model, batch)
        assert isinstance(found, Outcome)
        return found

    unknown.metric = step.metric  # type: ignore[attr-defined]
    own = optimizer(model.parameters(), lr=1e-2)
    seen = []
    fitted = glia.fit(
        model, data, step=step if pure else unknown, optimizer=own, epochs=EPOCHS, batch_size=BATCH, **settings
    )
    for moment in fitted:
        look(model, moment)
        if moment.kind == "step":
            seen.append((moment.loss, moment.grad_norm))
    return {"model": model.state_dict(), "optimizer": own.state_dict()}, seen


def same(one: Any, other: Any) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_replay_is_the_step_bit_for_bit(name: str, made: list[Replay]) -> None:
    network, shape = NETWORKS[name]
    ours = trained(network, rows(shape), pure=True, clip=0.5)
    theirs = trained(network, rows(shape), pure=False, clip=0.5)
    assert made[0].running and not made[0].why
    same(ours, theirs)


@pytest.mark.parametrize("name", ["plain", "batch norm", "convolutions"])
def test_so_it_is_in_bfloat16(name: str, made: list[Replay]) -> None:
    network, shape = NETWORKS[name]
    ours = trained(network, rows(shape), pure=True, clip=0.5, precision="bfloat16")
    theirs = trained(network, rows(shape), pure=False, clip=0.5, precision="bfloat16")
    assert made[0].running and not made[0].why
    same(ours, theirs)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p, lr: torch.optim.Adam(p, lr=lr, fused=True, weight_decay=0.01),
        lambda p, lr: torch.optim.AdamW(p, lr=lr, fused=True),
        lambda p, lr: torch.optim.SGD(p, lr=lr, fused=True, momentum=0.9, nesterov=True),
        lambda p, lr: torch.optim.SGD(p, lr=lr, fused=True),
        lambda p, lr: torch.optim.Adam(p, lr=lr, fused=True, amsgrad=True),
        lambda p, lr: torch.optim.RMSprop(p, lr=lr),
    ],
    ids=["adam", "adamw", "momentum", "sgd", "amsgrad", "rmsprop"],
)
def test_optimizers_do_what_they_do(optimizer: Callable[..., torch.optim.Optimizer], made: list[Replay]) -> None:
    schedule = lambda step, losses: 1.0 / (1 + step)
    settings: dict[str, Any] = {"optimizer": optimizer, "schedule": schedule, "lr": 0.02, "l1": 1e-3}
    ours, theirs = (trained(perceptron, rows(), pure=pure, **settings) for pure in (True, False))
    assert made[0].running
    same(ours, theirs)


class Counting(nn.Linear):
    """Does another thing from its tenth call on."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) * (1.0 if self.calls < 10 else 0.5)


class Skipping(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if random.random() < 2 else x


class Branching(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return -y if y.sum() > 0 else y


class Masking(nn.Linear):
    """As many numbers as there are positive ones."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y + y[y > 0].mean()


class Replacing(nn.Linear):
    """Puts a new tensor in the place of its buffer."""

    def __init__(self, *sizes: int):
        super().__init__(*sizes)
        self.register_buffer("mean", torch.zeros(sizes[1]))

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        self.mean = 0.9 * self.mean + 0.1 * y.detach().mean(0)
        return y - self.mean


@pytest.mark.parametrize("layer", [Counting, Skipping, Branching, Masking, Replacing])
def test_what_cannot_be_replayed_is_left_alone(layer: type[nn.Linear], made: list[Replay]) -> None:
    ours, theirs = (trained(lambda: perceptron(layer(16, 16)), rows(), pure=pure) for pure in (True, False))
    assert made[0].why and not made[0].running
    same(ours, theirs)


def test_hooks_are_called_and_freezing_is_seen(made: list[Replay]) -> None:
    """Hooks that come and go while it trains see every call, and frozen weights stay."""

    def run(*, pure: bool) -> tuple[Any, list[int]]:
        calls: list[int] = []
        handles: list[Any] = []

        def look(model: nn.Module, moment: Moment) -> None:
            first = next(model.children())
            if moment.kind == "step" and moment.step == 7:
                handles.append(first.register_forward_hook(lambda *given: calls.append(moment.step)))
            if moment.kind == "step" and moment.step == 10:
                handles.pop().remove()
                first.requires_grad_(False)
            if moment.kind == "step" and moment.step == 14:
                first.requires_grad_(True)

        return trained(perceptron, rows(), pure=pure, look=look), calls

    ours, theirs = run(pure=True), run(pure=False)
    assert made[0].running and len(ours[1]) == 3
    same(ours, theirs)


def test_a_late_difference_is_found(made: list[Replay], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "EVERY", 5)
    switch = {"on": False}

    class Outer(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * (2.0 if switch["on"] else 1.0)

    def look(model: nn.Module, moment: Moment) -> None:
        switch["on"] = moment.step >= 8

    trained(lambda: perceptron(Outer(16, 16)), rows(), pure=True, look=look)
    assert "other numbers" in made[0].why


def test_a_non_finite_loss_is_named_as_ever() -> None:
    data = rows()
    assert isinstance(data.inputs, Tensor)
    data.inputs[40, 3] = torch.nan
    messages = []
    for pure in (True, False):
        with pytest.raises(glia.training.nonfinite.NonFinite) as caught:
            trained(perceptron, data, pure=pure)
        messages.append(str(caught.value))
    assert messages[0] == messages[1] and "rows [40]" in messages[0]


def test_batches_of_many_shapes_are_left_alone(made: list[Replay]) -> None:
    batches = [(normal(5 + i % 6, WIDTH), torch.zeros(5 + i % 6, dtype=torch.int64)) for i in range(24)]
    model = perceptron()
    for _ in glia.fit(model, batches, epochs=1):
        pass
    assert "many shapes" in made[0].why


@pytest.mark.parametrize("loss", [F.cross_entropy, nn.CrossEntropyLoss(), lambda a, b: F.cross_entropy(a, b)])
def test_losses_of_torch_are_known_to_do_nothing_else(loss: Any, made: list[Replay]) -> None:
    for _ in glia.fit(perceptron(), rows(), step=supervised(loss), epochs=1, batch_size=BATCH):
        pass
    assert bool(made and made[0].running) == (not str(loss).startswith("<function <lambda>"))


def test_long_steps_are_not_traced(monkeypatch: pytest.MonkeyPatch, made: list[Replay]) -> None:
    monkeypatch.setattr(room, "AFTER_S", 0.1)
    monkeypatch.setattr(room, "LONG_S", 0.0)
    trained(perceptron, rows(), pure=True)
    assert "long" in made[0].why


@pytest.fixture
def listened() -> Iterator[Any]:
    with glia.listen() as chart:
        yield chart


def test_a_listener_sees_all_steps(listened: Any) -> None:
    trained(perceptron, rows(), pure=True)
    assert listened.backwards == EPOCHS * ROWS // BATCH


def test_folds_of_a_table_are_replayed(
    made: list[Replay], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    settings: dict[str, Any] = {"epochs": 3, "runs": tmp_path, "doctor": False, "baselines": False, "lr": 2e-3}
    ours = glia.train("iris", name="ours", **settings)
    assert ours.recipe.model.model == "folds" and made[0].running
    monkeypatch.setattr(FoldStep, "pure", False)
    theirs = glia.train("iris", name="theirs", **settings)
    same(ours.model.state_dict(), theirs.model.state_dict())
    assert all(value == theirs.history[name] for name, value in ours.history.items())


def test_a_last_batch_alone_is_replayed_among_groups_that_are_not(made: list[Replay]) -> None:
    """Seven batches in groups of three: the seventh makes a step by itself."""
    network, shape = NETWORKS["convolutions"]
    settings: dict[str, Any] = {"accumulate": 3, "optimizer": lambda p, lr: torch.optim.AdamW(p, lr=lr, fused=True)}
    data = rows(shape)
    some = torch.arange(BATCH * 7 - 3)
    whole = Batches(*(part[some % ROWS] for part in (data.inputs, data.targets)), some)
    ours, theirs = (trained(network, whole, pure=pure, **settings) for pure in (True, False))
    assert not made[0].why and made[0].rows
    same(ours, theirs)


def test_an_empty_batch_changes_nothing(made: list[Replay]) -> None:
    model = perceptron()
    full = (normal(BATCH, WIDTH), torch.zeros(BATCH, dtype=torch.int64))
    empty = (torch.empty(0, WIDTH), torch.empty(0, dtype=torch.int64))
    held: list[dict[str, Tensor]] = []
    for moment in glia.fit(model, [full] * 6 + [empty], epochs=1, optimizer=torch.optim.SGD(model.parameters(), 0.1)):
        if moment.kind == "step":
            held.append({name: value.clone() for name, value in model.state_dict().items()})
    moved = [not torch.equal(held[0]["0.weight"], one["0.weight"]) for one in held[1:]]
    assert any(moved) and all(torch.equal(held[-1][name], held[-2][name]) for name in held[-1])


def test_the_compiler_is_not_imported() -> None:
    """It takes a second, in which a small network is done."""
    program = """
import sys, torch
from torch import nn
from glia.data.batches import Batches
from glia.replay import replay
from glia.training.loop import fit
replay.AFTER_S = replay.GAIN = 0.0
rows = Batches(torch.randn(64, 6), torch.arange(64) % 2, torch.arange(64))
ways = [moment.way for moment in fit(nn.Linear(6, 2), rows, epochs=3, batch_size=8) if moment.kind == "epoch"]
print(ways[-1], "torch._dynamo" in sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert told.stdout.split() == ["replayed", "False"], told.stderr
