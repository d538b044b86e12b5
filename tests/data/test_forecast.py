"""Series in time: clocks, gaps, cuts in which no future shows, and the one line that says what is wrong."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glia.data.forecast.clock import Clock, clock_of
from glia.data.forecast.prepare import prepare_forecast
from glia.data.forecast.reader import ForecastReader
from glia.data.forecast.windows import Windows
from glia.data.prepared import Prepared
from glia.errors import GliaError
from glia.recipe import Recipe

START = datetime(2024, 1, 1)


def table(count: int = 200, step: timedelta = timedelta(hours=1), **columns: Any) -> pl.DataFrame:
    times = [START + i * step for i in range(count)]
    return pl.DataFrame({"time": times, **(columns or {"y": np.arange(count, dtype=float)})})


def prepared(frame: Any, **asked: Any) -> Prepared:
    return prepare_forecast(Recipe.of(source=frame, **{"horizon": 5, **asked}).data, seed=0)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(130, 300), st.integers(1, 8), st.integers(1, 12), st.sampled_from([0.0, 0.1, 0.3]),
    st.sampled_from([0.1, 0.25]), st.integers(1, 3),
)  # fmt: skip
def test_no_window_tells_or_learns_of_another_part(
    count: int, horizon: int, window: int, valid: float, test: float, series: int
) -> None:
    """Each value is its own number, so a window shows where it lies."""
    names = np.repeat(np.arange(series), count)
    frame = pl.DataFrame(
        {"who": [f"s{n}" for n in names], "when": np.tile(np.arange(count), series), "y": np.arange(count * series)}
    )
    data = prepared(
        frame, horizon=horizon, window=window, series="who", time="when", target="y", valid_share=valid, test_share=test
    )
    at, scale = data.task.center[0], data.task.scale[0]
    seen: dict[str, set[int]] = {}
    for name in ("train", "valid", "test"):
        part = getattr(data, name)
        if part is None:
            continue
        batch = part.at(torch.arange(len(part)))
        told = (batch.targets * scale + at).round().long()[:, :, 0]
        past = batch.inputs.round().long()[:, :, 0]
        assert (told[:, :1] - past[:, -1:] == 1).all()  # the first told step follows the last shown one
        assert (past[:, 0] // count == told[:, -1] // count).all()  # within one series
        assert torch.equal(part.rows, told[:, 0])
        seen[name] = set((told % count).flatten().tolist())
    order = [seen[name] for name in ("train", "valid", "test") if name in seen]
    for earlier, later in zip(order, order[1:]):
        assert max(earlier) < min(later)
    train = np.array([i for i in range(count) if i <= max(seen["train"])])
    values = (train[None, :] + count * np.arange(series)[:, None]).flatten()
    assert data.task.center[0] == pytest.approx(values.mean(), rel=1e-6)  # of training steps alone
    assert data.task.scale[0] == pytest.approx(values.std(), rel=1e-6)


@pytest.mark.parametrize(
    ("times", "words", "period"),
    [
        ([START + timedelta(hours=i) for i in (0, 1, 2, 5)], "1 hour", 24),
        ([START + timedelta(minutes=15 * i) for i in range(4)], "15 minutes", 96),
        ([START + timedelta(days=i) for i in (0, 1, 2, 9)], "1 day", 7),
        ([datetime(2023 + m // 12, m % 12 + 1, 28) for m in range(14)], "1 month", 12),
        ([datetime(2020 + q // 4, q % 4 * 3 + 3, 30) for q in range(8)], "1 quarter", 4),
        ([datetime(y, 12, 31) for y in range(2000, 2009)], "1 year", 0),
        ([START + timedelta(hours=h) for h in (0, 1, 2, 3.4)], "1 row", 0),
    ],
)  # fmt: skip
def test_the_step_and_its_season_are_found(times: list[datetime], words: str, period: int) -> None:
    micros = pl.Series(times, dtype=pl.Datetime("us")).dt.epoch("us").to_numpy()
    clock = clock_of([micros], dates=True)
    assert (clock.words, clock.period) == (words, period)
    if clock.kind != "order":
        again = clock.times(clock.places(micros))
        shown = "%Y-%m" if clock.kind == "month" else "%Y-%m-%d %H:%M"
        assert again.cast(pl.Datetime("us")).dt.strftime(shown).to_list() == [time.strftime(shown) for time in times]


def test_gaps_disorder_and_missing_values_are_said_and_never_told() -> None:
    y = np.arange(200, dtype=float)
    y[150] = np.nan
    frame = table(y=y)[[i for i in range(200) if not 60 <= i < 70]]
    data = prepared(frame.sample(fraction=1.0, shuffle=True, seed=1), window=10)
    said = " ".join(data.notes)
    assert "were sorted" in said and "10 steps of 1 hour have no row" in said and "1 values are missing" in said
    batch = data.train.at(torch.arange(len(data.train)))
    assert batch.inputs.isfinite().all()
    told = batch.targets[:, :, 0]
    assert told.isnan().any() and not told.isnan().all(1).any()
    after = next(i for i in range(len(told)) if told[i].isnan().any() and not told[i, 0].isnan())
    first = int(torch.isnan(told[after]).nonzero()[0])
    assert (told[after, first:].isnan()).all()  # the gap of ten is longer than the horizon
    reader = data.reader
    assert isinstance(reader, ForecastReader)
    filled = reader.panel(frame).filled()[:, 0]
    assert (filled[60:70] == 59).all() and filled[150] == 149  # the past stands in, nothing of the future


def test_a_reader_comes_back_from_its_record_and_answers_for_each_series() -> None:
    frame = pl.concat([table(60, y=np.arange(60.0)).with_columns(who=pl.lit(name)) for name in "ba"])
    data = prepared(frame, series="who", target="y", window=6)
    again = ForecastReader.from_dict(__import__("json").loads(__import__("json").dumps(data.reader.to_dict())))
    raw = next(iter(again.stream(frame)))
    assert raw.names == ["b", "a"] and raw.inputs.shape == (2, 6, 1) and raw.cells["step"].to_list() == [60, 60]
    assert again.clock.times(raw.cells["step"].to_numpy())[0] == START + timedelta(hours=60)
    pieces = list(again.stream(frame, targets=True, rows=17))
    assert sum(len(piece.inputs) for piece in pieces) == 2 * (60 - 6 - 5 + 1)


def test_covariates_are_shown_and_not_told() -> None:
    frame = table(y=np.arange(200.0), wind=np.sin(np.arange(200.0)), note=[f"n{i % 3}" for i in range(200)])
    data = prepared(frame, target="y", covariates="wind", window=8)
    batch = data.train.at(torch.tensor([0]))
    assert batch.inputs.shape == (1, 8, 2) and batch.targets.shape == (1, 5, 1) and data.task.targets == ("y",)
    assert prepared(frame).task.targets == ("y", "wind")  # every column of numbers, where none is named


def test_numbers_and_plain_order_can_be_time() -> None:
    numbers = prepared(pl.DataFrame({"ds": np.arange(0, 1000, 5), "y": np.arange(200.0)}))
    assert numbers.card["step"] == "5"
    plain = prepared(pl.DataFrame({"y": np.random.default_rng(0).normal(size=200)}))
    assert plain.card["step"] == "1" and plain.reader.clock == Clock("number", 0.0, 1.0)  # type: ignore[attr-defined]
    uneven = prepared(
        table().with_columns(pl.col("time") + pl.Series(np.arange(200) % 7 * 1000).cast(pl.Duration("ms")))
    )
    assert any("not even" in note for note in uneven.notes) and uneven.card["step"] == "1 row"


DAYS = "when,y\n" + "\n".join(f"2024-01-{d:02d},{d}" for d in range(1, 29))


@pytest.mark.parametrize(
    ("text", "asked", "message"),
    [
        (DAYS.replace("2024-01-09", "soon"), {"time": "when"}, r"line 10, column 'when': 'soon' is not a date"),
        (DAYS.replace("2024-01-09", "2024-01-08"), {}, r"line 10: the time 2024-01-08 00:00:00 was there.*line 9"),
        (DAYS, {"horizon": 28}, "horizon is as long as the series"),
        (DAYS, {"horizon": 9}, "valid part is too short.*got 2 steps; expected 9 to tell"),
        (DAYS, {"window": 25}, "train part is too short"),
        (DAYS, {"target": "z"}, "z"),
        (DAYS, {"series": "who"}, "who"),
        (DAYS, {"group": "y"}, "no group of their own"),
        (DAYS.replace(",", ",a"), {}, "no column of numbers"),
        (DAYS.replace("2024-01-28", ""), {}, "line 29, column 'when': no time"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, asked: dict[str, Any], message: str) -> None:
    file = tmp_path / "days.csv"
    file.write_text(text)
    with pytest.raises(GliaError, match=message) as caught:
        prepared(str(file), **{"horizon": 2, **asked})
    assert "\n" not in str(caught.value)


def test_a_stray_word_is_said_and_many_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "days.csv"
    file.write_text(DAYS.replace(",9\n", ",nine\n"))
    assert "column 'y': 'nine' read as missing" in prepared(str(file), horizon=2).notes
    file.write_text("when,y\n" + "\n".join(f"2024-01-{d:02d},w{d}" for d in range(1, 29)))
    with pytest.raises(GliaError, match="line 2, column 'y': 'w1' is not a number"):
        prepared(str(file), horizon=2, target="y")


def test_windows_are_stretches_of_the_series() -> None:
    values = torch.arange(60, dtype=torch.float32).reshape(20, 3)
    for table in (values, values.t().contiguous().t()):  # however it lies in memory
        found = Windows(table, torch.tensor([0, 13, 4]), 7).take(torch.tensor([1, 1, 0, 2]))
        assert torch.equal(found, torch.stack([values[13:20], values[13:20], values[:7], values[4:11]]))
    assert Windows(values, torch.tensor([0]), 7).take(torch.tensor([], dtype=torch.int64)).shape == (0, 7, 3)
