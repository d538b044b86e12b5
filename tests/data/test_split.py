"""Splits: disjoint, complete, fair to classes, whole groups, the same for the same seed and nothing else."""

import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glia.data.split import Split, folds, split_by_time, split_rows
from glia.data.tables.duplicates import equal_rows, is_coarse, merged
from glia.errors import GliaError

labels = st.lists(st.integers(0, 4), min_size=5, max_size=200)
shares = st.sampled_from([0.0, 0.1, 0.2, 0.35])


def whole(split: Split, rows: int) -> bool:
    return sorted(np.concatenate(split).tolist()) == list(range(rows))


@given(labels, shares, shares, st.integers(0, 9))
@settings(max_examples=150, deadline=None)
def test_stratified(classes: list[int], valid: float, test: float, seed: int) -> None:
    y = np.array(classes)
    split = split_rows(len(y), seed, valid, test, y)
    assert whole(split, len(y))
    assert set(y[split.train]) == set(classes)  # no class is left out of train
    again = split_rows(len(y), seed, valid, test, y)
    assert all(np.array_equal(a, b) for a, b in zip(split, again))
    for c in set(classes):
        expected = test * (y == c).sum()
        assert abs((y[split.test] == c).sum() - expected) <= 1.5


@given(labels, st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_groups_stay_whole(members: list[int], seed: int) -> None:
    groups = np.array(members)
    y = groups % 2
    split = split_rows(len(groups), seed, 0.2, 0.3, y, groups)
    assert whole(split, len(groups))
    held = [set(groups[part]) for part in split]
    assert not (held[0] & held[1] or held[0] & held[2] or held[1] & held[2])
    assert set(y[split.train]) == set(y)
    if len(set(members)) > 3 and len(set(y)) == 1:
        assert len(split.test)


def test_sizes_and_seeds() -> None:
    y = np.repeat([0, 1, 2], [500, 300, 200])
    split = split_rows(1000, 0, 0.1, 0.2, y)
    assert [len(part) for part in split] == [720, 80, 200]
    for part in split:
        assert np.allclose(np.bincount(y[part]) / len(part), [0.5, 0.3, 0.2], atol=0.01)
    other = split_rows(1000, 1, 0.1, 0.2, y)
    common = len(np.intersect1d(split.test, other.test))
    assert 20 <= common <= 60  # 40 of 200 by chance


def test_every_row_is_tested_equally_often() -> None:
    counts = np.zeros(100)
    for seed in range(600):
        counts[split_rows(100, seed, 0.1, 0.2, np.arange(100) % 3).test] += 1
    assert np.allclose(counts, 120, atol=5 * np.sqrt(600 * 0.2 * 0.8))


def test_large_groups_do_not_swallow_the_train_part() -> None:
    groups = np.repeat([0, 1, 2], [168, 124, 52])
    split = split_rows(344, 3, 0.1, 0.2, None, groups)
    assert [len(part) for part in split] == [168, 124, 52]


@given(st.lists(st.integers(0, 30), min_size=6, max_size=100))
@settings(max_examples=100, deadline=None)
def test_time_runs_forward(stamps: list[int]) -> None:
    times = np.array(stamps)
    if len(set(stamps)) < 3:
        return
    try:
        split = split_by_time(times, 0.2, 0.3)
    except GliaError as fault:
        assert "too few different times" in str(fault)
        return
    assert whole(split, len(times))
    assert times[split.train].max() < times[split.valid].min()
    assert times[split.valid].max() < times[split.test].min()


def test_time_shares() -> None:
    times = np.random.Generator(np.random.PCG64(0)).permutation(1000)
    split = split_by_time(times, 0.1, 0.2)
    assert [len(part) for part in split] == [720, 80, 200]
    with pytest.raises(GliaError, match="too few different times"):
        split_by_time(np.zeros(10, dtype=np.int64), 0.1, 0.2)


@given(labels, st.integers(2, 5), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_folds_of_classes(classes: list[int], k: int, seed: int) -> None:
    y = torch.tensor(classes)
    fold = folds(y, k, seed)
    sizes = fold.bincount(minlength=k)
    assert len(fold) == len(y)
    assert sizes.max() - sizes.min() <= 1
    for c in set(classes):
        each = fold[y == c].bincount(minlength=k)
        assert each.max() - each.min() <= 1
    assert torch.equal(fold, folds(y, k, seed))


def test_folds_of_numbers_each_span_the_range() -> None:
    y = torch.randn(503, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fold = folds(y, 5, 0)
    sizes = fold.bincount()
    assert sizes.max() - sizes.min() <= 1
    means = [float(y[fold == f, 0].mean()) for f in range(5)]
    assert max(means) - min(means) < 0.05  # by chance about 0.2
    assert not torch.equal(fold, folds(y, 5, 1))


@given(st.lists(st.integers(0, 11), min_size=30, max_size=120), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_folds_of_groups(members: list[int], seed: int) -> None:
    groups = torch.tensor(members)
    if len(set(members)) < 3:
        return
    y = (groups % 3 == 0).long()
    fold = folds(y, 3, seed, groups)
    assert set(fold.tolist()) <= {0, 1, 2}
    for group in set(members):
        assert len(set(fold[groups == group].tolist())) == 1
    assert torch.equal(fold, folds(y, 3, seed, groups))


def test_group_folds_are_about_even() -> None:
    groups = torch.arange(1000) // 4
    y = (torch.arange(1000) % 10 == 0).long()
    fold = folds(y, 5, 0, groups)
    assert fold.bincount().tolist() == [200] * 5
    assert fold[y == 1].bincount().tolist() == [20] * 5


@pytest.mark.parametrize("k", [1, 0, 11])
def test_folds_that_cannot_be(k: int) -> None:
    with pytest.raises(GliaError, match="number of folds"):
        folds(torch.arange(10), k, 0)
    with pytest.raises(GliaError, match="too few groups"):
        folds(torch.arange(10), 3, 0, torch.arange(10) % 2)


def test_equal_rows() -> None:
    frame = pl.DataFrame({"a": ["x", "y", "x", None, None, "z"], "b": [1.0, 2.0, 1.0, None, None, 1.0]})
    found = equal_rows(frame)
    assert found is not None
    assert found.tolist() == [0, 1, 0, 3, 3, 5]
    assert equal_rows(frame.unique()) is None
    assert is_coarse(np.arange(1000) % 16)
    assert not is_coarse(np.arange(1000) % 500)


def test_merged_groups_link_chains() -> None:
    groups = np.array([0, 0, 1, 1, 2, 2, 3])
    equal = np.array([0, 1, 1, 3, 3, 5, 6])
    assert merged(groups, equal).tolist() == [0] * 6 + [6]


def test_split_does_not_hang_on_hash_seeds() -> None:
    program = """
import numpy as np, polars as pl
from glia.data.tables.duplicates import equal_rows
from glia.data.split import split_rows
frame = pl.DataFrame({"a": [f"w{i * i % 40}" for i in range(120)]})
found = split_rows(120, 7, .1, .2, np.arange(120) % 2, equal_rows(frame)).test.tolist()
"""
    here: dict[str, list[int]] = {}
    exec(program, here)
    environment = {"PYTHONHASHSEED": "17", "POLARS_MAX_THREADS": "1", "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", program + "print(found)"]
    there = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert there.strip() == str(here["found"])
