"""Numbers of tensors against numpy; what a loss's graph says against the loss itself."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import Tensor, nn
from torch.nn import functional as F

from glia.vitals import measure
from glia.vitals.measure import first_tensor, norm, read_loss, sample, spread

rng = np.random.default_rng(0)
X = rng.normal(3, 2, (40, 6)).astype(np.float32)


def test_a_spread_is_what_numpy_says():
    x = X.copy()
    x[:, 2] = 0
    x[5, :] = 0
    found = spread(torch.tensor(x), columns=True)
    np.testing.assert_allclose(
        [found.mean, found.std, found.low, found.high], [x.mean(), x.std(), x.min(), x.max()], 1e-5
    )
    assert found.zeros == pytest.approx((x == 0).mean())
    assert (found.dead, found.rows, found.nonfinite) == (pytest.approx(1 / 6), 40, 0.0)
    widths = np.delete(x.std(0, ddof=1), 2)
    np.testing.assert_allclose([found.narrowest, found.widest], [widths.min(), widths.max()], 1e-5)


def test_what_is_not_finite_is_counted_and_left_out():
    x = X.copy()
    x[0, 0], x[1, 1] = np.nan, np.inf
    found = spread(torch.tensor(x))
    kept = x[np.isfinite(x)]
    assert found.nonfinite == pytest.approx(2 / 240)
    np.testing.assert_allclose([found.mean, found.std, found.high], [kept.mean(), kept.std(), kept.max()], 1e-5)
    assert spread(torch.full((3, 2), torch.nan)).nonfinite == 1.0


def test_dead_channels_of_pictures_and_sequences():
    pictures = torch.ones(4, 5, 3, 3)
    pictures[:, 1] = 0
    pictures[:, 2, 0] = 0
    assert spread(pictures).dead == pytest.approx(1 / 5)
    sequences = torch.ones(4, 7, 5)
    sequences[:, :, 1] = 0
    assert spread(sequences).dead == 0.0  # whether the 7 or the 5 are the units cannot be told
    sequences[:] = 0
    assert spread(sequences).dead == 1.0


@pytest.mark.parametrize(
    "odd",
    [
        torch.tensor(2.0),
        torch.zeros(0, 3),
        torch.tensor([True, False]),
        torch.arange(5),
        torch.zeros(2, dtype=torch.complex64),
    ],
)
def test_odd_tensors_are_no_trouble(odd):
    assert spread(odd, columns=True).nonfinite == 0.0


def test_measuring_neither_draws_nor_changes():
    x = torch.tensor(X)
    before, state = x.clone(), torch.get_rng_state()
    spread(x, columns=True)
    assert torch.equal(x, before) and x._version == 0 and torch.equal(torch.get_rng_state(), state)


def test_only_the_first_rows_of_a_large_tensor_are_read():
    assert sample(torch.zeros(1000, 10), most=100).shape == (10, 10)
    assert sample(torch.zeros(3, 1000), most=100).shape == (1, 1000)
    assert spread(torch.zeros(measure.SAMPLE, 2)).rows == measure.SAMPLE // 2


def test_a_norm_is_over_all_tensors_together():
    parts = [
        torch.tensor(X),
        torch.tensor(X[0]),
        torch.sparse_coo_tensor([[1, 1]], [3.0, 1.0], (4,), check_invariants=True),
    ]
    assert norm(parts) == pytest.approx(math.sqrt((X**2).sum() + (X[0] ** 2).sum() + 16), rel=1e-5)
    assert math.isnan(norm([]))


def test_the_first_tensor_is_found_wherever_it_is():
    class Output:
        def __init__(self) -> None:
            self.loss, self.logits = None, torch.ones(2)

    one = torch.ones(2)
    for given in (one, (one, 3), [None, one], {"a": 1, "b": one}, Output()):
        found = first_tensor(given)
        assert found is not None and torch.equal(found, one)
    assert first_tensor(3) is None and first_tensor(()) is None


# Losses.

MODEL = nn.Linear(6, 3)
with torch.no_grad():
    MODEL.weight.copy_(torch.tensor(X[:3]))
INPUTS = torch.tensor(X)
LABELS = torch.tensor(rng.choice(3, 40, p=[0.6, 0.3, 0.1]))
VALUES = torch.tensor(rng.normal(1, 2, (40, 3)), dtype=torch.float32)


@pytest.mark.parametrize(
    ("loss", "kind", "before"),
    [
        (lambda out: F.cross_entropy(out, LABELS), "cross_entropy", ("LogSoftmax",)),
        (lambda out: F.cross_entropy(out.softmax(1), LABELS), "cross_entropy", ("LogSoftmax", "Softmax")),
        (lambda out: F.nll_loss(out.log_softmax(1), LABELS), "cross_entropy", ("LogSoftmax",)),
        (lambda out: F.cross_entropy(out, LABELS, label_smoothing=0.1), "cross_entropy", ("LogSoftmax",)),
        (lambda out: F.cross_entropy(out, VALUES.softmax(1)), "cross_entropy", ("LogSoftmax",)),
        (lambda out: F.nll_loss(out, LABELS), "nll", ()),
        (lambda out: F.binary_cross_entropy(out.sigmoid(), VALUES.sigmoid()), "bce", ("Sigmoid",)),
        (lambda out: F.binary_cross_entropy_with_logits(out, VALUES.sigmoid()), "bce_logits", ()),
        (lambda out: F.mse_loss(out, VALUES), "mse", ()),
        (lambda out: F.huber_loss(out.tanh(), VALUES), "huber", ("Tanh",)),
        (lambda out: F.smooth_l1_loss(out, VALUES), "smooth_l1", ()),
        (lambda out: F.l1_loss(out, VALUES), "l1", ()),
        (lambda out: out.square().mean(), "unknown", ()),
    ],
)
def test_a_loss_is_known_by_its_graph(loss, kind, before):
    facts = read_loss(loss(MODEL(INPUTS)), step=0)[0].done()
    assert (facts.kind, facts.before) == (kind, before)


@pytest.mark.parametrize("change", [lambda loss: loss * 7, lambda loss: loss / 4 + MODEL.weight.abs().sum()])
@pytest.mark.parametrize(
    ("function", "targets"),
    [
        (F.cross_entropy, LABELS),
        (F.mse_loss, VALUES),
        (F.binary_cross_entropy_with_logits, VALUES.sigmoid()),
        (F.huber_loss, VALUES),
    ],
)
def test_the_loss_function_s_own_mean_is_found_under_whatever_was_done_to_it(function, targets, change):
    loss = function(MODEL(INPUTS), targets)
    facts = read_loss(change(loss), step=0)[0].done()
    assert facts.value == pytest.approx(loss.item(), rel=1e-5)
    assert facts.total == pytest.approx(change(loss).item(), rel=1e-5)
    summed = read_loss(function(MODEL(INPUTS), targets, reduction="sum"), step=0)[0].done()
    assert summed.value == pytest.approx(loss.item(), rel=1e-5)


def test_labels_that_are_to_be_ignored_are():
    labels = LABELS.clone()
    labels[:20] = -100
    facts = read_loss(2 * F.cross_entropy(MODEL(INPUTS), labels), step=0)[0].done()
    assert facts.value == pytest.approx(F.cross_entropy(MODEL(INPUTS)[20:], LABELS[20:]).item(), rel=1e-5)
    pictures = MODEL(INPUTS)[:, :, None, None].expand(-1, -1, 2, 2)
    maps = LABELS[:, None, None].expand(-1, 2, 2).clone()
    maps[:20] = 255
    facts = read_loss(2 * F.cross_entropy(pictures, maps, ignore_index=255), step=0)[0].done()
    assert facts.value == pytest.approx(F.cross_entropy(MODEL(INPUTS)[20:], LABELS[20:]).item(), rel=1e-5)


def chance(loss: Tensor) -> float:
    reading, targets = read_loss(loss, step=0)
    reading.see(targets)
    return reading.done().chance


def test_chance_is_the_loss_of_the_best_constant_answer():
    out = MODEL(INPUTS)
    shares = np.bincount(LABELS, minlength=3) / 40
    wanted = log_loss(LABELS, np.tile(shares, (40, 1)))
    assert chance(F.cross_entropy(out, LABELS)) == pytest.approx(wanted, rel=1e-5)
    wanted = F.mse_loss(VALUES.mean(0).expand_as(VALUES), VALUES).item()
    assert chance(F.mse_loss(out, VALUES)) == pytest.approx(wanted, rel=1e-5)
    assert chance(F.mse_loss(VALUES, out)) == pytest.approx(wanted, rel=1e-5)  # the other way round
    yes = (VALUES > 1).float()
    wanted = F.binary_cross_entropy(yes.mean(0).expand_as(yes), yes).item()
    assert chance(F.binary_cross_entropy_with_logits(out, yes)) == pytest.approx(wanted, rel=1e-5)


def test_chance_is_even_odds_while_few_labels_were_seen_and_unknown_without_targets():
    assert chance(F.cross_entropy(MODEL(INPUTS[:5]), LABELS[:5])) == pytest.approx(math.log(3))
    assert math.isnan(chance(F.mse_loss(MODEL(INPUTS), MODEL(INPUTS))))
    assert math.isnan(chance(F.l1_loss(MODEL(INPUTS), VALUES)))


def test_a_loss_without_a_graph_is_unknown():
    assert read_loss(torch.tensor(2.0), step=0)[0].done().kind == "unknown"
