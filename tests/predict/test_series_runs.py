"""Labelled series from a file to a run, its page, predictions and an exported file; figures against scikit-learn."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from scipy.interpolate import interp1d
from sklearn.neighbors import KNeighborsClassifier

import glia
from glia.data.facts import SeriesFacts
from glia.predict.series import figures, widths


def waves(count: int = 90, seed: int = 0) -> tuple[list[np.ndarray], list[str]]:
    """Two kinds of waves of unequal lengths, told apart by their frequency; a second channel of noise."""
    dice = np.random.default_rng(seed)
    rows, labels = [], []
    for i in range(count):
        length, fast = int(dice.integers(20, 40)), i % 2
        phase, step = dice.uniform(0, 6), 2 * np.pi / (6 if fast else 12)
        rows.append(np.stack([np.sin(phase + step * np.arange(length)), dice.normal(size=length)], 1).round(4))
        labels.append("fast" if fast else "slow")
    return rows, labels


def written(path: Path, rows: list[np.ndarray], labels: list[str]) -> Path:
    lines = [":".join([*(",".join(map(str, channel)) for channel in row.T), label]) for row, label in zip(rows, labels)]
    path.write_text("@timeStamps false\n@classLabel true fast slow\n@data\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[glia.Run, Path]:
    folder = tmp_path_factory.mktemp("series")
    rows, labels = waves()
    written(folder / "W_TRAIN.ts", rows[:60], labels[:60])
    written(folder / "W_TEST.ts", rows[60:], labels[60:])
    run = glia.train(str(folder / "W_TRAIN.ts"), runs=folder / "runs", width=200, epochs=12, augment="jitter=0.02")
    return run, folder


def test_a_run_learns_and_its_page_draws_what_it_gets_wrong(trained: tuple[glia.Run, Path]) -> None:
    run, _ = trained
    assert run.recipe.model.model == "rocket" and run.metrics["test"]["accuracy"] > 0.9
    assert {one["name"] for one in run.metrics["baselines"]} == {"majority class", "nearest neighbour", "linear model"}
    assert not [one for one in run.metrics["baselines"] if "error" in one]
    page = (run.folder / "report.html").read_text()
    assert page.count('class="sketch"') == 12 and "the number of epochs is fixed" in page
    worst = json.loads((run.folder / "predictions" / "worst.json").read_text())
    assert all(len(one["series"]) == 2 and 20 <= len(one["series"][0]) < 40 for one in worst)
    found = json.loads((run.folder / "findings.json").read_text())["findings"]
    assert not [one for one in found if one["severity"] in ("error", "warning")], found


def test_predictions_and_evaluation_are_those_of_the_run(trained: tuple[glia.Run, Path]) -> None:
    run, folder = trained
    again = glia.open(run.folder)
    said = again.predict(str(folder / "W_TEST.ts"))
    want = waves()[1][60:]
    assert np.mean([a == b for a, b in zip(said["prediction"], want)]) == pytest.approx(run.metrics["test"]["accuracy"])
    assert again.evaluate(str(folder / "W_TEST.ts"))["accuracy"] == pytest.approx(run.metrics["test"]["accuracy"])
    unlabelled = folder / "new.ts"
    unlabelled.write_text(
        "@classLabel false\n@data\n" + ":".join(",".join(map(str, c)) for c in waves()[0][61].T) + "\n"
    )
    first = again.predict(str(unlabelled))
    assert first["p_fast"][0] == pytest.approx(said["p_fast"][1], abs=1e-4)
    with pytest.raises(glia.GliaError, match="channels; got 1; expected 2"):
        unlabelled.write_text("@classLabel false\n@data\n1,2,3\n")
        again.predict(str(unlabelled))


def test_a_recipe_read_again_divides_the_series_alike(trained: tuple[glia.Run, Path], tmp_path: Path) -> None:
    run, _ = trained
    recipe = glia.Recipe.read(run.folder / "recipe.toml")
    assert recipe.data.valid_share == 0.0 and glia.prepare(recipe=recipe).valid is None


def test_long_tables_and_recurrent_networks(tmp_path: Path) -> None:
    rows, labels = waves(60)
    frame = pl.concat(
        [
            pl.DataFrame({"who": f"s{i}", "t": range(len(row)), "x": row[:, 0], "kind": label})
            for i, (row, label) in enumerate(zip(rows, labels))
        ]
    )
    run = glia.train(
        frame, series="who", time="t", target="kind", model="gru", width=8, epochs=2, valid_share=0.2, runs=tmp_path,
        baselines=False, doctor=False,
    )  # fmt: skip
    said = run.predict(frame.drop("kind"))
    assert said["row"].to_list() == [f"s{i}" for i in range(60)]


@pytest.mark.parametrize("suffix", [".pt2"])
def test_an_exported_network_answers_alike(trained: tuple[glia.Run, Path], tmp_path: Path, suffix: str) -> None:
    run, _ = trained
    assert run.export(tmp_path / f"net{suffix}").is_file()  # compared with the network before it is written


def test_figures_are_those_of_scipy_and_numpy() -> None:
    rows, labels = waves(40)
    facts = SeriesFacts(2, 39, (0.0, 0.0), (1.0, 1.0), 40)
    x = torch.full((40, 39, 2), float("nan"))
    for i, row in enumerate(rows):
        x[i, : len(row)] = torch.from_numpy(row)
    got = figures(x, facts).numpy()
    assert got.shape[1] == sum(widths(facts))
    even = np.stack([interp1d(np.linspace(0, 1, len(row)), row, axis=0)(np.linspace(0, 1, 39)) for row in rows])
    np.testing.assert_allclose(got[:, :78], even.reshape(40, -1), atol=1e-4)
    np.testing.assert_allclose(got[:, 78:80], [row.mean(0) for row in rows], atol=1e-4)
    np.testing.assert_allclose(got[:, 80:82], [row.std(0) for row in rows], atol=1e-4)
    slopes = [np.polyfit(np.linspace(-1, 1, 39), one, 1)[0] for one in even]
    np.testing.assert_allclose(got[:, 82:84], slopes, atol=1e-4)
    assert got[:, -1].tolist() == [len(row) for row in rows]
    assert KNeighborsClassifier(1).fit(got[:30, :78], labels[:30]).score(got[30:, :78], labels[30:]) >= 0.5
