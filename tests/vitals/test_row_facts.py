"""What is measured of rows, labels and a split agrees with numpy and scikit-learn."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional

from glia.vitals import likeness
from glia.vitals.rows import label_facts, rows_facts, split_facts

FLOATS = st.floats(-1e4, 1e4, width=32) | st.sampled_from([0.0, -0.0, 1.0, float("nan"), float("inf")])


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return torch.tensor(x[order] / 16, dtype=torch.float32), torch.tensor(y[order])


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(2, 30), st.integers(1, 6)), elements=FLOATS))
def test_rows_are_measured_as_numpy_does(x: np.ndarray) -> None:
    facts = rows_facts("train", torch.from_numpy(x))
    good = x[np.isfinite(x)].astype(np.float64)
    assert facts.inputs.nonfinite == pytest.approx(1 - len(good) / x.size)
    if len(good):
        assert facts.inputs.mean == pytest.approx(good.mean(), rel=1e-4, abs=1e-3)
        assert facts.inputs.std == pytest.approx(good.std(), rel=1e-4, abs=1e-2)
        assert (facts.inputs.low, facts.inputs.high) == (good.min(), good.max())
    still = [len(np.unique(column[np.isfinite(column)])) < 2 for column in x.T]
    assert list(facts.constant) == list(np.flatnonzero(still))
    _, index, counts = np.unique(x + 0, axis=0, return_inverse=True, return_counts=True, equal_nan=False)
    if np.isfinite(x).all():
        assert facts.repeated == pytest.approx((counts[index.ravel()] > 1).mean())
    for one, other in facts.same:
        assert np.array_equal(np.nan_to_num(x[:, one]), np.nan_to_num(x[:, other]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=80), st.integers(7, 12))
def test_class_numbers_are_counted_and_their_order_is_seen(labels: list[int], outputs: int) -> None:
    y = np.array(labels)
    facts = label_facts("train", torch.tensor(labels), outputs)
    assert (facts.kind, facts.form, facts.classes) == ("classes", "index", outputs)
    assert facts.counts == tuple(np.bincount(y, minlength=outputs))
    assert facts.in_order == pytest.approx((y[1:] == y[:-1]).mean())
    pairs = [(a == b) for i, a in enumerate(labels) for j, b in enumerate(labels) if i != j]
    assert facts.by_chance == pytest.approx(np.mean(pairs))
    hot = label_facts("train", functional.one_hot(torch.tensor(labels), outputs).float(), outputs)
    assert (hot.kind, hot.form, hot.counts, hot.in_order) == ("classes", "onehot", facts.counts, facts.in_order)


@pytest.mark.parametrize(
    ("y", "outputs", "kind", "form"),
    [
        (torch.tensor([0.0, 1.0, 1.0]), 1, "binary", "column"),
        (torch.tensor([[0], [1], [1]]), 1, "binary", "column"),
        (torch.tensor([True, False]), 1, "binary", "column"),
        (torch.tensor([[0.0], [2.0], [1.0]]), 3, "classes", "index"),
        (torch.tensor([0, -100, 2]), 3, "classes", "index"),
        (torch.tensor([0, 3, 2]), 0, "classes", "index"),
        (torch.tensor([0.0, 1.0, 2.0]), 1, "numbers", "raw"),
        (torch.tensor([0.5, 1.5]), 1, "numbers", "raw"),
        (torch.tensor([[1.0, 1.0], [0.0, 1.0]]), 2, "multilabel", "raw"),
        (torch.tensor([[3, 1], [0, 2]]), 9, "tokens", "index"),
        (torch.zeros(2, 4, 4, dtype=torch.long), 3, "tokens", "index"),
        (draw(3, 1, 4, 4), 1, "numbers", "raw"),
        (torch.zeros(0), 1, "unknown", "raw"),
    ],
)
def test_the_kind_of_labels(y: torch.Tensor, outputs: int, kind: str, form: str) -> None:
    facts = label_facts("train", y, outputs)
    assert (facts.kind, facts.form) == (kind, form)


def test_rows_left_out_do_not_count_and_other_values_do() -> None:
    facts = label_facts("train", torch.tensor([0, -100, 2, -1, 7]), 3)
    assert (facts.values.low, facts.values.high) == (-1, 7)
    assert facts.counts[:3] == (1, 0, 1)
    several = label_facts("train", torch.tensor([1.0, 2.0, 2.0, 5.0]), 1)
    assert (several.classes, several.counts, several.whole) == (3, (1, 2, 1), True)


def test_the_order_given_and_the_order_of_the_data_set() -> None:
    ordered = torch.arange(4).repeat_interleave(50)
    mixed = ordered[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    facts = label_facts("train", mixed, 4, data_order=ordered)
    assert facts.in_order == pytest.approx(facts.by_chance, abs=0.12)
    assert facts.in_data_order == pytest.approx(196 / 199)
    assert label_facts("train", mixed, 4, given_order=ordered).in_order == pytest.approx(196 / 199)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool])
def test_any_number_format(dtype: torch.dtype) -> None:
    x = (draw(30, 5).abs() * 3).to(dtype)
    facts = rows_facts("train", x)
    assert (facts.rows, facts.columns, facts.dtype) == (30, 5, str(dtype).removeprefix("torch."))
    assert facts.inputs.mean == pytest.approx(x.double().mean().item(), rel=1e-3)
    assert split_facts(x, None, x, None).same


@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (1, 4), (3, 2, 5), (3, 0)])
def test_odd_shapes_are_taken(shape: tuple[int, ...]) -> None:
    x = torch.ones(shape)
    assert rows_facts("train", x).shape == shape
    if shape:
        split_facts(x, None, x, None)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 40), st.integers(0, 2**16))
def test_shared_rows_are_counted(share: int, seed: int) -> None:
    train, valid = draw(100, 6, seed=seed), draw(40, 6, seed=seed + 1)
    valid[:share] = train[:share]
    facts = split_facts(train, None, valid, None)
    assert (facts.shared, facts.shared_by_chance, facts.same) == (share / 40, 0.0, False)
    assert facts.near == 0


def test_equal_rows_of_few_values_are_chance() -> None:
    x = torch.randint(0, 3, (600, 3), generator=torch.Generator().manual_seed(0)).float()
    facts = split_facts(x[:500], None, x[500:], None)
    assert facts.shared == facts.shared_by_chance == 1.0


def pictures(rows: int, seed: int) -> torch.Tensor:
    coarse = draw(rows, 3, 6, 6, seed=seed)
    return functional.interpolate(coarse, size=24, mode="bilinear").clamp(-2, 2)


def test_pictures_that_are_nearly_the_same() -> None:
    train, valid = pictures(300, 0), pictures(100, 1)
    clean = split_facts(train, None, valid, None)
    assert (clean.near, clean.near_by_chance) == (0.0, 0.0)
    valid[:40] = 0.8 * train[:40] + 0.1 + 0.02 * draw(40, 3, 24, 24, seed=2)
    seen = split_facts(train, None, valid, None)
    assert (seen.near, seen.shared) == (pytest.approx(0.4), 0.0)


def test_texts_that_are_nearly_the_same() -> None:
    tokens = torch.randint(1, 500, (400, 60), generator=torch.Generator().manual_seed(0))
    tokens[:, 40:] = 0  # padding
    train, valid = tokens[:300].clone(), tokens[300:].clone()
    assert split_facts(train, None, valid, None).near == 0
    valid[:50] = train[:50]
    valid[:50, 39] = 7
    assert split_facts(train, None, valid, None).near == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("correction", [0, 1])
def test_scaling_before_the_split_is_seen(correction: int) -> None:
    x = draw(400, 5) * torch.arange(1, 6) + 3
    together = (x - x.mean(0)) / x.std(0, correction=correction)
    alone = (x - x[:300].mean(0)) / x[:300].std(0, correction=correction)
    assert split_facts(together[:300], None, together[300:], None).jointly_scaled
    assert not split_facts(alone[:300], None, alone[300:], None).jointly_scaled
    assert not split_facts(x[:300], None, x[300:], None).jointly_scaled


def test_scaling_between_0_and_1_before_the_split_is_seen() -> None:
    x = draw(60, 30)
    together = (x - x.amin(0)) / (x.amax(0) - x.amin(0))
    alone = (x - x[:40].amin(0)) / (x[:40].amax(0) - x[:40].amin(0))
    assert split_facts(together[:40], None, together[40:], None).jointly_scaled
    assert not split_facts(alone[:40], None, alone[40:], None).jointly_scaled


def test_neighbours_say_what_scikit_learn_says() -> None:
    x, y = digits()
    facts = split_facts(x[:800], y[:800], x[800:1200], y[800:1200])
    z = ((x - x[:800].mean(0)) / x[:800].std(0).clamp(min=1e-6)).clamp(-3, 3)
    judge = KNeighborsClassifier(5)
    commonest = np.bincount(y[800:1200]).max() / 400
    across = judge.fit(z[:800], y[:800]).score(z[800:1200], y[800:1200]) - commonest
    assert facts.neighbours_valid == pytest.approx(across, abs=0.03)
    folds = cross_val_score(judge, z[:800], y[:800], cv=20).mean() - np.bincount(y[:800]).max() / 800
    assert facts.neighbours_train == pytest.approx(folds, abs=0.03)
    assert facts.scale == pytest.approx(1, abs=0.05)


def test_neighbours_of_numbers_give_r2() -> None:
    x = draw(500, 2)
    y = x[:, :1] ** 2 + x[:, 1:]
    facts = split_facts(x[:400], y[:400], x[400:], y[400:])
    assert facts.neighbours_train > 0.8
    assert facts.neighbours_valid > 0.8
    off = split_facts(x[:400], y[:400].flip(0), x[400:], y[400:])
    assert off.neighbours_train < 0.1 < off.neighbours_within


def test_a_column_that_says_the_answer_in_training_rows() -> None:
    x, y = draw(400, 6), torch.arange(400) % 4
    x[:300, 2] = y[:300] + 0.01 * draw(300)
    facts = split_facts(x[:300], y[:300], x[300:], y[300:])
    assert (facts.telltale, round(facts.telltale_train, 3)) == (2, 1.0)
    assert facts.telltale_valid < 0.3
    x[:, 2] = y
    assert split_facts(x[:300], y[:300], x[300:], y[300:]).telltale_valid > 0.99


def test_a_narrow_range_held_out_does_not_hide_that_a_line_holds() -> None:
    x = draw(400, 2)
    x[300:, 0] *= 0.05
    y = 2 * x[:, :1] + 0.2 * draw(400, 1, seed=3)
    facts = split_facts(x[:300], y[:300], x[300:], y[300:])
    assert facts.telltale == 0
    assert np.corrcoef(x[300:, 0], y[300:, 0])[0, 1] < 0.6 < facts.telltale_valid


def test_windows_of_a_series() -> None:
    series = draw(600).cumsum(0)
    windows = series.unfold(0, 12, 1)
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))
    mixed = split_facts(windows[order[:450]], None, windows[order[450:]], None)
    assert mixed.between > 0.3
    later = split_facts(windows[:450], None, windows[450:], None)
    assert (later.between, later.ordered) == (0.0, False)
    assert split_facts(windows[150:], None, windows[:150], None).ordered


def test_a_clock_that_runs_backwards_over_the_split() -> None:
    x = torch.cat([torch.arange(200.0).unsqueeze(1), draw(200, 3)], 1)
    assert split_facts(x[50:], None, x[:50], None).ordered
    assert not split_facts(x[:150], None, x[150:], None).ordered
    shuffled = x[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    assert not split_facts(shuffled[:150], None, shuffled[150:], None).ordered


def test_nothing_is_drawn_from_the_global_generators() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    before, other = torch.get_rng_state(), np.random.get_state()[1].copy()
    x, y = draw(300, 400), torch.arange(300) % 3
    first = split_facts(x[:200], y[:200], x[200:], y[200:])
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(other, np.random.get_state()[1])
    assert first == split_facts(x[:200], y[:200], x[200:], y[200:])


def test_missing_numbers_do_not_break_the_measures() -> None:
    x, y = draw(300, 5), torch.arange(300) % 3
    x[::7, 1] = torch.nan
    x[3, 2] = torch.inf
    facts = split_facts(x[:200], y[:200], x[200:], y[200:])
    assert facts.scale == pytest.approx(1, abs=0.2)
    assert facts.neighbours_train == facts.neighbours_train


def test_many_rows_take_little_time() -> None:
    x, y = draw(6000, 800), torch.arange(6000) % 10
    start = time.process_time()
    rows_facts("train", x)
    label_facts("train", y, 10)
    split_facts(x[:5000], y[:5000], x[5000:], y[5000:])
    assert time.process_time() - start < 3


def test_keys_of_equal_rows_are_equal() -> None:
    rows = likeness.plain(torch.tensor([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0]]))
    one, two, three = likeness.keys(rows)
    assert one == two != three
