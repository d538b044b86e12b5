"""Captures: what is kept of a training, whichever way its script is written, and that nothing of the script changes."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import _get_current_function_mode_stack
from torch.utils.data import DataLoader, TensorDataset

import glia
from glia.vitals import capture as capturing
from glia.vitals.bench import Bench
from glia.vitals.capture import Capture
from glia.vitals.chart import Chart
from glia.vitals.listen import Listener, listening

GENERATOR = torch.Generator().manual_seed(5)
X = torch.randn(96, 6, generator=GENERATOR)
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0.5).long()
HELD_X = torch.randn(40, 6, generator=GENERATOR)
HELD_Y = (HELD_X[:, 0] > 0).long() + (HELD_X[:, 1] > 0.5).long()
ROWS = 32


def network(outputs: int = 3, dropout: float = 0.0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, outputs))


def sgd(model: nn.Module, lr: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr)


def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def slices(model: nn.Module, epochs: int = 2) -> None:
    optimizer = sgd(model)
    for _ in range(epochs):
        for at in range(0, len(X), ROWS):
            update(optimizer, F.cross_entropy(model(X[at : at + ROWS]), Y[at : at + ROWS]))


def kept(script: Callable[..., Any], *models: nn.Module) -> tuple[Capture, Chart]:
    """What was captured of a script, and its chart."""
    with listening(Listener(Chart(), True)) as listener:
        script(*models)
    assert listener.capturer is not None
    return listener.capturer.capture, listener.chart


def rows_of(capture: Capture, slot: int) -> Tensor:
    return torch.cat([batch[slot] for batch in capture.batches])


def as_sets(*tensors: Tensor) -> set[tuple[float, ...]]:
    return {tuple(row) for row in torch.cat([t.reshape(len(t), -1).double() for t in tensors], 1).tolist()}


def whole_epoch(capture: Capture, rows: Tensor = X, labels: Tensor = Y) -> None:
    """The first epoch, once, every row with its own label."""
    assert not capture.broken and capture.complete and not capture.mixed
    assert [slot[0] for slot in capture.slots] == ["rows", "rows"]
    a, b = rows_of(capture, 0), rows_of(capture, 1)
    assert len(a) == len(rows)
    assert as_sets(a, b) == as_sets(rows, labels)


# Loops.


def by_loader(shuffle: bool, workers: int = 0) -> Callable[[nn.Module], None]:
    def script(model: nn.Module) -> None:
        optimizer = sgd(model)
        loader = DataLoader(TensorDataset(X, Y), ROWS, shuffle=shuffle, num_workers=workers)
        for _ in range(2):
            for x, y in loader:
                update(optimizer, F.cross_entropy(model(x), y))

    return script


def by_order(model: nn.Module) -> None:
    optimizer, generator = sgd(model), torch.Generator().manual_seed(1)
    for _ in range(2):
        order = torch.randperm(len(X), generator=generator)
        for at in range(0, len(X), ROWS):
            rows = order[at : at + ROWS]
            update(optimizer, F.cross_entropy(model(X[rows]), Y[rows]))


def whole(model: nn.Module) -> None:
    optimizer = sgd(model)
    for _ in range(6):
        update(optimizer, F.cross_entropy(model(X), Y))


def in_parts(model: nn.Module) -> None:
    """Each layer called by the script itself."""
    optimizer = sgd(model)
    for _ in range(2):
        for at in range(0, len(X), ROWS):
            h = X[at : at + ROWS]
            for layer in model:
                h = layer(h)
            update(optimizer, F.cross_entropy(h, Y[at : at + ROWS]))


def train_and_look(model: nn.Module) -> None:
    optimizer = sgd(model)
    for _ in range(3):
        for at in range(0, len(X), ROWS):
            update(optimizer, F.cross_entropy(model(X[at : at + ROWS]), Y[at : at + ROWS]))
        with torch.no_grad():
            (model(X).argmax(1) == Y).float().mean()


@pytest.mark.parametrize("script", [slices, by_order, whole, train_and_look, by_loader(True), by_loader(False)])
def test_the_first_epoch_is_kept_once(script):
    capture, chart = kept(script, network())
    whole_epoch(capture)
    assert capture.epoch_backwards == len(capture.batches) == (1 if script is whole else 3)
    assert capture.losses == [step.loss for step in chart.steps[: len(capture.losses)]]
    assert chart.loop.epochs == chart.backwards / len(capture.batches)


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_loader_says_whether_it_shuffles_and_which_labels_it_has(shuffle):
    capture, chart = kept(by_loader(shuffle), network())
    assert capture.shuffled is shuffle and chart.loop.shuffled is shuffle
    assert torch.equal(capture.data_labels, Y)


def test_a_loader_with_a_worker():
    capture, chart = kept(by_loader(False, workers=1), network())
    whole_epoch(capture)
    assert not chart.notes


def test_layers_that_a_script_calls_itself():
    capture, _ = kept(in_parts, network())
    assert not capture.broken and capture.complete and capture.epoch_backwards == 3


class Keyword(nn.Module):
    """Takes keywords, gives a dict with its own loss."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, *, inputs: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.inner(inputs)
        return {"logits": logits} | ({} if labels is None else {"loss": F.cross_entropy(logits, labels)})


def test_a_model_that_takes_keywords_and_gives_its_own_loss():
    def script(model: nn.Module) -> None:
        optimizer = sgd(model)
        for _ in range(2):
            for at in range(0, len(X), ROWS):
                update(optimizer, model(inputs=X[at : at + ROWS], labels=Y[at : at + ROWS])["loss"])
            with torch.no_grad():
                model.eval()
                model(inputs=HELD_X, labels=HELD_Y)
                model.train()

    capture, chart = kept(script, Keyword())
    whole_epoch(capture)
    bench = chart.bench
    assert bench.own_loss and bench.objective.kind == "cross_entropy"
    assert bench.held.source == "script" and torch.equal(bench.held.kwargs["inputs"], HELD_X)
    assert torch.equal(bench.held.labels, HELD_Y)


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.inner[:3](x)
        return code, self.inner[3:](code)


def test_the_judged_output_of_several_is_the_one_in_the_loss():
    def script(model: nn.Module) -> None:
        optimizer = sgd(model)
        for _ in range(2):
            for at in range(0, len(X), ROWS):
                update(optimizer, F.cross_entropy(model(X[at : at + ROWS])[1], Y[at : at + ROWS]))

    capture, chart = kept(script, Pair())
    whole_epoch(capture)
    assert chart.bench.index == 1 and chart.bench.answers.classes == 3


def test_accumulation():
    def script(model: nn.Module) -> None:
        optimizer = sgd(model)
        for _ in range(3):
            for number, at in enumerate(range(0, len(X), 16)):
                (F.cross_entropy(model(X[at : at + 16]), Y[at : at + 16]) / 3).backward()
                if number % 3 == 2:
                    optimizer.step()
                    optimizer.zero_grad()

    capture, chart = kept(script, network())
    whole_epoch(capture)
    assert capture.events == "BBB0BBB0" or capture.events.startswith("BBB0BBB0")
    assert chart.bench.objective.times == pytest.approx(1 / 3, rel=1e-3)


def test_a_closure():
    def script(model: nn.Module) -> None:
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(X), Y)
            loss.backward()
            return loss

        for _ in range(2):
            optimizer.step(closure)

    capture, _ = kept(script, nn.Linear(6, 3))
    whole_epoch(capture)
    assert [(o.kind, o.closure) for o in capture.optimizers] == [(torch.optim.LBFGS, True)]


def test_two_optimisers_that_step_together():
    body, head = network(8), nn.Linear(8, 3)

    def script(body: nn.Module, head: nn.Module) -> None:
        first, second = sgd(body, 0.1), torch.optim.Adam(head.parameters(), 0.01)
        for _ in range(2):
            for at in range(0, len(X), ROWS):
                first.zero_grad()
                second.zero_grad()
                F.cross_entropy(head(body(X[at : at + ROWS])), Y[at : at + ROWS]).backward()
                first.step()
                second.step()

    capture, _ = kept(script, body, head)
    whole_epoch(capture)
    assert capture.events.startswith("B01B01B01")
    assert [o.kind for o in capture.optimizers] == [torch.optim.SGD, torch.optim.Adam]
    assert {root for o in capture.optimizers for _, names in o.groups for root, _ in names} == {0, 1}


def test_adversaries_are_told_apart_and_nothing_is_tried():
    def script(maker: nn.Module, critic: nn.Module) -> None:
        first, second = sgd(maker, 0.01), sgd(critic, 0.01)
        yes, no = torch.ones(ROWS, 1), torch.zeros(ROWS, 1)
        for step in range(6):
            fake = maker(torch.randn(ROWS, 6))
            real = X[step % 3 * ROWS : (step % 3 + 1) * ROWS]
            update(
                second,
                F.binary_cross_entropy_with_logits(critic(real), yes)
                + F.binary_cross_entropy_with_logits(critic(fake.detach()), no),
            )
            update(first, F.binary_cross_entropy_with_logits(critic(fake), yes))

    capture, chart = kept(script, network(6), network(1))
    assert capture.mixed and chart.bench is None
    assert glia.examine(chart) == []


def test_mixed_precision():
    def script(model: nn.Module) -> None:
        optimizer, scaler = sgd(model), torch.amp.GradScaler("cpu", enabled=False)
        for _ in range(2):
            for at in range(0, len(X), ROWS):
                optimizer.zero_grad()
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = F.cross_entropy(model(X[at : at + ROWS]), Y[at : at + ROWS])
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()

    capture, chart = kept(script, network())
    whole_epoch(capture)
    assert capture.autocast == {"cpu": torch.bfloat16} and chart.loop.half
    assert chart.scores and all(score.rows == len(X) for score in chart.scores)


@pytest.mark.filterwarnings("ignore:Using `torch.compile")
def test_a_compiled_model_is_copied_as_it_was_before():
    plain = network()
    capture, chart = kept(slices, torch.compile(plain, backend="eager"))
    whole_epoch(capture)
    assert capture.roots == [plain] and type(capture.initial[0]) is nn.Sequential
    same_weights(capture.initial[0], network())
    assert chart.bench.train.count == len(X)


# The copy.


def same_weights(one: nn.Module, other: nn.Module) -> None:
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("script", [slices, by_loader(True), in_parts])
def test_the_copy_is_the_network_before_its_first_step(script):
    model = network()
    capture, _ = kept(script, model)
    if script is not in_parts:
        same_weights(capture.initial[0], network())
    else:
        assert len(capture.initial) == 3  # the parts that have weights
        same_weights(nn.Sequential(*capture.initial), nn.Sequential(*(m for m in network() if list(m.parameters()))))
    assert not any(torch.equal(p, q) for p, q in zip(model.parameters(), network().parameters()) if p.ndim > 1)


def test_options_and_groups_are_those_of_the_first_step():
    def script(model: nn.Module) -> None:
        groups = [{"params": model[0].parameters()}, {"params": model[4].parameters(), "lr": 0.05}]
        optimizer = torch.optim.SGD(groups, lr=0.2, momentum=0.9, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        for _ in range(4):
            update(optimizer, F.cross_entropy(model(X), Y))
            schedule.step()

    capture, _ = kept(script, network())
    (found,) = capture.optimizers
    assert [options["lr"] for options, _ in found.groups] == [0.2, 0.05]
    assert all(options["momentum"] == 0.9 and options["weight_decay"] == 1e-4 for options, _ in found.groups)
    assert [names for _, names in found.groups] == [[(0, "0.weight"), (0, "0.bias")], [(0, "4.weight"), (0, "4.bias")]]


# Held-out rows.

Look = Callable[[nn.Module], Any]


def no_grad(model: nn.Module) -> None:
    with torch.no_grad():
        F.cross_entropy(model(HELD_X), HELD_Y)


def inference(model: nn.Module) -> None:
    with torch.inference_mode():
        (model(HELD_X).argmax(1) == HELD_Y).float().mean().item()


def forgotten(model: nn.Module) -> None:
    F.cross_entropy(model(HELD_X), HELD_Y).item()


def through_torch_numpy(model: nn.Module) -> None:
    with torch.no_grad():
        said = model(HELD_X).argmax(1).numpy()
    (said == HELD_Y.numpy()).mean()


def through_sklearn(model: nn.Module) -> None:
    with torch.no_grad():
        accuracy_score(HELD_Y, model(HELD_X).argmax(1))


def through_a_loader(model: nn.Module) -> None:
    loader, right = DataLoader(TensorDataset(HELD_X, HELD_Y), 16), 0
    with torch.no_grad():
        for x, y in loader:
            right += (model(x).argmax(1) == y).sum().item()


def through_a_loader_and_lists(model: nn.Module) -> None:
    said, right = [], []
    with torch.no_grad():
        for x, y in DataLoader(TensorDataset(HELD_X, HELD_Y), 16):
            said += model(x).argmax(1).tolist()
            right += y.tolist()
    accuracy_score(right, said)


LOOKS: list[Look] = [no_grad, inference, forgotten, through_a_loader, through_a_loader_and_lists, through_sklearn,
                     through_torch_numpy]  # fmt: skip


def looked(look: Look, often: bool) -> Bench:
    def script(model: nn.Module) -> None:
        optimizer = sgd(model)
        for _ in range(3):
            for at in range(0, len(X), ROWS):
                update(optimizer, F.cross_entropy(model(X[at : at + ROWS]), Y[at : at + ROWS]))
            if often:
                model.eval()
                look(model)
                model.train()
        if not often:
            model.eval()
            look(model)

    capture, chart = kept(script, network())
    whole_epoch(capture)
    assert not chart.notes
    return chart.bench


@pytest.mark.parametrize("often", [True, False])
@pytest.mark.parametrize("look", LOOKS)
def test_held_out_rows_and_their_labels_are_found(look, often):
    held = looked(look, often).held
    assert held is not None and held.source == "script" and not held.training
    assert torch.equal(held.args[0], HELD_X)
    assert torch.equal(held.labels.long(), HELD_Y)


def test_held_out_rows_under_a_seen_label_only_are_no_training_rows():
    bench = looked(no_grad, True)
    assert bench.rows == len(X) and bench.train.count == len(X)
    assert as_sets(bench.train.args[0]) == as_sets(X)


def test_a_mode_that_was_forgotten_is_kept():
    def script(model: nn.Module) -> None:
        optimizer = sgd(model)
        for _ in range(3):
            update(optimizer, F.cross_entropy(model(X), Y))
            no_grad(model)

    _, chart = kept(script, network(dropout=0.5))
    assert chart.bench.held.training and chart.loop.evaluation_mode == 1


def test_without_a_look_nothing_is_held():
    capture, chart = kept(slices, network())
    assert capture.held == [] and chart.bench.held is None and not chart.loop.validated


# Bounds and errors.


def test_memory_is_bounded_by_rows(monkeypatch):
    monkeypatch.setattr(capturing, "MOST_ROWS", 40)
    monkeypatch.setattr(capturing, "MOST_HELD", 10)
    capture, chart = kept(lambda model: (slices(model), no_grad(model)), network())
    assert sum(len(batch[0]) for batch in capture.batches) <= 40 + ROWS
    assert sum(held.rows for held in capture.held) <= 10 and chart.bench is not None


def test_memory_is_bounded_by_bytes(monkeypatch):
    monkeypatch.setattr(capturing, "MOST_BYTES", 1000)
    monkeypatch.setattr(capturing, "MOST_HELD_BYTES", 500)
    capture, _ = kept(lambda model: (slices(model), no_grad(model)), network())
    assert len(capture.batches) == 1 and capture.held == []


def test_batches_are_bounded(monkeypatch):
    monkeypatch.setattr(capturing, "MOST_BATCHES", 2)
    capture, chart = kept(slices, network())
    assert len(capture.batches) == 2 and not chart.notes


def test_a_model_that_is_too_large_is_not_copied(monkeypatch):
    monkeypatch.setattr(capturing, "LARGEST_MODEL", 10)
    capture, chart = kept(slices, network())
    assert "too large" in capture.broken and chart.bench is None and len(chart.steps) == 6
    assert any("too large" in note for note in chart.notes)


def test_whatever_goes_wrong_in_capturing_does_not_reach_the_loop(monkeypatch):
    def broken(*_: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(capturing.Capturer, "_keep", broken)
    model, alone = network(), network()
    capture, chart = kept(slices, model)
    slices(alone)
    same_weights(model, alone)
    assert "ZeroDivisionError" in capture.broken and len(chart.steps) == 6


def test_weights_that_belong_to_no_module_are_said_to_be_out_of_reach():
    weight = torch.zeros(6, 3, requires_grad=True)

    def script() -> None:
        optimizer = torch.optim.SGD([weight], 0.1)
        for _ in range(3):
            update(optimizer, F.cross_entropy(X @ weight, Y))

    capture, chart = kept(script)
    assert capture.broken and chart.bench is None and len(chart.steps) == 3


def patches() -> list[object]:
    names = [
        (nn.Module, "__call__"), (Tensor, "backward"), (torch.autograd, "backward"), (DataLoader, "__iter__"),
        (torch.optim.Optimizer, "__init__"), (torch.optim.Optimizer, "zero_grad"), (nn.Module, "zero_grad"),
        (nn.utils, "clip_grad_norm_"), (nn.utils, "clip_grad_value_"), (torch.amp.GradScaler, "scale"),
        (nn.Module, "__init__"), (nn.Module, "train"), (torch.no_grad, "__enter__"),
        (torch.inference_mode, "__enter__"),
    ]  # fmt: skip
    return [vars(owner)[name] for owner, name in names]


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["after a call", "in a model", "in a loader", "after a step", "in a backward pass"])
def test_nothing_stays_patched_after_an_error(error, where):
    before, modes = patches(), list(_get_current_function_mode_stack())

    def raising(*_: object) -> None:
        raise error

    def script(model: nn.Module) -> None:
        slices(model, 1)
        if where == "in a model":
            model[2].register_forward_hook(raising)
        optimizer = sgd(model)
        for x, y in DataLoader(TensorDataset(X, Y), ROWS):
            if where == "in a loader":
                raising()
            out = model(x)
            if where == "after a call":
                raising()
            if where == "in a backward pass":
                out.register_hook(raising)
            update(optimizer, F.cross_entropy(out, y))
            raising()

    with pytest.raises(error):
        kept(script, network())
    assert patches() == before
    assert _get_current_function_mode_stack() == modes
    slices(network())  # and torch works


@pytest.fixture
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        np.random.seed(11)
        random.seed(11)
        yield


def random_state() -> list[Any]:
    numbers = np.random.get_state()
    return [torch.get_rng_state().tolist(), numbers[1].tolist(), numbers[2], random.getstate()]


def test_random_numbers_and_weights_are_the_same_with_and_without_it(seeded):
    def script(model: nn.Module) -> None:
        by_loader(True)(model)
        model.eval()
        through_a_loader(model)
        model.train()

    ends = []
    for watched in (False, True):
        torch.manual_seed(11)
        model = network(dropout=0.4)
        kept(script, model) if watched else script(model)
        ends.append((model, random_state()))
    same_weights(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


@pytest.mark.parametrize("training", [False, True])
def test_the_live_model_is_left_as_the_script_left_it(training):
    model, alone = network(dropout=0.4), network(dropout=0.4)

    def script(model: nn.Module) -> None:
        torch.manual_seed(11)
        slices(model)
        model.train(training)
        no_grad(model)

    with torch.random.fork_rng(devices=[]):
        kept(script, model)
        script(alone)
    same_weights(model, alone)
    assert [m.training for m in model.modules()] == [m.training for m in alone.modules()]


def test_hooks_of_the_script_are_not_called_once_it_is_over():
    calls = []
    model = network()
    model[0].register_forward_hook(lambda *_: calls.append(1))
    with listening(Listener(Chart(), True)):
        slices(model)
        during = len(calls)
    assert len(calls) == during
