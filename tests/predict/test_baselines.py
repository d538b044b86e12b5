"""Baselines: equal to scikit-learn called by hand, whole on awkward data, within their time, and silent."""

import math
import time
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import Tensor

from glia.data.batches import Batches
from glia.data.facts import Facts, ImageFacts, TableFacts, TensorFacts
from glia.data.prepared import Prepared
from glia.data.task import Task
from glia.predict import baselines as room
from glia.predict.baselines import baselines


def table_facts(levels: tuple[int, ...]) -> TableFacts:
    n = len(levels)
    flat = (0.0,) * n
    names = tuple(f"c{i}" for i in range(n))
    return TableFacts(names, levels, flat, (1.0,) * n, flat, flat, (False,) * n, ((),) * n, 1)


def prepared(task: Task, facts: Facts, x: Tensor, y: Tensor, cuts: tuple[int, int] | None) -> Prepared:
    """The first rows train, then validation, then test; without cuts nine in ten train and there is no validation."""
    rows = torch.arange(len(x))

    def part(start: int, end: int) -> Batches:
        return Batches(x[start:end], y[start:end], rows[start:end])

    first, second = cuts or (len(x) * 9 // 10,) * 2
    valid = part(first, second) if cuts else None
    return Prepared(part(0, first), valid, part(second, len(x)), task, facts, reader=None)  # type: ignore[arg-type]


def mixed(rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two numbers, one with gaps, and a category of five codes; three classes that depend on all of them."""
    random = np.random.default_rng(seed)
    x = np.column_stack([random.normal(size=(rows, 2)) * [1, 50], random.integers(0, 5, rows)])
    score = x[:, 0] + x[:, 1] / 50 + (x[:, 2] == 3) * 2 + 0.3 * random.normal(size=rows)
    x[random.random(rows) < 0.1, 1] = math.nan
    return torch.tensor(x, dtype=torch.float32), torch.tensor(np.digitize(score, [-0.5, 1.0]))


def by_name(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in entries}


THREE = Task("classify", ("y",), ("a", "b", "c"))


def test_entries_are_those_of_scikit_learn_by_hand() -> None:
    x, y = mixed(600)
    got = by_name(baselines(prepared(THREE, table_facts((0, 0, 5)), x, y, (400, 500))))
    assert list(got) == ["majority class", "linear model", "gradient boosting"]

    share = np.bincount(y[:400]) / 400
    assert got["majority class"]["valid"]["log_loss"] == pytest.approx(log_loss(y[400:500], np.tile(share, (100, 1))))
    assert got["majority class"]["valid"]["accuracy"] == pytest.approx((y[400:500] == share.argmax()).float().mean())

    def wide(fit: np.ndarray, rows: np.ndarray) -> np.ndarray:
        def columns(of: np.ndarray) -> np.ndarray:
            numbers = np.where(np.isnan(of[:, :2]), np.nanmedian(fit[:, :2], 0), of[:, :2])
            return np.column_stack([numbers, of[:, 2:] == np.arange(5)])

        return (columns(rows) - columns(fit).mean(0)) / columns(fit).std(0)

    a = x.double().numpy()
    for fit, scored, part in ((slice(0, 400), slice(400, 500), "valid"), (slice(0, 500), slice(500, 600), "test")):
        linear = LogisticRegression(max_iter=300).fit(wide(a[fit], a[fit]), y[fit])
        assert got["linear model"][part]["log_loss"] == pytest.approx(
            log_loss(y[scored], linear.predict_proba(wide(a[fit], a[scored]))), rel=1e-3
        )
        trees = HistGradientBoostingClassifier(categorical_features=[2], random_state=0).fit(a[fit], y[fit])
        assert got["gradient boosting"][part]["log_loss"] == pytest.approx(
            log_loss(y[scored], trees.predict_proba(a[scored])), rel=1e-6
        )
    assert "training and validation rows" in got["linear model"]["note"]
    assert all(entry["seconds"] >= 0 for entry in got.values())


def test_values_are_in_own_units() -> None:
    x, _ = mixed(300)
    task = Task("regress", ("p", "q"), center=(100.0, -5.0), scale=(20.0, 0.5))
    y = x[:, 0] + 0.1 * torch.randn(300, generator=torch.Generator().manual_seed(0))
    y = torch.stack([y, -y], 1)
    got = by_name(baselines(prepared(task, table_facts((0, 0, 5)), x, y, (200, 250))))
    assert list(got) == ["mean", "linear model", "gradient boosting"]
    held, mean = y[200:250] * torch.tensor([20.0, 0.5]), y[:200].mean(0) * torch.tensor([20.0, 0.5])
    assert got["mean"]["valid"]["mae"] == pytest.approx(float((held - mean).abs().mean()), rel=1e-4)
    assert got["linear model"]["test"]["r2"] > 0.98
    assert got["linear model"]["test"]["rmse_p"] == pytest.approx(40 * got["linear model"]["test"]["rmse_q"], rel=0.01)
    assert got["gradient boosting"]["test"]["r2"] > 0.9


def test_labels_have_a_model_each_and_a_label_without_variety_is_taken() -> None:
    x, y = mixed(400)
    labels = torch.stack([(y == 2).float(), (x[:, 0] > 0).float(), torch.ones(400)], 1)
    got = by_name(baselines(prepared(Task("multilabel", tuple("abc")), table_facts((0, 0, 5)), x, labels, (300, 350))))
    assert not any("error" in entry for entry in got.values())
    assert got["gradient boosting"]["test"]["accuracy"] > 0.9 > got["majority class"]["test"]["accuracy"]


def test_without_validation_rows_valid_is_out_of_fold() -> None:
    x, y = mixed(200)
    shuffled = y[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    got = by_name(baselines(prepared(THREE, table_facts((0, 0, 5)), x, shuffled, None)))
    trees = got["gradient boosting"]["valid"]
    # labels without meaning: a fit knows its own rows by heart, and out of fold it can be no better than a guess
    assert trees["log_loss"] > got["majority class"]["valid"]["log_loss"]
    assert "out-of-fold" in got["linear model"]["note"]
    assert set(got["linear model"]["test"]) >= {"accuracy", "log_loss"}


def test_classes_that_a_fit_lacks_get_no_chance_and_do_no_harm() -> None:
    x, y = mixed(120)
    y = y.clone()
    y[:90] = y[:90].clamp(max=1)  # class c only among the test rows
    y[0] = 2  # but for one row, so that some folds lack it as well
    for cuts in ((80, 100), None):
        got = baselines(prepared(THREE, table_facts((0, 0, 5)), x, y, cuts))
        assert not any("error" in entry for entry in got)


def test_one_class_in_training_and_columns_without_a_value() -> None:
    x = torch.full((60, 3), math.nan)
    got = baselines(prepared(THREE, table_facts((0, 0, 5)), x, torch.zeros(60, dtype=torch.int64), (40, 50)))
    assert [entry["test"]["accuracy"] for entry in got] == [1, 1, 1]


def test_more_levels_than_boosting_has_bins() -> None:
    x, y = mixed(500)
    x[:, 2] = torch.arange(500) % 400
    got = baselines(prepared(THREE, table_facts((0, 0, 400)), x, y, (300, 400)))
    assert not any("error" in entry for entry in got)


def test_images_are_averaged_down_for_the_linear_model_alone() -> None:
    y = torch.arange(80) % 2
    images = torch.randint(0, 40, (80, 3, 50, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images[y == 1, 0, :25] += 200
    facts = ImageFacts(3, 50, 40, (0.5,) * 3, (0.2,) * 3, 60)
    got = by_name(baselines(prepared(Task("classify", ("y",), ("dark", "light")), facts, images, y, (60, 70))))
    assert list(got) == ["majority class", "linear model"]
    assert got["linear model"]["test"]["accuracy"] == 1
    assert "32 pixels" in got["linear model"]["note"]


def test_other_tensors_are_flattened() -> None:
    x = torch.randn(100, 2, 5, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0, 0] > 0).long()
    got = by_name(baselines(prepared(Task("classify", ("y",), ("n", "p")), TensorFacts((2, 5), 80), x, y, (80, 90))))
    assert got["linear model"]["test"]["accuracy"] >= 0.8


def test_few_rows_of_much_work_are_not_left_out() -> None:
    x = torch.randn(150, 9000, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    data = prepared(Task("classify", ("y",), ("n", "p")), TensorFacts((9000,), 130), x, y, (130, 140))
    assert "accuracy" in by_name(baselines(data))["linear model"]["test"]


def test_rows_are_drawn_to_fit_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_CELLS", 7 * 250)  # the linear model is seven columns wide
    x, y = mixed(600)
    got = by_name(baselines(prepared(THREE, table_facts((0, 0, 5)), x, y, (500, 550))))
    assert "250 of 500 training rows" in got["linear model"]["note"]
    assert got["linear model"]["valid"]["accuracy"] > 0.7
    assert "drawn" not in got["gradient boosting"]["note"]


def test_a_rival_that_would_take_too_long_is_left_out_in_time() -> None:
    x, _ = mixed(40_000)
    y = torch.arange(40_000) % 40
    task = Task("classify", ("y",), tuple(map(str, range(40))))
    began = time.perf_counter()
    got = by_name(baselines(prepared(task, table_facts((0, 0, 5)), x, y, (30_000, 35_000)), budget_s=0.5))
    assert time.perf_counter() - began < 15
    assert "left out" in got["gradient boosting"]["error"]
    assert "valid" in got["majority class"]


def test_failures_are_one_line_and_warnings_stay_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        warnings.warn("careful", stacklevel=1)
        raise ValueError("two\nlines")

    rival = room.rivals(THREE, table_facts((0,)))[1]
    monkeypatch.setattr(room, "rivals", lambda *_: [type(rival)("linear model", 1, broken)])
    x, y = mixed(50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = baselines(prepared(THREE, table_facts((0, 0, 5)), x, y, (30, 40)))
    assert got[0]["error"] == "ValueError: two lines"
    assert "valid" not in got[0]


def test_a_fit_that_has_not_settled_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    every = room.rivals(THREE, table_facts((0, 0, 5)))
    short = [type(every[1])("linear model", 2, every[1].fit, one_hot=True)]
    monkeypatch.setattr(room, "rivals", lambda *_: short)
    x, y = mixed(300)
    got = baselines(prepared(THREE, table_facts((0, 0, 5)), x, y, (200, 250)))
    assert "stopped after 2 iterations" in got[0]["note"]


def test_the_same_twice_and_no_random_state_is_touched() -> None:
    x, y = mixed(300)
    data = prepared(THREE, table_facts((0, 0, 5)), x, y, (200, 250))
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second = baselines(data), baselines(data)
    for a, b in zip(first, second, strict=True):
        assert (a["valid"], a["test"]) == (b["valid"], b["test"])
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
