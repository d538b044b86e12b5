"""Trials: the oracle is a script that was written with the change; a trial of the change trains the same network."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import glia
from glia.doctor.trial import Outcome, Trials, habits
from glia.vitals.chart import Chart

GENERATOR = torch.Generator().manual_seed(21)
X = torch.randn(256, 6, generator=GENERATOR)
CLASSES = (X[:, 0] + X[:, 1] > 0).long() + (X[:, 2] > 0.8).long()
NUMBER = (2 * X[:, 0] - X[:, 1]).unsqueeze(1)
TRAIN, HELD = slice(0, 192), slice(192, 256)
Loss = Callable[[Tensor, Tensor], Tensor]


def network(
    hidden: Callable[[], nn.Module] | None = nn.ReLU, last: nn.Module | None = None, outputs: int = 3, units: int = 16
) -> nn.Sequential:
    """6 -> units -> units -> outputs, of always the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        a, b, c = nn.Linear(6, units), nn.Linear(units, units), nn.Linear(units, outputs)
    acts = [hidden(), hidden()] if hidden is not None else [None, None]
    parts = [a, acts[0], b, acts[1], c, last]
    return nn.Sequential(*(part for part in parts if part is not None))


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), 0.1)


def script(
    model: nn.Module | None = None,
    optimizer: Callable[[nn.Module], torch.optim.Optimizer] = sgd,
    loss: Loss = F.cross_entropy,
    x: Tensor = X,
    y: Tensor = CLASSES,
    *,
    epochs: int = 6,
    rows: int = 32,
    order: str = "zero backward step",
    penalty: float = 0.0,
    clip: float = 0.0,
    training: bool = True,
) -> Chart:
    """A loop as people write it, that looks at held-out rows after each epoch."""
    model = model or network()
    stepper = optimizer(model)
    with torch.random.fork_rng(devices=[]), glia.listen() as chart:
        torch.manual_seed(1)
        for _ in range(epochs):
            model.train(training)
            for at in range(0, 192, rows):
                value = loss(model(x[at : at + rows]), y[at : at + rows])
                if penalty:
                    value = value + penalty * sum(p.abs().sum() for p in model.parameters())
                for word in order.split():
                    if word == "zero":
                        stepper.zero_grad()
                    elif word == "backward":
                        value.backward()
                        if clip:
                            nn.utils.clip_grad_norm_(model.parameters(), clip)
                    else:
                        stepper.step()
            model.eval()
            with torch.no_grad():
                loss(model(x[HELD]), y[HELD])
    assert chart.bench is not None, chart.notes
    return chart


def trials(chart: Chart, budget: float = 60.0) -> Trials:
    return Trials(chart.bench, habits(chart, chart.bench), chart, budget)


def attempt(chart: Chart, seed: int = 0, **change: Any) -> Outcome:
    outcome = trials(chart).attempt(change, seed)
    assert not outcome.error
    return outcome


def rate(lr: float, **more: float) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda model: torch.optim.SGD(model.parameters(), lr, **more)


def by_one_hot(o: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(o, F.one_hot(y, 3).float())


MOVED = X * torch.tensor([1.0, 100.0, 0.01, 5.0, 1.0, 1.0]) + torch.tensor([0.0, 1000.0, 0.0, -20.0, 3.0, 0.0])
HOLES = X.masked_fill(torch.rand(256, 6, generator=GENERATOR) < 0.05, math.nan)


def standardised(x: Tensor) -> Tensor:
    mean, std = x[TRAIN].double().mean(0), x[TRAIN].double().std(0, correction=0)
    return ((x.double() - mean) / std).float()


def between(x: Tensor) -> Tensor:
    low, high = x[TRAIN].double().amin(0), x[TRAIN].double().amax(0)
    return ((x.double() - low) / (high - low)).float()


def filled(x: Tensor) -> Tensor:
    return torch.where(x.isnan(), x[TRAIN].nanmean(0), x)


def frozen() -> nn.Module:
    model = network()
    model[0].requires_grad_(False)
    return model


class Cut(nn.Module):
    def __init__(self, cut: bool) -> None:
        super().__init__()
        self.inner, self.cut = network(), cut

    def forward(self, x: Tensor) -> Tensor:
        code = self.inner[:2](x)
        return self.inner[2:](code.detach() if self.cut else code)


Program = dict[str, Any]
PAIRS: dict[str, tuple[dict[str, Any], Program, Program]] = {
    "lr": ({"lr": 0.5}, {}, {"optimizer": rate(0.5)}),
    "optimizer": (
        {"optimizer": "Adam", "lr": 0.01}, {}, {"optimizer": lambda m: torch.optim.Adam(m.parameters(), 0.01)},
    ),
    "optimizer from options": (
        {"optimizer": "SGD", "lr": 0.1}, {"optimizer": lambda m: torch.optim.Adam(m.parameters(), 3.0, eps=0.5)}, {},
    ),
    "weight_decay": ({"weight_decay": 0.0}, {"optimizer": rate(0.1, weight_decay=0.5)}, {}),
    "momentum": ({"momentum": 0.0}, {"optimizer": rate(0.1, momentum=0.9)}, {}),
    "l1": ({"l1": 0}, {"penalty": 0.05}, {}),
    "clip_norm": ({"clip_norm": 0.1}, {}, {"clip": 0.1}),
    "epochs": ({"epochs_times": 3.0}, {"epochs": 2}, {"epochs": 6}),
    "batch_size": ({"batch_size": 16}, {"rows": 96}, {"rows": 16}),
    "zero_grad": ({"zero_grad": True}, {"order": "backward step"}, {}),
    "zero_grad in its place": ({"zero_grad": True}, {"order": "backward zero step"}, {}),
    "normalise_inputs": ({"normalise_inputs": "standardize"}, {"x": MOVED}, {"x": standardised(MOVED)}),
    "normalise_inputs between": ({"normalise_inputs": "minmax"}, {"x": MOVED}, {"x": between(MOVED)}),
    "impute": ({"impute": True}, {"x": HOLES}, {"x": filled(HOLES)}),
    "normalise_targets": (
        {"normalise_targets": True},
        {"model": lambda: network(outputs=1), "loss": F.mse_loss, "y": NUMBER * 300 + 5000},
        {"model": lambda: network(outputs=1), "loss": F.mse_loss, "y": standardised(NUMBER)},
    ),
    "loss": ({"loss": "CrossEntropyLoss"}, {"loss": by_one_hot}, {}),
    "loss and output": (
        {"loss": "CrossEntropyLoss", "output_activation": "none"},
        {"model": lambda: network(last=nn.Softmax(1)), "loss": by_one_hot}, {},
    ),
    "output_activation": (
        {"output_activation": "none"}, {"model": lambda: network(last=nn.Softmax(1))}, {},
    ),
    "hidden_activation": ({"hidden_activation": "relu"}, {"model": lambda: network(nn.Sigmoid)}, {}),
    "add_hidden_activation": ({"add_hidden_activation": "relu"}, {"model": lambda: network(None)}, {}),
    "dropout": (
        {"dropout": 0.0}, {"model": lambda: network(lambda: nn.Dropout(0.9))}, {"model": lambda: network(nn.Identity)},
    ),
    "train_all": ({"train_all": True}, {"model": frozen}, {}),
    "optimizer_params": (
        {"optimizer_params": True}, {"optimizer": lambda m: torch.optim.SGD(m[4].parameters(), 0.1)}, {},
    ),
    "attach": ({"attach": True}, {"model": lambda: Cut(True)}, {"model": lambda: Cut(False)}),
    "train_mode": (
        {"train_mode": True}, {"model": lambda: network(lambda: nn.BatchNorm1d(16)), "training": False},
        {"model": lambda: network(lambda: nn.BatchNorm1d(16))},
    ),
}  # fmt: skip


def built(program: Program) -> Chart:
    made = {key: value() if key == "model" else value for key, value in program.items()}
    return script(**made)


@pytest.mark.parametrize("name", PAIRS)
def test_a_change_does_what_it_says(name):
    change, before, after = PAIRS[name]
    sick, well = built(before), built(after)
    with_change, wanted = attempt(sick, **change), attempt(well)
    assert with_change.steps == wanted.steps
    assert with_change.last_loss == pytest.approx(wanted.last_loss, rel=2e-2, abs=2e-3)
    assert with_change.skill == pytest.approx(wanted.skill, abs=0.05)
    unchanged = trials(sick).attempt({})
    assert not unchanged.last_loss == pytest.approx(with_change.last_loss, rel=1e-3), "the pair shows nothing"


def test_no_change_gives_the_skill_of_the_script():
    chart = script(epochs=20)
    own = next(score.skill for score in chart.scores if score.part == "valid")
    outcome = attempt(chart)
    assert own > 0.6 and outcome.skill == pytest.approx(own, abs=0.15)
    assert outcome.first_loss == pytest.approx(chart.steps[0].loss, rel=0.2)
    assert outcome.steps == 120 and outcome.finite and outcome.seconds > 0


def test_shuffling_mends_rows_in_the_order_of_their_classes():
    order = CLASSES[TRAIN].argsort()
    x, y = torch.cat([X[TRAIN][order], X[HELD]]), torch.cat([CLASSES[TRAIN][order], CLASSES[HELD]])
    chart = script(x=x, y=y, optimizer=rate(0.5))
    chart.loop = replace(chart.loop, shuffled=False)
    assert attempt(chart, shuffle=True).skill > attempt(chart).skill + 0.2


def test_a_bottleneck_is_widened():
    chart = script(network(units=1), rate(0.3), epochs=10)
    before = [p.shape for p in chart.bench.capture.initial[0].parameters()]
    assert attempt(chart, units=32).last_loss < 0.7 * attempt(chart).last_loss
    assert [p.shape for p in chart.bench.capture.initial[0].parameters()] == before


def test_as_many_outputs_as_classes():
    chart = script(network(outputs=1), rate(0.1), F.mse_loss, y=CLASSES.float().unsqueeze(1), epochs=10)
    outcome = attempt(chart, output_units=3, loss="CrossEntropyLoss", lr=0.5)
    assert outcome.score.metric == "accuracy" and outcome.skill > 0.6


@pytest.mark.parametrize("how", ["default", "he"])
def test_weights_are_drawn_anew(how):
    model = network()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.0)
    chart = script(model, rate(0.5), epochs=10)
    assert attempt(chart).skill < 0.1 < 0.6 < attempt(chart, init=how).skill
    assert all(not p.any() for p in chart.bench.capture.initial[0].parameters())


def test_changes_go_together():
    chart = script(network(nn.Sigmoid), rate(1e-6), x=MOVED)
    change = {"normalise_inputs": "standardize", "hidden_activation": "relu", "lr": 0.1}
    assert attempt(chart, **change).last_loss == pytest.approx(
        attempt(script(x=standardised(MOVED))).last_loss, rel=0.02
    )


def test_a_learning_rate_keeps_the_shape_of_the_schedule():
    def falling(lr: float) -> Chart:
        model = network()
        optimizer = rate(lr)(model)
        with glia.listen() as chart:
            for step in range(36):
                optimizer.param_groups[0]["lr"] = lr * (1 - step / 36)
                at = step % 6 * 32
                optimizer.zero_grad()
                F.cross_entropy(model(X[at : at + 32]), CLASSES[at : at + 32]).backward()
                optimizer.step()
            with torch.no_grad():
                F.cross_entropy(model(X[HELD]), CLASSES[HELD])
        return chart

    assert attempt(falling(0.01), lr=0.3).last_loss == pytest.approx(attempt(falling(0.3)).last_loss, rel=0.02)


def test_another_seed_is_another_draw_of_the_same_weights():
    chart = script()
    mine = trials(chart)
    first, second = mine.attempt({}), mine.attempt({}, seed=1)
    assert first.last_loss != second.last_loss and abs(first.skill - second.skill) < 0.3
    assert mine.attempt({}) is first and len(mine.known) == 2
    assert attempt(chart).last_loss == first.last_loss


def test_what_cannot_be_done_is_an_error_and_no_exception():
    chart = script()
    for change in ({"loss": "CTCLoss"}, {"optimizer": "Adamant", "lr": 0.1}, {"hidden_activation": "swoosh"}):
        outcome = trials(chart).attempt(change)
        assert outcome.error and outcome.skill == 0 and not outcome.finite


def test_without_held_out_rows_a_part_is_kept_apart():
    model = network()
    optimizer = sgd(model)
    with glia.listen() as chart:
        for step in range(48):
            at = step % 8 * 32
            optimizer.zero_grad()
            F.cross_entropy(model(X[at : at + 32]), CLASSES[at : at + 32]).backward()
            optimizer.step()
    mine = trials(chart)
    assert mine.held.source == "split" and 0 < mine.held.count < len(mine.train)
    kept = {tuple(row) for row in mine.held.args[0].tolist()}
    trained = {tuple(row) for row in chart.bench.data[0][torch.tensor(mine.train)].tolist()}
    assert not kept & trained and len(kept | trained) == 256
    assert mine.attempt({"lr": 0.5}).skill > 0.3


def test_a_budget_that_is_spent_ends_a_trial():
    chart = script(epochs=40)
    mine = trials(chart, budget=1e-6)
    assert mine.attempt({}).steps < mine.steps
    assert mine.left <= 0 < mine.spent


def test_long_runs_are_shortened():
    chart = script(epochs=40)
    mine = trials(chart, budget=1e-3)
    mine.shorten(5, 50)
    assert mine.steps == 50 and mine.attempt({}).steps <= 50
    free = trials(chart, budget=1e3)
    free.shorten(5, 50)
    assert free.steps == 240


@pytest.mark.parametrize("name", ["optimizer", "dropout", "normalise_inputs", "train_all", "attach", "units", "init"])
def test_nothing_of_the_script_is_touched(name):
    change = {"units": 8} if name == "units" else {"init": "he"} if name == "init" else PAIRS[name][0]
    model = network(lambda: nn.Sequential(nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2)))
    if name == "units":
        model = network()
    chart = script(model)
    bench = chart.bench
    before = copy.deepcopy([model.state_dict(), bench.capture.initial[0].state_dict()])
    modes = [m.training for m in model.modules()]
    rows = [batch[0].clone() for batch in bench.capture.batches]
    random = torch.get_rng_state()
    trials(chart).attempt(change)
    after = [model.state_dict(), bench.capture.initial[0].state_dict()]
    assert all(torch.equal(a[key], b[key]) for a, b in zip(before, after) for key in a)
    assert torch.equal(torch.get_rng_state(), random)
    assert [m.training for m in model.modules()] == modes and not any(m._forward_hooks for m in model.modules())
    assert all(torch.equal(a, batch[0]) for a, batch in zip(rows, bench.capture.batches))
    assert all(p.grad is None for p in bench.capture.initial[0].parameters())


def test_a_script_that_takes_one_row_a_step_is_tried_too() -> None:
    chart = script(rows=1, epochs=1)
    assert chart.bench is not None and not isinstance(chart.bench, str)
    trials = Trials(chart.bench, habits(chart, chart.bench), chart, budget=20.0)
    outcome = trials.attempt({})
    assert outcome.steps == 192 and not outcome.error
