"""Axes, gaps and thinning of the figures."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glia.report.evaluation import confusion, evaluation_plots, heat
from glia.report.plot import Frame, Series, draw, thinned
from glia.report.svg import Axis, element, fitted
from glia.report.words import clip, count, digits, listed, percent, seconds, short, size


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e9))
def test_ticks_lie_on_the_axis_and_are_few(low: float, width: float) -> None:
    axis = Axis("x", low, low + max(width, abs(low) * 1e-6))
    ticks = axis.ticks(5)
    assert 1 <= len(ticks) <= 7
    assert all(-0.001 <= axis.at(tick) <= 1.001 for tick in ticks)


@given(st.floats(1e-12, 1e6), st.floats(1.2, 1e12))
def test_log_ticks_lie_on_the_axis(low: float, times: float) -> None:
    axis = Axis("x", low, low * times, log=True)
    assert all(-0.001 <= axis.at(tick) <= 1.001 for tick in axis.ticks(5))
    assert len(axis.ticks(5)) <= 9


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=30), st.booleans())
def test_a_fitted_axis_holds_every_finite_value(values: list[float], log: bool) -> None:
    axis = fitted("y", np.array(values, dtype=np.float64), log=log)
    kept = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
    assert axis.high > axis.low
    assert all(-1e-6 <= axis.at(value) <= 1 + 1e-6 for value in kept)


def test_a_value_that_is_not_finite_is_a_gap() -> None:
    y = np.array([1.0, 2.0, math.nan, 3.0, math.inf, 2.0])
    plot = draw("k", "t", [Series("loss", np.arange(6.0), y)], Frame(Axis("step", 0, 5), fitted("loss", y)))
    path = re.search(r'class="line s1" d="([^"]*)"', plot.svg)
    assert path is not None and path[1].count("M") == 3 and path[1].count("L") == 1
    assert len(plot.hover["lines"][0]["points"]) == 4
    assert "nan" not in plot.svg and "inf" not in plot.svg.replace("info", "")


def test_thinning_keeps_spikes_in_the_band() -> None:
    y = np.ones(100_000)
    y[51_234], y[7] = 900.0, math.nan
    x, middle, low, high = thinned(np.arange(100_000.0), y)
    assert len(x) == len(middle) == 400
    assert high.max() == 900 and low.min() == 1 and np.isfinite(middle).all()


def test_short_series_are_left_alone() -> None:
    x, y, _, _ = thinned(np.arange(5.0), np.arange(5.0))
    assert x.tolist() == y.tolist() == [0, 1, 2, 3, 4]


def test_elements_escape_what_they_are_given() -> None:
    made = element("text", "<script>", class_='"><b', stroke_width=1.0)
    assert made == '<text class="&#34;&gt;&lt;b" stroke-width="1">&lt;script&gt;</text>'


def test_confusion_is_by_truth_and_lists_the_largest_mistakes() -> None:
    found = confusion({"classes": ["a", "b", "c"], "confusion": [[8, 2, 0], [0, 10, 0], [5, 0, 5]]})
    assert found is not None
    assert [(m["true"], m["said"], m["count"]) for m in found["mistakes"]] == [("c", "a", 5), ("a", "b", 2)]
    assert found["rows"][2]["cells"][0]["tip"] == "true c, predicted a: 5 (50.0\u00a0%)"
    assert found["rows"][1]["cells"][1]["heat"] == 10


@pytest.mark.parametrize("curves", [{}, {"classes": ["a"]}, {"classes": ["a"], "confusion": [[1, 2]]}, {"classes": 3}])
def test_confusion_that_does_not_fit_is_left_out(curves: dict[str, object]) -> None:
    assert confusion(curves) is None


def test_calibration_that_cannot_be_drawn_is_left_out() -> None:
    empty = {"calibration": {"bins": [{"low": 0, "high": 1, "count": 0, "confidence": 0, "accuracy": 0}], "ece": 0}}
    assert evaluation_plots(empty, "test") == []


def test_heat_shows_few_beside_many() -> None:
    assert [heat(share) for share in (0, 0.001, 0.25, 1)] == [0, 1, 5, 10]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.042134, "0.04213"), (1234, "1,234"), (3.2e-7, "3.20e−7"), (0, "0"), (-2.5, "−2.500"), (math.inf, "not finite")],
)
def test_digits(value: float, text: str) -> None:
    assert digits(value) == text


def test_words() -> None:
    assert percent(0.9714) == "97.1\u00a0%" and percent(1) == "100\u00a0%" and percent(0) == "0\u00a0%"
    assert percent(0.99996) == ">99.9\u00a0%" and percent(0.0000001) == "<0.1\u00a0%"
    assert short(0.002) == "0.002" and short(1500.0) == "1,500"
    assert [count(1, "row"), count(2, "class"), count(3, "entry")] == ["1 row", "2 classes", "3 entries"]
    assert [seconds(0.421), seconds(75), seconds(7500)] == ["0.42 s", "1 min 15 s", "2 h 5 min"]
    assert size(412_000_000) == "412.0 MB"
    assert clip("a\n b" * 40, 10) == "a ba ba b…"
    assert listed(["a", "b", "c"]) == "a, b and c" and listed(list("abcdef")) == "a, b, c and 3 more"
