"""Benches: the loss is known by its values, whoever wrote it; training rows and held-out rows stand apart."""

import math
from collections.abc import Callable

import pytest
import torch
from sklearn.metrics import accuracy_score, r2_score
from torch import Tensor, nn
from torch.nn import functional as F

import glia
from glia.vitals.bench import Bench
from glia.vitals.chart import Chart

GENERATOR = torch.Generator().manual_seed(9)
X = torch.randn(96, 6, generator=GENERATOR)
CLASSES = (X[:, 0] > 0).long() + (X[:, 1] > 0.5).long()
YES = (X[:, 0] > 0).float()
NUMBER = 3 * X[:, 0] - X[:, 1] + 5
ONEHOT = F.one_hot(CLASSES, 3).float()
ROWS = 32
Loss = Callable[[Tensor, Tensor], Tensor]


def network(outputs: int, last: nn.Module | None = None) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, outputs)]
        return nn.Sequential(*layers, *([last] if last is not None else []))


def trained(model: nn.Module, loss: Loss, labels: Tensor, rows: int = ROWS, epochs: int = 1) -> Chart:
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    with glia.listen() as chart:
        for _ in range(epochs):
            for at in range(0, len(X), rows):
                optimizer.zero_grad()
                loss(model(X[at : at + rows]), labels[at : at + rows]).backward()
                optimizer.step()
    return chart


def bench(outputs: int, loss: Loss, labels: Tensor, last: nn.Module | None = None) -> Bench:
    chart = trained(network(outputs, last), loss, labels)
    assert isinstance(chart.bench, Bench), chart.notes
    return chart.bench


def log_sum_exp(o: Tensor, y: Tensor) -> Tensor:
    return (torch.log(torch.exp(o).sum(1)) - o.gather(1, y.unsqueeze(1))[:, 0]).mean()


def logged(o: Tensor, y: Tensor) -> Tensor:
    return -torch.log(o[torch.arange(len(o)), y]).mean()


def logged_yes(o: Tensor, y: Tensor) -> Tensor:
    o = o[:, 0]
    return -(y * torch.log(o) + (1 - y) * torch.log(1 - o)).mean()


def fused_yes(o: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(o[:, 0], y)


KINDS: dict[str, tuple[int, Loss, Tensor, nn.Module | None, str]] = {
    "cross-entropy": (3, F.cross_entropy, CLASSES, None, "cross_entropy"),
    "cross-entropy by hand": (3, log_sum_exp, CLASSES, None, "cross_entropy"),
    "cross-entropy, one-hot": (3, lambda o, y: -(y * o.log_softmax(1)).sum(1).mean(), ONEHOT, None, "cross_entropy"),
    "log-softmax in the model": (3, F.nll_loss, CLASSES, nn.LogSoftmax(1), "nll"),
    "logarithm of probabilities": (3, logged, CLASSES, nn.Softmax(1), "log"),
    "squares of classes": (3, F.mse_loss, ONEHOT, None, "mse"),
    "yes or no": (1, fused_yes, YES, None, "bce_logits"),
    "yes or no of probabilities": (1, lambda o, y: F.binary_cross_entropy(o[:, 0], y), YES, nn.Sigmoid(), "bce"),
    "yes or no by hand": (1, logged_yes, YES, nn.Sigmoid(), "bce"),
    "squares": (1, lambda o, y: F.mse_loss(o[:, 0], y), NUMBER, None, "mse"),
    "squares by hand": (1, lambda o, y: ((o[:, 0] - y) ** 2).mean(), NUMBER, None, "mse"),
    "absolute": (1, lambda o, y: (o[:, 0] - y).abs().mean(), NUMBER, None, "l1"),
    "smooth": (1, lambda o, y: F.smooth_l1_loss(o[:, 0], y), NUMBER, None, "smooth_l1"),
    "root of squares": (1, lambda o, y: ((o[:, 0] - y) ** 2).mean().sqrt(), NUMBER, None, "root_mse"),
    "hinge of classes": (3, lambda o, y: F.relu(1 - y * o).mean(), 2 * ONEHOT - 1, None, "hinge"),
    "hinge": (1, lambda o, y: F.relu(1 - (2 * y - 1) * o[:, 0]).mean(), YES, None, "hinge"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_loss_is_named(name):
    outputs, loss, labels, last, kind = KINDS[name]
    found = bench(outputs, loss, labels, last).objective
    assert (found.kind, found.applied, found.sign, found.summed) == (kind, "", 1, False)
    assert found.times == pytest.approx(1.0, rel=1e-2) and found.added == pytest.approx(0.0, abs=1e-2)


@pytest.mark.parametrize("name", KINDS)
def test_a_flipped_sign_is_seen(name):
    outputs, loss, labels, last, kind = KINDS[name]
    found = bench(outputs, lambda o, y: -loss(o, y), labels, last).objective
    assert (found.kind, found.sign) == (kind, -1)


@pytest.mark.parametrize("name", ["cross-entropy", "squares", "yes or no", "absolute"])
def test_sums_shares_and_penalties_are_seen(name):
    outputs, loss, labels, last, kind = KINDS[name]
    summed = bench(outputs, lambda o, y: loss(o, y) * len(o), labels, last).objective
    assert (summed.kind, summed.summed, summed.sign) == (kind, True, 1)
    share = bench(outputs, lambda o, y: loss(o, y) / 4, labels, last).objective
    assert (share.kind, share.summed, share.times) == (kind, False, pytest.approx(0.25, rel=1e-2))
    added = bench(outputs, lambda o, y: loss(o, y) + 7.0, labels, last).objective
    assert (added.kind, added.times, added.added) == (kind, pytest.approx(1, rel=1e-2), pytest.approx(7.0, abs=0.05))


def test_a_penalty_on_the_weights_is_what_is_added():
    model = network(3)
    norm = sum(p.square().sum() for p in model.parameters()).item()

    def loss(o: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(o, y) + 0.1 * sum(p.square().sum() for p in model.parameters())

    found = trained(model, loss, CLASSES).bench.objective
    assert found.kind == "cross_entropy" and found.added == pytest.approx(0.1 * norm, rel=1e-3)


@pytest.mark.parametrize(
    ("applied", "loss", "labels", "outputs", "kind"),
    [
        ("softmax", lambda o, y: F.cross_entropy(o.softmax(1), y), CLASSES, 3, "cross_entropy"),
        ("sigmoid", lambda o, y: F.mse_loss(o.sigmoid()[:, 0], y), NUMBER, 1, "mse"),
        ("tanh", lambda o, y: F.mse_loss(o.tanh()[:, 0], y), NUMBER, 1, "mse"),
        ("relu", lambda o, y: F.l1_loss(o.relu()[:, 0], y), X[:, 2], 1, "l1"),
    ],
)
def test_an_activation_on_the_way_to_the_loss(applied, loss, labels, outputs, kind):
    found = bench(outputs, loss, labels).objective
    assert (found.kind, found.applied) == (kind, applied)


def test_sigmoid_and_then_the_loss_of_probabilities_is_the_loss_of_logits():
    found = bench(1, lambda o, y: F.binary_cross_entropy(o.sigmoid()[:, 0], y), YES).objective
    assert (found.kind, found.applied) in {("bce_logits", ""), ("bce", "sigmoid")}


@pytest.mark.parametrize(
    ("name", "unstable"),
    [
        ("yes or no by hand", True),
        ("logarithm of probabilities", True),
        ("cross-entropy by hand", True),
        ("yes or no of probabilities", False),
        ("yes or no", False),
        ("cross-entropy", False),
        ("log-softmax in the model", False),
        ("squares", False),
    ],
)
def test_logarithms_and_exponentials_that_overflow(name, unstable):
    outputs, loss, labels, last, _ = KINDS[name]
    assert bench(outputs, loss, labels, last).objective.unstable is unstable


def test_a_small_number_in_the_logarithm_is_enough():
    def loss(o: Tensor, y: Tensor) -> Tensor:
        o = o[:, 0]
        return -(y * torch.log(o + 1e-6) + (1 - y) * torch.log(1 - o + 1e-6)).mean()

    found = bench(1, loss, YES, nn.Sigmoid()).objective
    assert (found.kind, found.unstable) == ("bce", False)


def test_a_loss_that_nobody_knows_is_unknown():
    found = bench(1, lambda o, y: (o[:, 0] - y).abs().pow(5).mean() + o.sin().sum(), NUMBER).objective
    assert found.kind == "unknown" and math.isnan(found.times)


# Rows.


def with_validation(model: nn.Module, loss: Loss, labels: Tensor, held: slice) -> Chart:
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with glia.listen() as chart:
        for _ in range(20):
            for at in range(0, 64, ROWS):
                optimizer.zero_grad()
                loss(model(X[at : at + ROWS]), labels[at : at + ROWS]).backward()
                optimizer.step()
            with torch.no_grad():
                loss(model(X[held]), labels[held])
    return chart


def test_scores_are_scikit_learns_on_both_parts():
    model = network(3)
    chart = with_validation(model, F.cross_entropy, CLASSES, slice(64, 96))
    scores = {score.part: score for score in chart.scores}
    with torch.no_grad():
        said = model(X).argmax(1)
    assert scores["train"].value == pytest.approx(accuracy_score(CLASSES[:64], said[:64]))
    assert scores["valid"].value == pytest.approx(accuracy_score(CLASSES[64:], said[64:]))
    assert (scores["train"].rows, scores["valid"].rows) == (64, 32)


def test_scores_of_numbers_are_scikit_learns():
    model = network(1)
    chart = with_validation(model, lambda o, y: F.mse_loss(o[:, 0], y), NUMBER, slice(64, 96))
    with torch.no_grad():
        said = model(X)[:, 0]
    wanted = r2_score(NUMBER[64:], said[64:])
    assert {s.part: s.value for s in chart.scores}["valid"] == pytest.approx(wanted, abs=1e-5)


def test_training_rows_that_are_looked_at_are_not_held_out():
    chart = with_validation(network(3), F.cross_entropy, CLASSES, slice(0, 96))
    held = chart.bench.held
    assert held.count == 32 and torch.equal(held.args[0], X[64:])


def test_the_threshold_is_that_of_the_loss():
    assert bench(1, fused_yes, YES).threshold == 0.0
    assert bench(1, lambda o, y: F.binary_cross_entropy(o[:, 0], y), YES, nn.Sigmoid()).threshold == 0.5


def test_rows_are_put_together_where_that_is_possible():
    together = trained(network(3), F.cross_entropy, CLASSES).bench
    assert together.together and together.rows == 96 and together.batch_rows == ROWS
    ragged = nn.GRU(1, 4, batch_first=True)
    optimizer = torch.optim.SGD(ragged.parameters(), 0.01)
    with glia.listen() as chart:
        for long in (5, 7, 9):
            optimizer.zero_grad()
            x = torch.randn(8, long, 1, generator=GENERATOR)
            F.mse_loss(ragged(x)[0], x.expand(-1, -1, 4) * 1.0).backward()
            optimizer.step()
    assert not chart.bench.together and len(chart.bench.capture.batches) == 3


def test_a_constant_is_no_row():
    weights = torch.tensor([1.0, 2.0, 0.5])
    made = bench(3, lambda o, y: F.cross_entropy(o, y, weight=weights), CLASSES)
    assert ("same",) in made.capture.slots and made.together and made.rows == 96


def test_the_chart_says_what_the_bench_knows():
    loss = trained(network(3), lambda o, y: -F.cross_entropy(o.softmax(1), y, reduction="sum"), CLASSES).losses[0]
    assert (loss.kind, loss.applied, loss.sign, loss.summed) == ("cross_entropy", "softmax", -1, True)
