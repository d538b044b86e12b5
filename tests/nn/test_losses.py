"""Losses against torch, scikit-learn and the formulas of the papers; stable at the ends; a row is a row."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import Tensor
from torch.nn import functional as F

from glia.catalog.entry import entries, find
from glia.errors import GliaError
from glia.nn import losses

N, C, L = 12, 4, 3


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2


LABELS = torch.randint(C, (N,), generator=torch.Generator().manual_seed(1))
ANSWERS = (draw(N, L, seed=2) > 0).double()
SPELLED = torch.tensor([[1, 2, 2], [3, -1, -1], [1, 1, -1], [-1, -1, -1]]).repeat(3, 1)
WEIGHT = torch.tensor([0.5, 1.0, 2.0, 0.1])
CASES: dict[str, list[tuple[dict[str, Any], Tensor, Tensor]]] = {
    "cross_entropy": [
        ({}, draw(N, C), LABELS),
        ({"label_smoothing": 0.1}, draw(N, C), LABELS),
        ({"weight": WEIGHT}, draw(N, C), LABELS),
        ({"weight": WEIGHT.tolist(), "label_smoothing": 0.2}, draw(N, C), draw(N, C, seed=3).softmax(1)),
        ({}, draw(N, C, 2, 2), LABELS[:, None, None].expand(N, 2, 2)),
    ],
    "binary_cross_entropy": [
        ({}, draw(N, L), ANSWERS),
        ({"pos_weight": [1.0, 3.0, 0.2], "label_smoothing": 0.1}, draw(N, L), ANSWERS),
    ],
    "focal": [
        ({}, draw(N, C), LABELS),
        ({"weight": WEIGHT, "gamma": 0.5}, draw(N, C), LABELS),
        ({"alpha": 0.25}, draw(N, L), ANSWERS),
    ],
    "mse": [({}, draw(N, L), draw(N, L, seed=5)), ({}, draw(N), draw(N, seed=5))],
    "half_mse": [({}, draw(N, L), draw(N, L, seed=5))],
    "mae": [({}, draw(N, L), draw(N, L, seed=5))],
    "huber": [({"delta": 0.7}, draw(N, L), draw(N, L, seed=5))],
    "pinball": [({"quantiles": (0.1, 0.5, 0.9)}, draw(N, L, 3), draw(N, L, seed=5)), ({}, draw(N, 3), draw(N, seed=5))],
    "ctc": [
        ({}, draw(N, 7, C), SPELLED),
        ({"blank": 3}, draw(N, 7, C), torch.where(SPELLED > 0, SPELLED - 1, SPELLED)),
    ],
    "dice": [
        ({}, draw(N, C, 2, 3), LABELS[:, None, None].expand(N, 2, 3)),
        ({"smooth": 0.1}, draw(N, L, 5), (draw(N, L, 5, seed=7) > 0).double()),
    ],
}
EVERY = [(name, *case) for name, cases in CASES.items() for case in cases]


def test_every_loss_of_the_catalogue_is_here() -> None:
    assert set(CASES) == {entry.name for entry in entries("losses") if entry.facts["form"] == "rows"}


@pytest.mark.parametrize(("name", "options", "outputs", "targets"), EVERY)
def test_rows_make_the_mean_and_stand_alone(
    name: str, options: dict[str, Any], outputs: Tensor, targets: Tensor
) -> None:
    rows = losses.per_row(name, **options)(outputs, targets)
    assert rows.shape == (N,)
    torch.testing.assert_close(rows.mean(), losses.build(name, **options)(outputs, targets))
    alone = [losses.build(name, **options)(outputs[i : i + 1], targets[i : i + 1]) for i in range(N)]
    torch.testing.assert_close(rows, torch.stack(alone))


@pytest.mark.parametrize(("name", "options", "outputs", "targets"), EVERY)
def test_gradients_are_finite_differences(name: str, options: dict[str, Any], outputs: Tensor, targets: Tensor) -> None:
    loss = losses.build(name, **options)
    assert torch.autograd.gradcheck(lambda z: loss(z, targets), outputs.clone().requires_grad_(True))


def test_cross_entropy_is_scikit_learns_log_loss() -> None:
    logits = draw(N, C)
    shares = logits.softmax(1).numpy()
    expected = log_loss(LABELS.numpy(), shares, labels=range(C))
    assert losses.build("cross_entropy")(logits, LABELS).item() == pytest.approx(expected, rel=1e-9)


def test_one_hot_targets_of_any_kind_are_labels() -> None:
    logits, hot = draw(N, C), F.one_hot(LABELS, C)
    loss = losses.build("cross_entropy", label_smoothing=0.1, weight=WEIGHT)
    expected = loss(logits, LABELS)
    for targets in (hot, hot.bool(), hot.float(), hot.double()):
        torch.testing.assert_close(loss(logits, targets), expected)
    torch.testing.assert_close(loss(logits, LABELS.int()), expected)


def test_label_smoothing_is_the_mixture_of_the_paper() -> None:
    logits = draw(N, C)
    mixed = 0.9 * F.one_hot(LABELS, C) + 0.1 / C
    expected = -(mixed * logits.log_softmax(1)).sum(1)
    torch.testing.assert_close(losses.per_row("cross_entropy", label_smoothing=0.1)(logits, LABELS), expected)
    binary = losses.build("bce", label_smoothing=0.1)(draw(N, L), ANSWERS)
    smoothed = F.binary_cross_entropy(draw(N, L).sigmoid(), 0.9 * ANSWERS + 0.05)
    torch.testing.assert_close(binary, smoothed)


def test_class_weights_weigh_rows_whoever_is_beside_them() -> None:
    logits = draw(N, C)
    plain = losses.per_row("cross_entropy")(logits, LABELS)
    weighted = losses.per_row("cross_entropy", weight=WEIGHT)(logits, LABELS)
    torch.testing.assert_close(weighted, plain * WEIGHT.double()[LABELS])
    theirs = F.cross_entropy(logits, LABELS, WEIGHT.double())
    torch.testing.assert_close(weighted.sum() / WEIGHT.double()[LABELS].sum(), theirs)


def test_focal_is_the_formula_and_cross_entropy_at_gamma_0() -> None:
    logits = draw(N, C)
    p = logits.softmax(1)[torch.arange(N), LABELS]
    expected = -((1 - p) ** 2) * p.log()
    torch.testing.assert_close(losses.per_row("focal")(logits, LABELS), expected)
    torch.testing.assert_close(losses.build("focal", gamma=0)(logits, LABELS), F.cross_entropy(logits, LABELS))
    z = draw(N, L)
    p_t = torch.where(ANSWERS > 0, z.sigmoid(), 1 - z.sigmoid())
    alpha_t = torch.where(ANSWERS > 0, 0.25, 0.75)
    expected = (-alpha_t * (1 - p_t) ** 1.5 * p_t.log()).mean()
    torch.testing.assert_close(losses.build("focal", gamma=1.5, alpha=0.25)(z, ANSWERS), expected)


def test_values_of_the_regression_losses() -> None:
    """By hand: errors 3 and -1; the half square of an error of 5 is 12.5 and its gradient 5."""
    outputs, targets = torch.tensor([[4.0, 1.0]]), torch.tensor([[1.0, 2.0]])
    expected = {"mse": 5.0, "half_mse": 2.5, "mae": 2.0, "huber": (2.5 + 0.5) / 2}
    assert {name: losses.build(name)(outputs, targets).item() for name in expected} == expected
    output = torch.tensor([[100.0]], requires_grad=True)
    loss = losses.build("half_mse")(output, torch.tensor([[95.0]]))
    loss.backward()
    assert loss.item() == 12.5 and output.grad is not None and output.grad.item() == 5.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [1e4, -1e4, 60.0, -60.0, 0.0])
@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy", "focal"])
def test_stable_far_out(name: str, size: float, dtype: torch.dtype) -> None:
    """Against float64 with the definition in logarithms."""
    labels = torch.tensor([0, 1])
    for options in ({}, {"gamma": 0.5} if name == "focal" else {"label_smoothing": 0.1}):
        logits = torch.tensor([[size, 0.0], [size, 0.0]], dtype=dtype, requires_grad=True)
        targets = F.one_hot(labels, 2).float() if name == "binary_cross_entropy" else labels
        rows = losses.per_row(name, **options)(logits, targets)
        exact = losses.per_row(name, **options)(logits.detach().double(), targets)
        assert rows.dtype == torch.float32
        torch.testing.assert_close(rows.double(), exact, rtol=1e-5, atol=1e-6)
        rows.sum().backward()
        assert logits.grad is not None and logits.grad.isfinite().all()
    plain = losses.per_row("cross_entropy")(logits, labels).tolist()
    value = logits.detach()[0, 0].item()
    assert plain == pytest.approx([np.logaddexp(0, -value), np.logaddexp(0, value)], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("size", [1e4, -1e4])
@pytest.mark.parametrize(("name", "options", "outputs", "targets"), EVERY)
def test_outputs_however_far_out_give_a_finite_loss_and_gradient(
    name: str, options: dict[str, Any], outputs: Tensor, targets: Tensor, size: float
) -> None:
    """Every loss, with outputs of either sign of that size, in the first number or in all."""
    first = torch.zeros_like(outputs)
    first.flatten(1 if first.ndim > 1 else 0)[..., 0] = 1
    for far in (outputs * size, first * size, torch.full_like(outputs, size)):
        for dtype in (torch.float32, torch.float16):
            logits = far.clamp(-abs(size), abs(size)).to(dtype).requires_grad_()
            rows = losses.per_row(name, **options)(logits, targets)
            rows.mean().backward()
            assert rows.isfinite().all() and rows.dtype == torch.float32
            assert logits.grad is not None and logits.grad.isfinite().all()


@pytest.mark.parametrize("entry", [find("losses", name) for name in CASES], ids=lambda entry: entry.name)
def test_facts_say_what_the_loss_takes(entry: Any) -> None:
    made = {"label_smoothing": 0.1, "delta": 2.0, "gamma": 1.0, "alpha": 0.5, "weight": WEIGHT, "pos_weight": [1, 2, 3]}
    made |= {"blank": 2, "smooth": 0.5, "quantiles": (0.1, 0.5, 0.9)}
    for option in entry.facts["options"]:
        assert callable(losses.build(entry.name, **{option: made[option]}))
    for given, outputs, targets in CASES[entry.name]:
        kind = "int64" if targets.dtype == torch.int64 else "float32"
        assert kind in entry.facts["dtype"]
        assert losses.build(entry.name, **given)(outputs, targets).isfinite()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cross_entropi", {}, "unknown loss"),
        ("cross_entropy", {"smoothing": 0.1}, "unknown option of cross_entropy 'smoothing'.*'label_smoothing'"),
        ("cross_entropy", {"label_smoothing": 1.0}, "label_smoothing of cross_entropy; got 1.0"),
        ("cross_entropy", {"weight": [1.0, -1.0]}, "weight of cross_entropy"),
        ("cross_entropy", {"weight": [1.0, math.nan]}, "weight of cross_entropy"),
        ("huber", {"delta": 0.0}, "delta of huber"),
        ("pinball", {"quantiles": (0.5, 1.0)}, "quantiles of pinball"),
        ("mse", {"delta": 1.0}, "mse takes no options"),
    ],
)
def test_options_that_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(GliaError, match=message):
        losses.build(name, **options)
    with pytest.raises(GliaError, match=message):
        losses.per_row(name, **options)


@pytest.mark.parametrize(
    ("name", "outputs", "targets", "message"),
    [
        ("mse", draw(5, 1), draw(5), r"shape \(5, 1\); got \(5,\)"),
        ("binary_cross_entropy", draw(5), draw(5, 1), r"shape \(5,\); got \(5, 1\)"),
        ("cross_entropy", draw(5, 3), draw(5, 2), r"shape \(5, 3\); got \(5, 2\)"),
        ("cross_entropy", draw(5, 3), draw(5), "over classes; got torch.float64"),
        ("focal", draw(5, 3), F.one_hot(LABELS[:5], 4)[:, :3], "got shares of classes"),
    ],
)
def test_targets_that_do_not_fit(name: str, outputs: Tensor, targets: Tensor, message: str) -> None:
    for loss in (losses.build(name), losses.per_row(name)):
        with pytest.raises(GliaError, match=message):
            loss(outputs, targets)
    with pytest.raises(GliaError, match="focal loss of yes/no answers; got weight"):
        losses.build("focal", weight=[1.0])(draw(5, 1), draw(5, 1))
    with pytest.raises(GliaError, match="focal loss of classes; got alpha"):
        losses.build("focal", alpha=0.5)(draw(5, 3), LABELS[:5] % 3)


def test_losses_of_another_form_say_so() -> None:
    with pytest.raises(GliaError, match="gan_wasserstein is no loss of outputs and targets.*adversarial.build"):
        losses.build("wgan_gp")
    with pytest.raises(GliaError, match="triplet has no value a row"):
        losses.per_row("triplet")


def test_none_means_not_given() -> None:
    assert losses.build("cross_entropy", weight=None, label_smoothing=None).keywords == {}  # type: ignore[attr-defined]
    assert find("losses", "BCEWithLogitsLoss").name == "binary_cross_entropy"
