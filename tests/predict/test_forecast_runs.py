"""Forecasts from a file to a run, its page and a table with intervals; measures against those of others."""

import json
import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import mean_absolute_error, mean_squared_error

import glia
from glia.data.facts import ForecastFacts
from glia.data.task import Task
from glia.predict.forecast import Tally, rivals


def waves(count: int = 600, shift: float = 0.0) -> pl.DataFrame:
    hours = np.arange(count)
    noise = np.random.default_rng(0).normal(0, 0.3, count)
    load = 50 + shift + 10 * np.sin(2 * np.pi * hours / 24) + 0.01 * hours + noise
    start = datetime(2024, 3, 1)
    return pl.DataFrame({"when": [start + timedelta(hours=int(h)) for h in hours], "load": load})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[glia.Run, Path]:
    folder = tmp_path_factory.mktemp("forecast")
    waves().write_csv(folder / "load.csv")
    return glia.train(str(folder / "load.csv"), horizon=12, runs=folder / "runs", epochs=15, doctor=True), folder


def test_a_run_beats_the_naive_and_its_page_says_so(trained: tuple[glia.Run, Path]) -> None:
    run, _ = trained
    test = run.metrics["test"]
    others = {one["name"]: one["test"] for one in run.metrics["baselines"]}
    assert set(others) == {"last value", "seasonal naive", "drift"}
    assert test["mae"] < 0.9 * min(one["mae"] for one in others.values())
    assert 0.6 < test["coverage"] <= 1
    page = (run.folder / "report.html").read_text()
    assert "Forecast of load" in page and "Error by steps ahead" in page and "Yes, it pays here." in page
    assert not [
        f for f in json.loads((run.folder / "findings.json").read_text())["findings"] if f["severity"] == "error"
    ]


def test_predictions_go_on_where_the_series_end(trained: tuple[glia.Run, Path]) -> None:
    run, folder = trained
    again = glia.open(run.folder)
    said = again.predict(str(folder / "load.csv"), horizon=30)
    assert said.columns == ["time", "prediction", "low", "high"] and len(said) == 30
    end = waves()["when"][-1]
    assert said["time"].to_list() == [end + timedelta(hours=i + 1) for i in range(30)]
    truth = waves(630)["load"][600:].to_numpy()
    assert mean_absolute_error(truth, said["prediction"].to_numpy()) < 1.0
    assert (said["low"] < said["prediction"]).all() and (said["prediction"] < said["high"]).all()
    first = again.predict(str(folder / "load.csv"))
    assert len(first) == 12 and first["prediction"].to_list() == said["prediction"][:12].to_list()
    with pytest.raises(glia.GliaError, match="have no beam"):
        again.predict(str(folder / "load.csv"), beam=3)
    with pytest.raises(glia.GliaError, match="too short"):
        again.predict(waves(20))


def test_evaluation_is_that_of_the_run(trained: tuple[glia.Run, Path]) -> None:
    """On the rows that end with the test part, the windows are those of the test part and a few before."""
    run, _ = trained
    window, rows = run.reader.window, 600  # type: ignore[attr-defined]
    tail = waves()[rows - int(0.2 * rows) - window :]
    figures = run.evaluate(tail)
    for key in ("mae", "rmse", "smape", "mase", "mse", "coverage"):
        assert figures[key] == pytest.approx(run.metrics["test"][key], rel=1e-4)


def test_several_series_with_quantiles_and_covariates(tmp_path: Path) -> None:
    frames = [waves(300, shift).with_columns(shop=pl.lit(name)) for name, shift in (("north", 0.0), ("south", 500.0))]
    frame = pl.concat(frames).with_columns(warm=pl.col("load") * 0.1)
    run = glia.train(
        frame, horizon=6, series="shop", target="load", covariates="warm", quantiles="0.1,0.5,0.9", epochs=6,
        runs=tmp_path, baselines=False, doctor=False, lr=0.003,
    )  # fmt: skip
    assert run.recipe.model.model == "nlinear"
    said = run.predict(frame)
    assert said.columns == ["series", "time", "q0.1", "q0.5", "q0.9"] and len(said) == 12
    level = said.group_by("series").agg(pl.col("q0.5").mean()).sort("series")["q0.5"].to_list()
    assert abs(level[0] - 50) < 20 and abs(level[1] - 550) < 20
    with pytest.raises(glia.GliaError, match="covariates of later steps"):
        run.predict(frame, horizon=7)


def test_measures_are_those_of_scikit_learn_and_of_their_papers() -> None:
    generator = torch.Generator().manual_seed(0)
    task = Task("forecast", ("a", "b"), center=(10.0, -3.0), scale=(2.0, 0.5))
    told, truth = (torch.randn(40, 5, 2, generator=generator) for _ in range(2))
    truth[3, 2:, 1] = math.nan
    tally = Tally(task, (1.5, 0.25))
    for part in range(0, 40, 15):
        tally.add(
            told[part : part + 15], truth[part : part + 15], (told[part : part + 15] - 1, told[part : part + 15] + 1)
        )
    got = tally.metrics(interval=True)
    said, want = (task.decode(x).double().reshape(-1, 2).numpy() for x in (told, truth))
    each: list[dict[str, Any]] = []
    for i in range(2):
        there = np.isfinite(want[:, i])
        s, w = said[there, i], want[there, i]
        mae = mean_absolute_error(w, s)
        smape = np.mean(np.abs(s - w) / ((np.abs(s) + np.abs(w)) / 2))
        mse = mean_squared_error(w, s)
        inside = np.mean(np.abs(s - w) <= task.scale[i])
        each.append(
            {
                "mae": mae,
                "rmse": mse**0.5,
                "smape": smape,
                "mase": mae / (1.5, 0.25)[i],
                "mse": mse / task.scale[i] ** 2,
                "coverage": inside,
            }
        )
    for key in each[0]:
        assert got[key] == pytest.approx(np.mean([one[key] for one in each]), rel=1e-5)
    assert len(tally.by_step()) == 5


def test_naive_forecasts_are_what_they_say() -> None:
    facts = ForecastFacts(1, 10, 5, (0.0,), (1.0,), 4, False, (), (1.0,), 1)
    task = Task("forecast", ("y",), center=(0.0,), scale=(1.0,))
    x = torch.arange(10.0).view(1, 10, 1)
    made = {name: told(x).flatten().tolist() for name, told in rivals(facts, task).items()}
    assert made["last value"] == [9.0] * 5
    assert made["seasonal naive"] == [6.0, 7.0, 8.0, 9.0, 6.0]
    assert made["drift"] == pytest.approx([10.0, 11.0, 12.0, 13.0, 14.0])
