"""The loop: equal to a loop written by hand, exact when cut and resumed, and open to any module and loader."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from glia.data.batches import Batches
from glia.errors import GliaError
from glia.optim import schedules
from glia.optim.average import Average
from glia.optim.build import build as build_optimizer
from glia.runs.packing import pack, unpack
from glia.seed import mix
from glia.training.loop import Moment, fit
from glia.training.nonfinite import NonFinite
from glia.training.steps import Outcome, supervised

ROWS = 90


def problem(rows: int = ROWS, workers: int = 0, augment: Any = None) -> Batches:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(rows, 6, generator=generator)
    targets = (inputs[:, 0] * inputs[:, 1] > 0).long()
    return Batches(inputs, targets, torch.arange(rows), augment=augment, workers=workers)


def network(dropout: float = 0.0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 2))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_equal_to_a_plain_loop() -> None:
    ours, plain = network(), network()
    data = problem()
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1, momentum=0.9)
    moments = list(fit(ours, data, optimizer=optimizer, epochs=3, batch_size=20, seed=5))
    theirs = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for epoch in range(3):
        order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(mix(5, "order", epoch)))
        for index in order.tensor_split(5):
            theirs.zero_grad()
            loss = nn.functional.cross_entropy(plain(data.inputs[index]), data.targets[index])
            loss.backward()
            theirs.step()
            losses.append(loss.item())
    assert [m.loss for m in moments if m.kind == "step"] == losses
    # Without validation rows the best epoch is that of the lowest training loss, and its weights are what is left.
    best = [m for m in moments if m.best][-1]
    assert best.figures["train_loss"] == min(m.loss for m in moments if m.kind == "epoch")


def settings(model: nn.Module) -> dict[str, Any]:
    return {
        "optimizer": build_optimizer("adamw", model, lr=0.01, weight_decay=0.01),
        "schedule": schedules.build("cosine", 30, 5, warmup_share=0.1),
        "average": Average(model, 0.9),
        "epochs": 6,
        "batch_size": 20,
        "clip": 1.0,
        "accumulate": 1,
        "seed": 2,
    }


@pytest.mark.parametrize("cut", [1, 4, 5, 6, 13, 29])
def test_a_run_that_was_cut_goes_on_bit_for_bit(cut: int) -> None:
    """Weights, averaged weights, optimiser and every figure after the cut are those of the run that was not cut."""
    data = (problem(), problem(40))
    whole = network(dropout=0.3)
    straight = [
        (m.kind, m.step, m.loss, m.lr, m.grad_norm, m.figures, m.best) for m in fit(whole, data, **settings(whole))
    ]
    first = network(dropout=0.3)
    before, saved = [], None
    for moment in fit(first, data, **settings(first)):
        before.append((moment.kind, moment.step, moment.loss, moment.lr, moment.grad_norm, moment.figures, moment.best))
        if moment.step == cut:
            saved = pack(moment.snapshot())
            break
    assert saved is not None
    torch.manual_seed(999)  # whatever else draws random numbers in between
    second = network(dropout=0.3)
    nn.init.zeros_(second[0].weight)
    arguments = settings(second)
    after = []
    for moment in fit(second, data, **arguments, start=unpack(*saved)):
        after.append((moment.kind, moment.step, moment.loss, moment.lr, moment.grad_norm, moment.figures, moment.best))
    assert repr(before + after) == repr(straight)
    assert same(whole.state_dict(), second.state_dict())


def last_weights(data: Any, **changes: Any) -> dict[str, Tensor]:
    model = network(dropout=0.3)
    state: dict[str, Tensor] = {}
    for moment in fit(model, data, **{**settings(model), **changes}):
        state = {name: value.clone() for name, value in moment.snapshot()["model"].items()}
        if moment.kind == "step" and changes.get("noisy"):
            torch.rand(3)
    return state


def test_what_does_not_matter_changes_nothing() -> None:
    def jitter(inputs: Tensor, targets: Tensor, seed: int, epoch: int, index: Tensor) -> tuple[Tensor, Tensor]:
        noise = [torch.Generator().manual_seed(mix(seed, "augment", epoch, int(row))) for row in index]
        return inputs + 0.1 * torch.stack([torch.randn(6, generator=g) for g in noise]), targets

    reference = last_weights((problem(augment=jitter), problem(40)))
    assert same(reference, last_weights((problem(augment=jitter, workers=2), problem(40))))
    assert same(reference, last_weights((problem(augment=jitter, workers=1), problem(40, workers=2))))
    assert same(reference, last_weights((problem(augment=jitter), problem(40)), valid_every=2))
    assert same(reference, last_weights((problem(augment=jitter), None)))
    assert not same(reference, last_weights((problem(augment=jitter), problem(40)), seed=3))
    assert not same(reference, last_weights((problem(), problem(40))))


def test_accumulation_is_one_large_batch() -> None:
    def run(batch_size: int, accumulate: int) -> nn.Module:
        model = nn.Linear(6, 2)
        nn.init.zeros_(model.weight), nn.init.zeros_(model.bias)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        for _ in fit(model, problem(80), optimizer=optimizer, epochs=2, batch_size=batch_size, accumulate=accumulate):
            pass
        return model

    torch.testing.assert_close(run(40, 1).weight, run(10, 4).weight)


def test_global_generator_is_left_as_it_was() -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    list(fit(network(dropout=0.5), problem(), epochs=2))
    assert torch.equal(before, torch.get_rng_state())


def test_any_loader_and_dict_batches_and_labels_by_name() -> None:
    data = problem()
    plain = TensorDataset(data.inputs, data.targets)
    named = [{"x": data.inputs[i : i + 30], "labels": data.targets[i : i + 30]} for i in range(0, 90, 30)]

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = network()

        def forward(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
            return {"logits": self.body(a + b)}

    two = [{"a": batch["x"], "b": batch["x"], "y": batch["labels"]} for batch in named]
    for source, model in [
        (DataLoader(plain, 30, shuffle=True), network()),
        ((DataLoader(plain, 30, shuffle=True), DataLoader(plain, 45)), network()),
        (named, network()),
        (two, Named()),
        ([(data.inputs, data.inputs, data.targets)], Named()),
    ]:
        moments = [m for m in fit(model, source, epochs=30, lr=0.02) if m.kind == "epoch"]
        assert moments[-1].figures["train_loss"] < 0.6 * moments[0].figures["train_loss"]
        assert not model.training


def test_a_loader_gives_the_same_run_twice_and_when_cut() -> None:
    data = problem()
    make = lambda: DataLoader(TensorDataset(data.inputs, data.targets), 20, shuffle=True)
    one = last_weights(make())
    torch.rand(5)
    assert same(one, last_weights(make()))
    model = network(dropout=0.3)
    saved = next(pack(m.snapshot()) for m in fit(model, make(), **settings(model)) if m.step == 7)
    again = network()
    again[3].p = 0.3
    for moment in fit(again, make(), **settings(again), start=unpack(*saved)):
        state = copy.deepcopy(moment.snapshot()["model"])
    assert same(one, state)


def test_early_stopping_keeps_the_best_weights() -> None:
    model = network()
    seen: list[tuple[Moment, dict[str, Tensor]]] = []
    data = (problem(30), problem(60))
    for moment in fit(model, data, epochs=200, lr=0.05, patience=5):
        if moment.kind == "epoch":
            seen.append((moment, {k: v.clone() for k, v in model.state_dict().items()}))
    losses = [moment.figures["valid_loss"] for moment, _ in seen]
    best = min(range(len(losses)), key=losses.__getitem__)
    assert len(seen) < 200 and len(seen) == best + 6
    assert seen[-1][0].last and seen[best][0].best
    assert same(model.state_dict(), seen[best][1])


def test_monitor_by_accuracy_and_an_unknown_figure() -> None:
    moments = [
        m for m in fit(network(), (problem(), problem(40)), epochs=8, monitor="valid_accuracy") if m.kind == "epoch"
    ]
    best = [m.figures["valid_accuracy"] for m in moments if m.best]
    assert best == sorted(set(best)) and best[-1] == max(m.figures["valid_accuracy"] for m in moments)
    with pytest.raises(GliaError, match="valid_accuracy"):
        list(fit(network(), (problem(), problem(40)), monitor="valid_acuracy"))


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched() -> None:
    class Breaks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.calls = nn.Linear(6, 4), nn.Linear(4, 2), 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += self.training
            hidden = self.first(x)
            return self.second(hidden / (0.0 if self.calls >= 8 else 1.0))

    model = Breaks()
    weights = []
    with pytest.raises(NonFinite) as caught:
        for moment in fit(model, (problem(), problem(30)), epochs=5, batch_size=20):
            if moment.best:
                weights.append(copy.deepcopy(model.state_dict()))
    assert caught.value.step == 7 and "second (Linear)" in str(caught.value)
    assert same(model.state_dict(), weights[-1])


def test_penalties_and_custom_steps() -> None:
    def norm(l1: float) -> float:
        model = network()
        for _ in fit(model, problem(), epochs=30, lr=0.01, l1=l1):
            pass
        return sum(p.abs().sum().item() for p in model.parameters() if p.ndim > 1)

    assert norm(0.02) < 0.5 * norm(0.0)

    def step(model: nn.Module, batch: Any) -> Tensor:
        return (model(batch.inputs) - 1).square().mean()

    moments = [m for m in fit(nn.Linear(6, 1), problem(), step=step, epochs=40, lr=0.1) if m.kind == "epoch"]
    assert moments[-1].loss < 0.01


def test_members_of_an_ensemble_are_scored_one_by_one() -> None:
    class Ensemble(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.all = nn.ModuleList(network() for _ in range(3))

        def members(self, x: Tensor) -> Tensor:
            return torch.stack([m(x) for m in self.all], 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.members(x) if self.training else self.members(x).softmax(-1).mean(1).log()

    model, data = Ensemble(), problem()
    outcome = supervised("cross_entropy")(model, data.at(torch.arange(20)))
    assert isinstance(outcome, Outcome)
    each = [nn.functional.cross_entropy(m(data.inputs[:20]), data.targets[:20]) for m in model.all]
    torch.testing.assert_close(outcome.loss, torch.stack(each).mean())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "empty"),
        ([torch.zeros(3, 6)], "batch"),
        ([{"x": torch.zeros(3, 6)}], "labels"),
        ((batch for batch in [1]), "once only"),
    ],
)
def test_unusable_batches_are_named(data: Any, words: str) -> None:
    with pytest.raises(GliaError, match=words):
        list(fit(network(), data))


@pytest.mark.parametrize("bare", [False, True])
def test_rows_that_hold_infinities_are_named(bare: bool) -> None:
    x, y = torch.ones(8, 3), torch.zeros(8, 1)
    x[5, 1] = math.inf
    step = (lambda model, batch: model(batch).square().mean()) if bare else supervised("mse")
    with pytest.raises(NonFinite, match=r"rows \[5\] of the batch hold infinities"):
        list(fit(nn.Linear(3, 1), [x if bare else (x, y)], step=step))


def test_noise_of_validation_is_that_of_its_epoch_after_a_cut_at_any_step() -> None:
    data, noisy = problem(), lambda model, batch: (model(batch.inputs) + torch.randn(len(batch.inputs), 2)).logsumexp(1)
    run: dict[str, Any] = {"epochs": 2, "batch_size": 45, "lr": 0.01, "step": lambda m, b: noisy(m, b).mean()}
    whole = [pack(m.snapshot()) for m in fit(network(), (data, data), **run)]
    wanted = [m.figures["valid_loss"] for m in fit(network(), (data, data), **run) if m.kind == "epoch"]
    torch.manual_seed(99)
    for cut in range(len(whole) - 1):
        left = fit(network(), (data, data), start=unpack(*whole[cut]), **run)
        figures = [m.figures["valid_loss"] for m in left if m.kind == "epoch"]
        assert figures == wanted[-len(figures) :], cut


def test_a_rate_of_nothing_moves_nothing() -> None:
    model = network()
    before = copy.deepcopy(list(model.parameters()))
    assert [m.lr for m in fit(model, problem(), lr=0.0)][-1] == 0.0
    assert all(torch.equal(now, then) for now, then in zip(model.parameters(), before, strict=True))
