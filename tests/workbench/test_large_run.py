"""A run on a table that is read in pieces ends as one on the same table in memory does."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import glia
from glia.data.tables import large, prepare
from glia.runs.folder import RunFolder
from glia.workbench import finish


def trained(path: Path, runs: Path, name: str) -> RunFolder:
    glia.train(path, target="y", model="mlp", hidden="8", epochs=2, lr=0.01, batch_size=64, name=name, runs=runs)
    return RunFolder.open(runs / name)


def test_from_disk_and_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIA_CACHE", str(tmp_path / "cache"))
    dice = np.random.default_rng(0)
    x = dice.normal(size=(900, 3)).round(3)
    answers = np.where(x[:, 0] + x[:, 1] > 0, "up", "down")
    path = tmp_path / "t.csv"
    pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": answers}).write_csv(path)
    held = trained(path, tmp_path, "held")
    monkeypatch.setattr(large, "LARGE", 0)
    monkeypatch.setattr(prepare, "READ_ROWS", 200)
    pieced = trained(path, tmp_path, "pieced")
    ours, theirs = (folder.read_json("metrics.json") for folder in (pieced, held))
    assert all(ours[part] == theirs[part] for part in ("train", "valid", "test"))
    told = [[line["test"] for line in found["baselines"]] for found in (ours, theirs)]  # but for their seconds
    assert told[0] == told[1]
    assert (pieced.path / "chart.jsonl").read_bytes() == (held.path / "chart.jsonl").read_bytes()

    monkeypatch.setattr(finish, "ENOUGH", 100)  # of each part, so many rows tell its figures
    short = trained(path, tmp_path, "short")
    assert (short.path / "chart.jsonl").read_bytes() == (held.path / "chart.jsonl").read_bytes()
    near, figures = (folder.read_json("metrics.json")["test"] for folder in (short, held))
    assert near != figures and near["accuracy"] == pytest.approx(figures["accuracy"], abs=0.1)
