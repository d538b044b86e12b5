"""measure: equal to scikit-learn; poor rows give NaN or leave a key out, never an exception or a warning."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn import metrics

from glia.data.task import Task
from glia.predict.measure import calibration, ece, measure, own_units


def chances(rows: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random probabilities that know a little of random targets."""
    random = np.random.default_rng(seed)
    want = random.integers(0, classes, rows)
    logits = random.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[want]
    grown = np.exp(logits)
    return grown / grown.sum(1, keepdims=True), want


def classify(*classes: str) -> Task:
    return Task("classify", ("y",), classes)


def test_binary_classes_are_scored_like_scikit_learn() -> None:
    out, want = chances(300, 2)
    got = measure(classify("no", "yes"), torch.tensor(out), torch.tensor(want))
    guess = out.argmax(1)
    assert got["accuracy"] == pytest.approx(metrics.accuracy_score(want, guess))
    assert got["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(want, guess))
    assert got["f1"] == pytest.approx(metrics.f1_score(want, guess))
    assert got["log_loss"] == pytest.approx(metrics.log_loss(want, out))
    assert got["roc_auc"] == pytest.approx(metrics.roc_auc_score(want, out[:, 1]))
    assert got["pr_auc"] == pytest.approx(metrics.average_precision_score(want, out[:, 1]))
    assert set(got) == {"accuracy", "balanced_accuracy", "f1", "log_loss", "roc_auc", "pr_auc", "ece"}


def test_many_classes_are_scored_like_scikit_learn() -> None:
    out, want = chances(500, 5)
    got = measure(classify(*"abcde"), out, want)
    guess = out.argmax(1)
    assert got["f1"] == pytest.approx(metrics.f1_score(want, guess, average="macro"))
    assert got["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(want, guess))
    assert got["log_loss"] == pytest.approx(metrics.log_loss(want, out))
    assert got["roc_auc"] == pytest.approx(metrics.roc_auc_score(want, out, multi_class="ovr"))
    assert got["pr_auc"] == pytest.approx(metrics.average_precision_score(np.eye(5)[want], out, average="macro"))


def test_a_class_that_the_rows_lack_is_passed_over() -> None:
    out, want = chances(200, 3)
    some = want < 2
    got = measure(classify(*"abc"), out[some], want[some])
    each = [metrics.roc_auc_score(want[some] == c, out[some, c]) for c in (0, 1)]
    assert got["roc_auc"] == pytest.approx(np.mean(each))
    assert got["log_loss"] == pytest.approx(metrics.log_loss(want[some], out[some], labels=[0, 1, 2]))


@pytest.mark.parametrize("classes", [2, 3])
def test_one_class_alone_has_no_area_under_a_curve(classes: int) -> None:
    out, _ = chances(20, classes)
    got = measure(classify(*"abc"[:classes]), out, np.zeros(20, dtype=int))
    assert "roc_auc" not in got
    assert "pr_auc" not in got
    assert all(math.isfinite(value) for value in got.values())


def test_certain_and_wrong_is_a_large_loss_and_not_an_infinite_one() -> None:
    got = measure(classify("a", "b"), np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1, 1]))
    assert 10 < got["log_loss"] < 100


def test_calibration_error_by_hand() -> None:
    # four rows at 0.9 of which three are right, one row at 0.6 that is wrong: 4/5 * 0.15 + 1/5 * 0.6
    bins = calibration(np.array([0.9, 0.9, 0.9, 0.9, 0.6]), np.array([1, 1, 1, 0, 0], dtype=bool))
    assert ece(bins) == pytest.approx(0.24)
    assert len(bins) == 15
    assert sum(b["count"] for b in bins) == 5


def test_probabilities_at_0_and_1_fall_into_the_outer_bins() -> None:
    bins = calibration(np.array([0.0, 1.0]), np.array([False, True]))
    assert (bins[0]["count"], bins[-1]["count"]) == (1, 1)


def test_labels_are_scored_like_scikit_learn() -> None:
    random = np.random.default_rng(1)
    want = (random.random((200, 3)) < 0.4).astype(float)
    out = np.clip(0.3 + 0.3 * want + 0.2 * random.normal(size=want.shape), 0.01, 0.99)
    got = measure(Task("multilabel", ("a", "b", "c")), torch.tensor(out, dtype=torch.float32), torch.tensor(want))
    guess = (out >= 0.5).astype(int)
    assert got["accuracy"] == pytest.approx((guess == want).mean())
    assert got["exact_match"] == pytest.approx(metrics.accuracy_score(want, guess))
    assert got["f1_macro"] == pytest.approx(metrics.f1_score(want, guess, average="macro"))
    assert got["f1_micro"] == pytest.approx(metrics.f1_score(want, guess, average="micro"))
    each = [metrics.log_loss(want[:, i], out[:, i]) for i in range(3)]
    assert got["log_loss"] == pytest.approx(np.mean(each), rel=1e-5)


def test_values_are_scored_like_scikit_learn_in_own_units() -> None:
    random = np.random.default_rng(2)
    task = Task("regress", ("price", "age"), center=(200.0, 40.0), scale=(50.0, 10.0))
    standard = torch.tensor(random.normal(size=(100, 2)), dtype=torch.float32)
    want = own_units(task, standard)
    torch.testing.assert_close(want, standard * torch.tensor([50.0, 10.0]) + torch.tensor([200.0, 40.0]))
    out = want + torch.tensor(random.normal(size=(100, 2)))
    got = measure(task, out, want)
    assert got["rmse"] == pytest.approx(
        np.mean([metrics.root_mean_squared_error(want[:, i], out[:, i]) for i in range(2)])
    )
    assert got["mae"] == pytest.approx(metrics.mean_absolute_error(want, out))
    assert got["r2"] == pytest.approx(metrics.r2_score(want, out))
    assert got["rmse_age"] == pytest.approx(metrics.root_mean_squared_error(want[:, 1], out[:, 1]))
    assert set(got) == {f"{m}{of}" for m in ("rmse", "mae", "r2") for of in ("", "_price", "_age")}


def test_one_target_has_no_measures_of_its_own_and_a_constant_no_r2() -> None:
    got = measure(Task("regress", ("y",), center=(0.0,), scale=(1.0,)), np.zeros((5, 1)), np.ones(5))
    assert got == {"rmse": 1.0, "mae": 1.0}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize(
    "task",
    [classify("a", "b", "c"), Task("multilabel", ("a", "b", "c")), Task("regress", ("a", "b", "c"))],
    ids=lambda task: task.kind,
)
def test_outputs_that_are_not_finite_give_nan(task: Task, bad: float) -> None:
    out = np.full((4, 3), bad)
    want = np.array([0, 1, 2, 0]) if task.kind == "classify" else np.ones((4, 3))
    for rows in (4, 0):
        got = measure(task, out[:rows], want[:rows])
        assert got
        assert all(math.isnan(value) for value in got.values())


def test_bfloat16_outputs_are_taken() -> None:
    got = measure(classify("a", "b"), torch.tensor([[0.75, 0.25]], dtype=torch.bfloat16), torch.tensor([0]))
    assert got["accuracy"] == 1
    assert got["log_loss"] == pytest.approx(-math.log(0.75))


def test_no_warning_for_guesses_of_absent_classes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = measure(classify(*"abc"), np.eye(3), np.array([0, 0, 0]))
    assert got["accuracy"] == pytest.approx(1 / 3)
