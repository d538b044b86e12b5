"""Run folders: names, reading back, and what a broken one says."""

import csv
from pathlib import Path

import pytest
import torch

from glia.errors import DamagedError, GliaError
from glia.recipe import Recipe
from glia.runs import machine
from glia.runs.folder import NAME, RunFolder, check_name, plain_name


@pytest.mark.parametrize(
    "text",
    [
        "titanic.csv",
        "../../etc/passwd",
        "a b\tc",
        "",
        "ü/ö",
        "x" * 300,
        ".hidden",
        "CON.",
        "a" * 47 + "." * 9,
        "a" * 47 + "/b",
    ],
)
def test_any_text_gives_a_safe_name(text: str) -> None:
    name = plain_name(text)
    assert NAME.fullmatch(name) and ".." not in name and "/" not in name
    check_name(name)
    assert plain_name(name) == name


def test_unsafe_names_are_refused(tmp_path: Path) -> None:
    for name in ("../up", "a/b", "", "x" * 65, "-x"):
        with pytest.raises(GliaError, match="name"):
            RunFolder.create(tmp_path, name)


def test_opening_what_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "titanic-2").mkdir()
    with pytest.raises(GliaError, match="not a run folder"):
        RunFolder.open(tmp_path / "titanic-2")
    with pytest.raises(GliaError, match="titanic-2"):
        RunFolder.open(tmp_path / "titanic2")


def test_model_and_history(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "run")
    with pytest.raises(GliaError, match="no model yet"):
        folder.load_model()
    weights = {"w": torch.randn(3, 2).T, "n": torch.tensor(5)}
    folder.save_model({"network": {"name": "mlp"}}, {"best": weights, "last": weights})
    parts, again = folder.load_model("last")
    assert parts == {"network": {"name": "mlp"}}
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    (folder.path / "chart.jsonl").write_text(
        '{"kind": "step", "step": 1, "loss": 2.0}\n{"kind": "epoch", "epoch": 0, "train_loss": 1.5, "best": true}\n'
        '{"kind": "epoch", "epoch": 1, "train_loss": 1.0, "valid_loss": 1.25, "best": false}\n{"kind": "ep'
    )
    assert folder.history()["train_loss"] == [1.5, 1.0]
    folder.write_history()
    lines = (folder.path / "history.csv").read_text().splitlines()
    assert lines[0] == "epoch,train_loss,best,valid_loss" and lines[2] == "1,1.0,False,1.25"
    (folder.path / "chart.jsonl").write_text(
        '{"kind": "epoch", "epoch": "@SUM(1)", "=cmd|calc": 1.0, "-2+3": -0.5, "\uff1dx": "\\t=1", "a-b": "fine"}\n'
    )
    folder.write_history()
    rows = list(csv.reader((folder.path / "history.csv").read_text().splitlines()))
    assert rows == [["epoch", "'=cmd|calc", "'-2+3", "'＝x", "a-b"], ["'@SUM(1)", "1.0", "-0.5", "'\t=1", "fine"]]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "run")
    (folder.path / "recipe.toml").write_text(Recipe.of(source="a.csv").to_toml())
    assert RunFolder.open(folder.path).recipe.data.source == "a.csv"
    (folder.path / "status.json").write_text('{"state": ')
    with pytest.raises(DamagedError, match=r"status\.json"):
        folder.read_json("status.json")
    (folder.path / "recipe.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DamagedError, match=r"recipe\.toml"):
        _ = folder.recipe


def test_the_machine_is_described_in_plain_values() -> None:
    description = machine.describe()
    assert description["versions"]["torch"] == torch.__version__
    assert machine.numerics(description)["threads"] == torch.get_num_threads()
    assert machine.peak_memory_bytes() > 2**20
