"""The whole river from Python: what does not matter changes nothing, what is asked for happens."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import glia
from glia.errors import DiskError, GliaError
from glia.runs import checkpoint


def pictures(count: int = 60) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Grey pictures of 16 x 16 with a bar that lies (0) or stands (1)."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 60, (count, 16, 16)).astype(np.uint8)
    y = np.arange(count) % 2
    for number in range(count):
        at = rng.integers(3, 12)
        if y[number]:
            x[number, :, at : at + 2] = 220
        else:
            x[number, at : at + 2, :] = 220
    return x, y


def table(count: int = 200) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=count), rng.normal(size=count)
    return pl.DataFrame({"a": a, "b": b, "label": np.where(a * b > 0, "same", "other")})


def last(run: glia.Run) -> dict[str, Any]:
    state = checkpoint.latest(run.folder)
    assert state is not None
    return state


def same_training(one: glia.Run, other: glia.Run) -> bool:
    """Equal weights, averaged weights and optimiser state at the last step, to the last bit."""
    a, b = last(one), last(other)
    equal = a["model"].keys() == b["model"].keys()
    for part in ("model", "average"):
        if part in a:
            equal &= repr(a[part]) == repr(b[part]) and str(a[part].keys()) == str(b[part].keys())
    weights = all(torch.equal(a["model"][name], b["model"][name]) for name in a["model"])
    states = a["optimizer"]["state"], b["optimizer"]["state"]
    moments = all(torch.equal(states[0][i][name], states[1][i][name]) for i in states[0] for name in states[0][i])
    return bool(equal and weights and moments)


def test_what_does_not_matter_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "bars.npz"
    x, y = pictures()
    np.savez(path, x=x, y=y)
    fixed = {"model": "lenet5", "epochs": 4, "batch_size": 16, "lr": 0.003, "threads": 1, "baselines": False}
    fixed |= {"augment": "shift,rotate,erase,mixup", "dropout": 0.2, "ema": 0.9, "patience": 0, "runs": tmp_path}
    reference = glia.train(path, **fixed)
    for change in ({"workers": 2}, {"valid_every": 2}, {"tensorboard": True}, {"baselines": True}, {"checkpoint_s": 0}):
        assert same_training(reference, glia.train(path, **{**fixed, **change})), change
    for change in ({"seed": 1}, {"augment": "none"}, {"dropout": 0.3}):
        assert not same_training(reference, glia.train(path, **{**fixed, **change})), change
    assert list((tmp_path / "bars-4" / "tensorboard").glob("events*"))


def test_data_from_memory_and_a_network_of_your_own(tmp_path: Path) -> None:
    data = glia.prepare(table(), target="label", valid_share=0.2)
    features = glia.build("mlp", data, hidden=[16])
    assert isinstance(features, nn.Module)

    class Mine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(x)

    run = glia.train(data=data, model=Mine(), epochs=30, lr=0.01, runs=tmp_path, name="mine", baselines=False)
    assert run.metrics["test"]["accuracy"] > 0.8
    new = table(50).drop("label")
    predicted = run.predict(new)
    with pytest.raises(GliaError, match="of your own"):
        glia.open(run.folder).predict(new)
    again = glia.open(run.folder, model=Mine())
    assert again.predict(new).equals(predicted)
    assert set(run.history) >= {"epoch", "train_loss", "valid_loss", "valid_accuracy", "lr"}


def test_a_frame_in_memory(tmp_path: Path) -> None:
    frame = table()
    run = glia.train(frame, target="label", epochs=5, lr=0.01, runs=tmp_path, threads=1)
    assert glia.train(frame.to_pandas(), target="label", epochs=5, lr=0.01, runs=tmp_path, threads=1).metrics["test"]
    assert run.evaluate(frame)["accuracy"] > 0.5
    names = [entry["name"] for entry in run.metrics["baselines"]]
    assert names == ["majority class", "linear model", "gradient boosting"]


def test_folds_only_where_rows_may_be_divided_at_random(tmp_path: Path) -> None:
    frame = table(300).with_columns(family=pl.Series([f"f{i // 3}" for i in range(300)]), when=pl.Series(range(300)))
    quick = {"target": "label", "epochs": 2, "lr": 0.01, "runs": tmp_path, "baselines": False, "threads": 1}
    alone = glia.train(frame, **quick)
    assert alone.recipe.model.model == "folds" and alone.recipe.data.valid_share == 0
    parts = json.loads((alone.folder / "data.json").read_text())["parts"]
    assert "valid" in alone.metrics and not parts.get("valid")
    for kept in ({"group": "family"}, {"time": "when"}, {"valid_share": 0.2}):
        run = glia.train(frame, **quick, **kept)
        assert run.recipe.model.model == "tabm", kept
        assert json.loads((run.folder / "data.json").read_text())["parts"]["valid"] > 0
    asked = glia.train(frame, **quick, model="folds", group="family")
    assert asked.metrics["valid"]["accuracy"] > 0


def test_the_rate_of_another_optimizer_comes_from_the_range_test(tmp_path: Path) -> None:
    quick = {"target": "label", "model": "mlp", "epochs": 15, "runs": tmp_path, "baselines": False, "threads": 1}
    usual = glia.train(table(300), **quick)
    assert "usual rate" in json.loads((usual.folder / "choices.json").read_text())[-1]["why"]
    other = glia.train(table(300), optimizer="sgd", **quick)
    assert "from the range test" in json.loads((other.folder / "choices.json").read_text())[-1]["why"]
    assert other.recipe.train.lr > 5 * usual.recipe.train.lr


def test_rare_classes_are_weighted(tmp_path: Path) -> None:
    frame = table(600).with_columns(label=pl.when(pl.col("a") > 1.9).then(pl.lit("rare")).otherwise(pl.lit("usual")))
    run = glia.train(frame, target="label", epochs=3, lr=0.01, runs=tmp_path, threads=1)
    assert run.recipe.train.class_weights == "balanced"
    weights = dict(zip(run.task.classes, run.task.weights))
    assert weights["rare"] > 5 * weights["usual"]
    assert "rarer" in json.loads((run.folder / "choices.json").read_text())[1]["why"]
    assert glia.train(frame, target="label", epochs=1, lr=0.01, runs=tmp_path, class_weights="none").task.weights == ()


def test_data_that_changed_are_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    table().write_csv(path)

    def stop(*_: Any) -> Any:
        raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError):
        glia.train(path, target="label", epochs=2, lr=0.01, runs=tmp_path, begin=stop)
    table(150).write_csv(path)
    with pytest.raises(GliaError, match="data changed"):
        glia.resume(tmp_path / "rows")
    table().write_csv(path)
    assert glia.resume(tmp_path / "rows").status["state"] == "finished"


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
import glia
from glia.errors import DiskError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def begin(session, folder, choices):
    def watch(moment):
        if moment.step == 6:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    return (watch,)
try:
    settings = {"target": "label", "epochs": 3, "lr": 0.01, "model": "mlp", "checkpoint_s": 0, "baselines": False}
    glia.train(sys.argv[1], runs=sys.argv[2], begin=begin, **settings)
except DiskError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    """A file limit stands in for a full disk: one line, exit code 74, and the checkpoint before it is whole."""
    path = tmp_path / "rows.csv"
    table(400).write_csv(path)
    answer = subprocess.run(
        [sys.executable, "-c", FULL, path, tmp_path / "runs"], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 74, answer.stdout + answer.stderr
    assert "cannot write" in answer.stdout and "MiB free" in answer.stdout
    state = checkpoint.latest(tmp_path / "runs" / "rows")
    assert state is not None and state["progress"]["step"] == 6
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert glia.resume(tmp_path / "runs" / "rows").status["state"] == "finished"


def test_the_lock_keeps_others_out(tmp_path: Path) -> None:
    def begin(session: Any, folder: Any, choices: Any) -> Any:
        with pytest.raises(GliaError, match="in use"):
            glia.resume(folder.path)
        return ()

    path = tmp_path / "rows.csv"
    table().write_csv(path)
    glia.train(path, target="label", epochs=1, lr=0.01, runs=tmp_path, begin=begin, baselines=False)
    assert issubclass(DiskError, GliaError)


@pytest.mark.parametrize(("name", "given"), [("unet", "pixels"), ("dcgan", "pictures")])
def test_networks_without_an_answer_a_row_are_for_own_loops(name: str, given: str, tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (40, 32, 32), dtype=np.uint8)
    np.savez(tmp_path / "small.npz", x=pictures, y=np.arange(40) % 2)
    with pytest.raises(GliaError, match=f"{name} gives {given}; expected an answer for each row"):
        glia.train(tmp_path / "small.npz", model=name, runs=tmp_path)


def test_a_whole_set_a_step_is_gradient_descent(tmp_path: Path) -> None:
    run = glia.train("iris", model="linear", batch_size="all", epochs=3, lr=0.1, runs=tmp_path, baselines=False)
    lines = [json.loads(line) for line in (run.folder / "chart.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["kind"] == "step"]
    assert len(steps) == 3


@pytest.mark.parametrize("settings", [{"clip_by": "adaptive", "clip": 0.05}, {"clip_by": "value", "clip": 1e-4}])
def test_what_clips_is_asked_for(settings: dict[str, Any], tmp_path: Path) -> None:
    common: dict[str, Any] = {"model": "mlp", "epochs": 2, "lr": 0.1, "optimizer": "sgd", "runs": tmp_path}
    common |= {"baselines": False, "ema": 0.0}
    plain, clipped = (glia.train("iris", **common, **more).model for more in ({"clip": 0.0}, settings))
    first = glia.build("mlp", glia.prepare("iris"))
    moved = [
        sum((a - b).square().sum().item() for a, b in zip(model.parameters(), first.parameters()))
        for model in (plain, clipped)
    ]
    assert 0 < moved[1] < moved[0]


def test_the_mean_of_the_last_weights_is_kept(tmp_path: Path) -> None:
    common: dict[str, Any] = {"model": "linear", "epochs": 6, "lr": 0.1, "runs": tmp_path, "baselines": False}
    one, other = (glia.train("iris", **common, swa=share, ema=0.0, patience=0).model for share in (0.5, 0.0))
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters()))


def test_another_loss_is_asked_for(tmp_path: Path) -> None:
    common: dict[str, Any] = {"model": "mlp", "epochs": 1, "lr": 1e-3, "runs": tmp_path, "baselines": False}
    one, other = (glia.train("iris", **common, loss=name).metrics["valid"] for name in ("focal", None))
    assert one != other
    mae, mse = (glia.train("diabetes", **common, loss=name).model for name in ("mae", "mse"))
    assert any(not torch.equal(a, b) for a, b in zip(mae.parameters(), mse.parameters()))
    with pytest.raises(GliaError, match="mse does not fit the task classify; expected one of cross_entropy, focal"):
        glia.train("iris", **common, loss="mse")
    with pytest.raises(GliaError, match="unknown loss 'focl'.*'focal'"):
        glia.train("iris", **common, loss="focl")


@pytest.mark.parametrize("name", ["lsuv", "orthogonal", "xavier_normal"])
def test_first_weights_by_another_rule(name: str, tmp_path: Path) -> None:
    """A rate of almost nothing leaves the first weights as they were."""
    common: dict[str, Any] = {"model": "mlp", "hidden": (32, 32), "epochs": 1, "lr": 1e-12, "weight_decay": 0.0}
    run = glia.train("wine", **common, init=name, runs=tmp_path, baselines=False, doctor=False, ema=0.0)
    hidden = [layer for layer in run.model.hidden if isinstance(layer, nn.Linear)]
    if name == "lsuv":
        with torch.no_grad():
            data = glia.prepare("wine")
            out = run.model.features(data.train.at(torch.arange(len(data.train))).inputs)
            assert hidden[0](out).std().item() == pytest.approx(1.0, rel=0.02)
    elif name == "orthogonal":
        w = hidden[1].weight
        assert torch.allclose(w @ w.T, 2 * torch.eye(32), atol=1e-4)  # the gain of ReLU is the root of 2
    else:
        assert hidden[1].weight.std().item() == pytest.approx((2 * 2 / 64) ** 0.5, rel=0.1)
