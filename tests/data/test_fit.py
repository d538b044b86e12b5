"""What is learnt from training rows: edges, scales, levels, dates; and the matrix that comes of it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glia.data.facts import TableFacts
from glia.data.tables.columns import plan_columns
from glia.data.tables.encode import Column
from glia.data.tables.fit import bins, fit_column, fit_facts, spike_edges
from glia.data.tables.read import open_table, read
from glia.data.tables.source import Piece, ReadOptions


def table(**columns: object) -> Piece:
    return read(open_table(columns, ReadOptions()))


def fitted(piece: Piece, **kinds: str) -> tuple[tuple[Column, ...], np.ndarray, TableFacts]:
    plans = plan_columns(piece, piece.frame.columns, kinds)
    columns = tuple(fit_column(plan, piece) for plan in plans if plan.used)
    matrix = np.concatenate([column.encode(piece) for column in columns], axis=1)
    return columns, matrix, fit_facts(columns, matrix)


def test_bins_by_rows() -> None:
    assert [bins(rows) for rows in (10, 160, 400, 640, 1999, 2000, 10**6)] == [4, 4, 10, 16, 16, 48, 48]


def test_spikes_get_an_edge_and_leave_the_rest_to_the_others() -> None:
    """92 % zeros, as adult's capital-gain: plain quantiles would give about 0.08 * 48 different edges."""
    rest = np.random.Generator(np.random.PCG64(0)).lognormal(8, 1, 800)
    values = np.concatenate([np.zeros(9200), rest])
    edges = np.array(spike_edges(values, 48))
    assert len(edges) == 49
    assert edges[0] == 0
    assert edges[-1] == rest.max()
    between = np.histogram(rest, edges[1:])[0]
    assert between.max() - between.min() <= 2  # 47 bins share the 800 other rows evenly
    plain = np.unique(np.quantile(values, np.linspace(0, 1, 49)))
    assert len(plain) < 6


def test_adult_capital_gain_has_33_edges(shared_data: Callable[[str], Path]) -> None:
    piece = read(open_table(shared_data("adult/adult-train.csv.gz"), ReadOptions()))
    assert len(spike_edges(piece.frame["10"].cast(float).to_numpy(), 48)) == 33


@given(st.lists(st.sampled_from([0.0, 1.0, -3.5, 7.25]) | st.floats(-1e6, 1e6), min_size=1, max_size=300))
@settings(max_examples=200, deadline=None)
def test_edges_ascend_between_the_ends(items: list[float]) -> None:
    values = np.array(items)
    edges = spike_edges(values, 16)
    if len(set(items)) == 1:
        assert edges == ()
        return
    assert len(edges) <= 17
    assert list(edges) == sorted(set(edges))
    assert (edges[0], edges[-1]) == (values.min(), values.max())
    names, counts = np.unique(values, return_counts=True)
    assert set(names[counts > len(values) / 16]) <= set(edges)
    if len(names) <= 17:
        assert edges == tuple(names)


def test_numeric_facts_follow_numpy() -> None:
    values = np.random.Generator(np.random.PCG64(1)).normal(3, 2, 3000).round(3)
    _, matrix, facts = fitted(table(x=values, gap=np.where(values > 5, np.nan, values), spike=(values > 6.5) * values))
    quarter, median, three = np.quantile(values.astype(np.float32), [0.25, 0.5, 0.75])
    assert facts.median[0] == pytest.approx(median)
    assert facts.scale[0] == pytest.approx(three - quarter, rel=1e-5)
    assert facts.scale[2] == pytest.approx(values.max() / 2, rel=1e-5)  # IQR 0: half the range
    assert facts.gaps == (False, True, False)
    assert facts.high[1] <= 5
    assert np.isnan(matrix[:, 1]).sum() == (values > 5).sum()
    assert facts.rows == 3000
    assert all(0 < scale < np.inf for scale in facts.scale)


def test_levels_by_frequency_with_rare_ones_together() -> None:
    words = ["a"] * 300 + ["b"] * 295 + ["c"] * 3 + ["d"] * 2 + [None] * 5
    columns, matrix, facts = fitted(table(x=words, y=[1.5, 2.5] * 302 + [3.5]))
    assert columns[0].levels == ("a", "b", "c")
    assert facts.levels == (4, 0)
    assert np.bincount(matrix[:, 0].astype(int)).tolist() == [7, 300, 295, 3]
    small, _, _ = fitted(table(x=["a", "a", "b", "c"], y=[1.5, 2.5, 3.5, 4.5]))
    assert small[0].levels == ("a", "b", "c")


def test_at_most_255_levels() -> None:
    words = [f"w{i % 400:03d}" for i in range(2000)] + ["w399"] * 5
    columns, matrix, _ = fitted(table(x=words))
    assert len(columns[0].levels) == 255
    assert columns[0].levels[0] == "w399"
    assert matrix.max() == 255


def test_numeric_levels_have_one_spelling() -> None:
    columns, _, _ = fitted(table(x=["1", "2.0", "1.0", "2"]), x="category")
    assert set(columns[0].levels) == {"1", "2"}
    assert columns[0].encode(table(x=[1.0, 2.0, 3.0])).tolist() == columns[0].encode(table(x=["1", "2", "3"])).tolist()
    assert columns[0].encode(table(x=[None, 9]))[:, 0].tolist() == [0, 0]


def test_dates_give_the_parts_that_vary() -> None:
    start = datetime(2023, 1, 2)
    moments = [start + timedelta(days=40 * i, hours=i) for i in range(30)]
    columns, matrix, facts = fitted(table(when=moments, day=[f"2024-01-{1 + i % 28:02d}" for i in range(30)]))
    assert facts.names[:6] == ("when.year", "when.month", "when.day", "when.weekday", "when.hour", "when.days")
    assert facts.names[6:] == ("day.day", "day.weekday", "day.days")
    expected = [[m.year, m.month, m.day, m.isoweekday(), m.hour, (m - start).total_seconds() / 86400] for m in moments]
    assert np.allclose(matrix[:, :6], expected)
    assert matrix[:3, 8].tolist() == [0, 1, 2]
    late = columns[0].encode(table(when=[start - timedelta(days=3), None]))
    assert late[0, -1] == -3
    assert np.isnan(late[1]).all()


def test_large_offsets_do_not_cost_resolution() -> None:
    seconds = 1.7e9 + np.arange(5000.0).repeat(2)
    columns, matrix, facts = fitted(table(t=seconds, plain=np.arange(10_000) * 1e-3))
    assert columns[0].offset == np.median(seconds)
    assert columns[1].offset == 0
    assert len(np.unique(matrix[:, 0])) == 5000
    assert len(np.unique(seconds.astype(np.float32))) < 100
    assert facts.low[0] == -2499.5
    assert np.array_equal(matrix[:, 0].astype(float) + columns[0].offset, seconds)


def test_infinities_and_giants_do_not_reach_the_network() -> None:
    _, matrix, facts = fitted(table(x=[1.0, np.inf, -np.inf, 1e300, 2.0]))
    assert np.isnan(matrix[1:3]).all()
    assert np.isfinite(matrix[3]).all()
    assert np.isfinite(facts.scale).all()
    assert np.isfinite(np.float32(facts.scale[0]))


def test_a_column_may_be_empty_in_the_training_rows() -> None:
    piece = table(x=[1.5, 2.5, None, None], y=[1.5, 2.5, 3.5, 4.5])
    column = fit_column(plan_columns(piece, ["x"], {})[0], piece.take(np.array([2, 3])))
    facts = fit_facts((column,), column.encode(piece.take(np.array([2, 3]))))
    assert (facts.median, facts.scale, facts.gaps, facts.edges) == ((0.0,), (1.0,), (True,), ((),))
