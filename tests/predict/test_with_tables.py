"""From a CSV file to measures, worst rows and a file of predictions, with the reader that training made."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from glia.data.prepared import Prepared
from glia.data.tables.prepare import prepare_table
from glia.data.task import Task
from glia.predict.baselines import baselines
from glia.predict.evaluate import evaluate
from glia.predict.measure import measure
from glia.predict.outputs import part_of
from glia.predict.predict import predict, whole
from glia.predict.rows import write_rows
from glia.predict.worst import worst
from glia.recipe import Recipe


def _all(*given: Any, **options: Any) -> pl.DataFrame:
    return whole(predict(*given, **options))


def _to_file(
    model: nn.Module, task: Task, reader: Any, source: Any, out: Path, *, overwrite: bool = False, **options: Any
) -> int:
    return write_rows(predict(model, task, reader, source, **options), out, source=source, overwrite=overwrite)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    size, town = random.normal(100, 30, 600), random.choice(["Bern", "Chur", "=Uri"], 600)
    price = 3000 * size + 50_000 * (town == "Bern") + random.normal(0, 9000, 600)
    path = tmp_path / "houses.csv"
    pl.DataFrame({"size": size, "town": town, "price": price}).with_columns(
        size=pl.when(pl.int_range(pl.len()) % 20 == 3).then(None).otherwise("size")
    ).write_csv(path)
    return path


@pytest.fixture
def prepared(file: Path) -> Prepared:
    return prepare_table(Recipe().updated(source=str(file), target="price").data, 0)


class Guess(nn.Module):
    """Looks at one column, and is at a loss where it is missing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ((x[:, :1] - 100) / 30).nan_to_num()


def test_worst_rows_show_the_cells_of_the_file(prepared: Prepared, file: Path) -> None:
    assert prepared.test is not None
    part = part_of(Guess(), prepared.test, prepared.task)
    rows = pl.read_csv(file)
    np.testing.assert_allclose(part["targets"][:, 0], rows["price"].gather(part["rows"].numpy()), rtol=1e-5)
    found: list[dict[str, Any]] = json.loads(
        worst(prepared.task, part, prepared.test, prepared.reader, str(file))["worst.json"]
    )
    assert len(found) == 12
    for entry in found:
        row = int(entry["name"].removeprefix("row "))
        assert entry["cells"]["town"] == rows["town"][row]
        assert float(entry["target"]) == pytest.approx(rows["price"][row], rel=1e-4)


def test_a_file_of_predictions_without_the_answer(prepared: Prepared, file: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.csv"
    pl.read_csv(file).drop("price").write_csv(new)
    assert _to_file(Guess(), prepared.task, prepared.reader, new, tmp_path / "out.csv", keep=True) == 600
    got = pl.read_csv(tmp_path / "out.csv")
    assert got.columns == ["row", "size", "town", "prediction"]
    assert set(got["town"]) == {"Bern", "Chur", "'=Uri"}
    want = _all(Guess(), prepared.task, prepared.reader, new)
    np.testing.assert_allclose(got["prediction"], want["prediction"], rtol=1e-6)


def test_evaluation_of_the_whole_file_is_the_measure_of_its_predictions(prepared: Prepared, file: Path) -> None:
    got = evaluate(Guess(), prepared.task, prepared.reader, file)
    predicted = _all(Guess(), prepared.task, prepared.reader, file)["prediction"].to_numpy()
    want = measure(prepared.task, predicted[:, None], pl.read_csv(file)["price"].to_numpy())
    assert got == pytest.approx(want, rel=1e-4)


def test_baselines_of_a_file(prepared: Prepared) -> None:
    got = {entry["name"]: entry for entry in baselines(prepared)}
    assert got["mean"]["test"]["r2"] < 0.1
    assert got["linear model"]["test"]["r2"] > 0.6  # one size in twenty is missing
    assert got["gradient boosting"]["test"]["r2"] > 0.6
