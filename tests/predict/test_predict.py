"""predict: the frame's columns for each task, the same bits whatever the piece size, files that stream."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from glia.data.task import Task
from glia.errors import GliaError
from glia.predict.predict import predict, whole
from glia.predict.rows import write_rows

CLASSES = Task("classify", ("y",), ("no", "yes"))


def _all(*given: Any, **options: Any) -> pl.DataFrame:
    return whole(predict(*given, **options))


def _to_file(
    model: nn.Module, task: Task, reader: Any, source: Any, out: Path, *, overwrite: bool = False, **options: Any
) -> int:
    return write_rows(predict(model, task, reader, source, **options), out, source=source, overwrite=overwrite)


def network(outputs: int, inputs: int = 3) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(inputs, 33), nn.Tanh(), nn.Dropout(0.5), nn.Linear(33, outputs))
    for weight in model.parameters():
        nn.init.normal_(weight, generator=generator)
    return model


def test_classes_have_a_prediction_and_a_chance_each(reader: Any, frame: Any) -> None:
    model, rows = network(2), frame(50)
    got = _all(model, CLASSES, reader(), rows)
    assert got.columns == ["row", "prediction", "p_no", "p_yes"]
    want = model.eval()(torch.tensor(rows.select("x0", "x1", "x2").to_numpy())).softmax(1).detach().numpy()
    np.testing.assert_allclose(got["p_yes"], want[:, 1], rtol=1e-5)
    assert got["prediction"].to_list() == ["yes" if p > 0.5 else "no" for p in want[:, 1]]
    assert got["row"].to_list() == list(range(50))
    assert got["row"].dtype == pl.Int64


def test_labels_have_yes_or_no_and_a_chance(reader: Any, frame: Any) -> None:
    got = _all(network(2), Task("multilabel", ("a", "b")), reader(), frame(20))
    assert got.columns == ["row", "prediction_a", "p_a", "prediction_b", "p_b"]
    assert got["prediction_b"].to_list() == [p >= 0.5 for p in got["p_b"]]


def test_values_are_in_own_units(reader: Any, frame: Any) -> None:
    one = Task("regress", ("price",), center=(100.0,), scale=(10.0,))
    model, rows = network(1), frame(20)
    got = _all(model, one, reader(), rows)
    assert got.columns == ["row", "prediction"]
    want = model.eval()(torch.tensor(rows.select("x0", "x1", "x2").to_numpy()))[:, 0] * 10 + 100
    np.testing.assert_allclose(got["prediction"], want.detach(), rtol=1e-5)
    two = Task("regress", ("price", "age"), center=(0.0, 0.0), scale=(1.0, 1.0))
    assert _all(network(2), two, reader(), rows).columns == ["row", "prediction_price", "prediction_age"]


@pytest.mark.parametrize("batch_rows", [1, 7, 1024, 1500, 10_000])
@pytest.mark.parametrize("kind", ["table", "image"])
def test_the_size_of_pieces_changes_no_bit(batch_rows: int, kind: str, reader: Any, frame: Any) -> None:
    model, rows = network(2), frame(3000)
    want = _all(model, CLASSES, reader(kind), rows)
    got = _all(model, CLASSES, reader(kind), rows, batch_rows=batch_rows)
    assert got.equals(want)


def test_pieces_are_as_large_as_asked(reader: Any, frame: Any) -> None:
    numbers = reader()
    sizes = [piece.height for piece in predict(network(2), CLASSES, numbers, frame(5000), batch_rows=2000)]
    assert sizes == [2000, 2000, 1000]


def test_columns_of_the_source_are_kept_beside_and_never_lost(reader: Any, frame: Any) -> None:
    rows = frame(5).with_columns(prediction=pl.lit("mine"), row=pl.lit(7), input_row=pl.lit(8))
    got = _all(network(2), CLASSES, reader(), rows, keep=True)
    kept = ["x0", "x1", "x2", "target", "input_prediction", "input_row", "input_input_row"]
    assert got.columns == ["row", *kept, "prediction", "p_no", "p_yes"]
    assert got["input_prediction"].to_list() == ["mine"] * 5
    assert (got["input_row"][0], got["input_input_row"][0]) == (7, 8)


def test_rows_without_a_sound_output_have_no_prediction(reader: Any, frame: Any) -> None:
    rows = frame(3).with_columns(x0=pl.Series([0.0, math.nan, 1.0]))
    got = _all(network(2), CLASSES, reader(), rows)
    assert got["prediction"].is_null().to_list() == [False, True, False]
    values = _all(network(1), Task("regress", ("y",), center=(0.0,), scale=(1.0,)), reader(), rows)
    assert values["prediction"].is_null().to_list() == [False, True, False]


def test_no_rows_give_the_columns_alone(tmp_path: Path, reader: Any, frame: Any) -> None:
    got = _all(network(2), CLASSES, reader(), frame(0))
    assert got.shape == (0, 4)
    assert got.schema == _all(network(2), CLASSES, reader(), frame(1)).schema
    assert _to_file(network(2), CLASSES, reader(), frame(0), tmp_path / "out.csv") == 0
    assert (tmp_path / "out.csv").read_text() == "row,prediction,p_no,p_yes\n"


def test_the_model_is_left_in_its_mode_even_between_pieces(reader: Any, frame: Any) -> None:
    model = network(2).train()
    for _ in predict(model, CLASSES, reader(), frame(3000), batch_rows=1024):
        assert model.training
        assert model[2].training


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl", ".ndjson"])
def test_a_file_holds_what_the_frame_holds(tmp_path: Path, suffix: str, reader: Any, frame: Any) -> None:
    model, rows, out = network(2), frame(5000), tmp_path / f"new{suffix}"
    want = _all(model, CLASSES, reader(), rows, keep=True)
    assert _to_file(model, CLASSES, reader(), rows, out, batch_rows=1024, keep=True) == 5000
    read = {
        ".csv": pl.read_csv,
        ".tsv": lambda path: pl.read_csv(path, separator="\t"),
        ".parquet": pl.read_parquet,
        ".jsonl": pl.read_ndjson,
        ".ndjson": pl.read_ndjson,
    }[suffix]
    got = read(out)
    assert got.columns == want.columns
    assert got.cast(want.schema).equals(want)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path: Path, reader: Any, frame: Any) -> None:
    out = tmp_path / "out.csv"
    out.write_text("precious")
    with pytest.raises(GliaError, match="exists already") as error:
        _to_file(network(2), CLASSES, reader(), frame(3), out)
    assert "\n" not in str(error.value)
    assert out.read_text() == "precious"
    _to_file(network(2), CLASSES, reader(), frame(3), out, overwrite=True)
    assert out.read_text().startswith("row,")
