"""Networks that are trained side by side, against `glia.fit` of each alone."""

import itertools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from glia.data.batches import Batches
from glia.errors import GliaError
from glia.optim import schedules
from glia.optim.build import build
from glia.seed import mix
from glia.training import stacked
from glia.training.loop import fit
from glia.training.many import fit_many
from glia.training.members import Many
from glia.training.nonfinite import NonFinite

ROWS = 90


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short runs are to be recorded too."""
    monkeypatch.setattr(stacked, "AFTER", 3)


def problem(rows: int = ROWS, **more: Any) -> Batches:
    inputs = torch.randn(rows, 6, generator=torch.Generator().manual_seed(1))
    return Batches(inputs, (inputs[:, 0] * inputs[:, 1] > 0).long(), torch.arange(rows) + 1000, **more)


def mlp(seed: int) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 2))


def with_batch_norm(seed: int) -> nn.Module:
    # A bias before batch norm has a gradient of 0 but for rounding, of which Adam makes whole steps.
    return nn.Sequential(nn.Linear(6, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))


def all_relu(seed: int) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2))


class Odd(nn.Module):
    """A shared weight, a frozen one and one that nothing comes from."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.idle, self.scale, self.last = nn.Linear(3, 3), nn.Parameter(torch.tensor(1.0)), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.second(self.first(x) + self.frozen(x))) * self.scale)


def alone(make: Callable[[int], nn.Module], data: Any, one: Mapping[str, Any], name: str = "adamw", **more: Any) -> Any:
    """(network, epochs, error) of a single run by the public parts."""
    with torch.random.fork_rng():
        torch.manual_seed(mix(one["seed"], "weights"))
        model = make(one["seed"])
    optimizer = build(name, model, one.get("lr", 1e-3), one.get("weight_decay"), more.pop("momentum", None))
    epochs, error = [], None
    run = fit(model, data, optimizer=optimizer, seed=one.get("order", one["seed"]), clip=one.get("clip"), **more)
    try:
        epochs += [moment for moment in run if moment.kind == "epoch"]
    except NonFinite as odd:
        error = odd
    return model, epochs, error


def compare(many: Many, make: Callable[[int], nn.Module], data: Any, near: float = 1e-5, **more: Any) -> None:
    """Weights, buffers, figures, best epochs and errors are those of single runs."""
    for member in many:
        model, epochs, error = alone(make, data, member.settings, **more)
        assert str(member.error) == str(error)
        torch.testing.assert_close(member.model.state_dict(), model.state_dict(), rtol=near, atol=near)
        assert len(member.history) == len(epochs)
        for seen, moment in zip(member.history, epochs, strict=True):
            assert seen == pytest.approx({"epoch": moment.epoch, **moment.figures, "lr": moment.lr}, rel=near, abs=near)
        best = [moment for moment in epochs if moment.best]
        assert member.best_epoch == (best[-1].epoch if best else -1)
        assert not member.model.training and not member.going


def settings(**more: Any) -> list[dict[str, Any]]:
    return [{"seed": number, "lr": 3e-3 * 2**number, **more} for number in range(4)]


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "momentum", "nesterov"])
def test_the_same_as_one_by_one(name: str) -> None:
    data = (problem(), problem(40))
    given = [
        {"seed": 0, "lr": 0.01},
        {"seed": 1, "lr": 0.03, "weight_decay": 0.1},
        {"seed": 1, "lr": 0.03, "clip": 0.3},
        {"seed": 2, "order": 7, "lr": 0.003, "weight_decay": 0.0, "clip": 0.1},
    ]
    more = {"epochs": 5, "batch_size": 20, "schedule": schedules.build("cosine", 25, 5, warmup_share=0.2)}
    many = fit_many(mlp, data, given, optimizer=name, **more)
    assert many.together and not many.why
    compare(many, mlp, data, name=name, **more)
    assert many.best is min(many, key=lambda member: member.best)


@pytest.mark.parametrize("make", [with_batch_norm, lambda seed: Odd()])
def test_buffers_and_odd_weights(make: Callable[[int], nn.Module]) -> None:
    data = (problem(), problem(40))
    more = {"epochs": 4, "batch_size": 20, "l1": 1e-3}
    many = fit_many(make, data, settings(weight_decay=0.1), **more)
    assert many.together, many.why
    compare(many, make, data, **more)


def test_each_stops_by_itself() -> None:
    """Members that have waited long enough make room, and the others go on as if they had never been there."""
    data = (problem(), problem(40))
    more = {"epochs": 30, "batch_size": 20, "patience": 2, "monitor": "valid_accuracy"}
    many = fit_many(mlp, data, settings() + settings(order=3), **more)
    assert many.together
    lengths = {len(member.history) for member in many}
    assert len(lengths) > 2 and min(lengths) < 15
    compare(many, mlp, data, **more)
    assert many.best.best == max(member.best for member in many)


def test_one_order_for_all_and_other_sources() -> None:
    rows = problem()
    loader = DataLoader(TensorDataset(rows.inputs, rows.targets), batch_size=20, shuffle=True)
    listed = [(rows.inputs[i : i + 30], rows.targets[i : i + 30]) for i in range(0, ROWS, 30)]
    named = [{"x": inputs, "labels": labels} for inputs, labels in listed]
    for data, own in ((loader, {"order": 5}), (listed, {}), (named, {}), ((rows, listed), {"order": 5})):
        many = fit_many(mlp, data, settings(**own), epochs=3)
        assert many.together, many.why
        compare(many, mlp, data, epochs=3)


def test_rows_that_are_changed_in_training() -> None:
    def jitter(inputs: Tensor, targets: Tensor, seed: int, epoch: int, index: Tensor) -> tuple[Tensor, Tensor]:
        noise = [torch.Generator().manual_seed(mix(seed, "augment", epoch, int(row))) for row in index]
        return inputs + 0.1 * torch.stack([torch.randn(6, generator=g) for g in noise]), targets

    data = (problem(augment=jitter), problem(40))
    many = fit_many(mlp, data, settings(), epochs=2)
    assert many.together
    compare(many, mlp, data, epochs=2)


def test_a_member_that_blows_up_is_set_aside() -> None:
    """Its error is that of the single run; the others are not touched."""
    data = (problem(), problem(40))
    given = [{"seed": 0, "lr": 0.05}, {"seed": 1, "lr": 1e30}, {"seed": 2, "lr": 0.1}, {"seed": 3, "lr": 3e18}]
    more = {"epochs": 4, "batch_size": 20}
    many = fit_many(all_relu, data, given, optimizer="sgd", **more)
    assert many.together
    assert [member.error is None for member in many] == [True, False, True, False]
    compare(many, all_relu, data, name="sgd", **more)


def test_rows_that_no_network_bears_are_named() -> None:
    data = problem()
    data.inputs[17, 3] = torch.inf
    many = fit_many(mlp, data, settings(), epochs=2)
    assert many.together
    assert all(member.error is not None and member.error.rows == [1017] for member in many)
    compare(many, mlp, data, epochs=2)
    with pytest.raises(GliaError, match="no network has a figure"):
        _ = many.best


def test_running_figures_are_watched() -> None:
    """An infinity in batch norm's figures does not show in the loss of that step."""
    data = problem()
    data.inputs[17] = 1e25  # its square is infinite, what batch norm gives is finite
    many = fit_many(with_batch_norm, data, settings(), epochs=2)
    assert many.together
    assert all(member.error is not None for member in many)
    compare(many, with_batch_norm, data, epochs=2)


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.5), nn.Linear(16, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.last = nn.LSTM(2, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.lstm(x.unflatten(1, (3, 2)))[0][:, -1])


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x) * 2 if self.last(x).sum() > 0 else self.last(x)


class Counting(nn.Module):
    """What it computes depends on how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.count = nn.Linear(6, 2), 0

    def forward(self, x: Tensor) -> Tensor:
        self.count += self.training
        return self.last(x) * (1 + 1 / self.count if self.training else 1)


@pytest.mark.parametrize(
    "make, why",
    [
        (Dropping, "random numbers"),
        (Recurrent, "no rule for lstm"),
        (Branching, "value of a tensor"),
        (Counting, "something else than alone"),
    ],
)
def test_what_cannot_be_stacked_goes_one_by_one(make: Callable[[], nn.Module], why: str) -> None:
    data = (problem(), problem(40))
    with pytest.warns(UserWarning, match=f"one by one: .*{why}"):
        many = fit_many(lambda seed: make(), data, settings(), epochs=3, patience=1)
    assert not many.together and why in many.why and "\n" not in many.why
    compare(many, lambda seed: make(), data, near=0.0, epochs=3, patience=1)


def test_other_reasons_to_go_one_by_one() -> None:
    rows = problem()
    loader = DataLoader(TensorDataset(rows.inputs, rows.targets), batch_size=20, shuffle=True)
    sizes = itertools.cycle((8, 9))

    def uneven(seed: int) -> nn.Module:
        size = next(sizes)
        return nn.Sequential(nn.Linear(6, size), nn.ReLU(), nn.Linear(size, 2))

    def watched(seed: int) -> nn.Module:
        model = mlp(seed)
        model.register_forward_hook(lambda *given: None)
        return model

    for make, data, name, why in (
        (watched, rows, "adam", "hooks"),
        (mlp, loader, "adam", "one order of rows"),
        (mlp, rows, "rmsprop", "RMSprop"),
        (uneven, rows, "adam", "shapes"),
        (lambda seed: nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.Linear(4, 2)), rows, "adam", "lazy"),
    ):
        with pytest.warns(UserWarning, match=f"one by one: .*{why}"):
            fit_many(make, data, settings(), optimizer=name)


def test_dropout_side_by_side_when_it_may_be_another() -> None:
    """Other random numbers, but the same ones again, and different ones for each member."""

    def run() -> Many:
        torch.rand(1)
        return fit_many(lambda seed: Dropping(), problem(), [{"seed": 3}, {"seed": 3}], epochs=3, exact=False)

    one, again = run(), run()
    assert one.together
    assert [member.history for member in one] == [member.history for member in again]
    assert one[0].history != one[1].history


def test_members_can_be_dropped() -> None:
    """Successive halving: after each epoch the worse half ends, with the weights that it has."""

    def worse(epoch: int, going: Any) -> list[int]:
        ranked = sorted(going, key=lambda member: member.history[-1]["valid_loss"])
        return [member.number for member in ranked[len(ranked) // 2 :]] if len(ranked) > 1 else []

    data = (problem(), problem(40))
    many = fit_many(mlp, data, settings(), epochs=6, drop=worse)
    assert many.together
    assert sorted(len(member.history) for member in many) == [1, 1, 2, 6]
    for member in many:
        model, epochs, _ = alone(mlp, data, member.settings, epochs=len(member.history))
        torch.testing.assert_close(member.model.state_dict(), model.state_dict(), rtol=1e-5, atol=1e-5)
    with pytest.warns(UserWarning, match="RMSprop"):
        singly = fit_many(mlp, data, settings(), epochs=6, drop=worse, optimizer="rmsprop")
    assert sorted(len(member.history) for member in singly) == [1, 1, 2, 6]


def test_a_pass_that_cannot_be_recorded_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glia.training.stacked.record", lambda *given: 1 / 0)
    data = (problem(), problem(40))
    many = fit_many(mlp, data, settings(), epochs=3)
    assert many.together
    compare(many, mlp, data, epochs=3)


@pytest.mark.parametrize("good", [0, 5])
def test_a_recorded_pass_that_is_wrong_is_found_out(good: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was recorded is compared with a new pass before it counts, and again later."""
    record = stacked.record

    def wrong(*given: Any) -> Any:
        call, made = record(*given), itertools.count()
        return lambda *now: [(1 if next(made) < good else 2) * tensor for tensor in call(*now)]

    monkeypatch.setattr(stacked, "record", wrong)
    monkeypatch.setattr(stacked, "EVERY", 1)
    data = (problem(), problem(40))
    many = fit_many(with_batch_norm, data, settings(), epochs=6)
    assert many.together
    compare(many, with_batch_norm, data, epochs=6)


def test_nothing_global_is_left_changed() -> None:
    torch.manual_seed(4)
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit_many(mlp, problem(), settings(), epochs=1)
        fit_many(lambda seed: Dropping(), problem(), settings(), epochs=1)
    assert torch.equal(before, torch.get_rng_state())


def test_faults_of_the_user() -> None:
    shared = mlp(0)
    for given, make, said in (
        ([], mlp, "no settings"),
        ([{"lr": 0.1}], mlp, "'seed'"),
        ([{"seed": 0, "learning_rate": 0.1}], mlp, "setting of a network"),
        ([{"seed": 0}, {"seed": 1}], lambda seed: shared, "same network twice"),
    ):
        with pytest.raises(GliaError, match=said):
            fit_many(make, problem(), given)
    with pytest.raises(GliaError, match="valid_acuracy"):
        fit_many(mlp, (problem(), problem(40)), settings(), monitor="valid_acuracy")
