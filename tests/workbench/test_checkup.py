"""The doctor inside `glia train`: sound data pass in silence, planted faults are told, once, before or after."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import glia
from glia.doctor.finding import Finding
from glia.errors import GliaError
from glia.training.nonfinite import NonFinite
from glia.workbench.firstlook import look
from glia.workbench.plan import plan
from glia.workbench.session import Session

ROWS = 400


def frame(rows: int = ROWS, **columns: Any) -> pl.DataFrame:
    """Two columns that say the label together, one category, some noise."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=rows), rng.normal(size=rows)
    label = np.where(a + b + 0.3 * rng.normal(size=rows) > 0, "yes", "no")
    made = pl.DataFrame({"a": a, "b": b, "c": [["red", "blue", "green"][i % 3] for i in range(rows)], "label": label})
    return made.with_columns(**columns)


def train(source: Any, folder: Path, **settings: Any) -> tuple[list[Finding], glia.Run]:
    found: list[Finding] = []
    fixed = {"target": "label", "model": "mlp", "epochs": 8, "lr": 0.01, "threads": 1, "baselines": False}
    run = glia.train(source, runs=folder, found=found.append, **{**fixed, **settings})
    return found, run


def alarms(run: glia.Run) -> list[str]:
    return [one["code"] for one in run.findings if one["severity"] != "note"]


def test_sound_data_pass_in_silence(tmp_path: Path) -> None:
    found, run = train(frame(), tmp_path)
    assert found == [] and run.findings == []
    assert json.loads((tmp_path / "run" / "findings.json").read_text())["findings"] == []
    numbers = frame().with_columns(label=pl.col("a") * 30 + pl.col("b") + 500)
    assert alarms(train(numbers, tmp_path)[1]) == []


@pytest.mark.parametrize("told", [("ja", "nein"), (1.0, 2.0)])
def test_a_column_that_copies_the_answer(tmp_path: Path, told: tuple[Any, Any]) -> None:
    sound = frame()
    copied = sound.with_columns(
        alive=pl.when(pl.col("label") == "yes").then(pl.lit(told[0])).otherwise(pl.lit(told[1]))
    )
    found, run = train(copied, tmp_path)
    assert [f.code for f in found] == ["GL109"] and alarms(run) == ["GL109"]
    assert run.findings[0]["where"] == "column 'alive'" and run.findings[0]["cause"] == "data_leak"
    page = (run.folder / "report.html").read_text()
    assert "telltale-column" in page and "correlation held out" in page
    assert train(copied, tmp_path, skip="GL109")[1].findings == []
    assert not (train(copied, tmp_path, doctor=False)[1].folder / "findings.json").exists()


def test_validation_rows_that_are_training_rows(tmp_path: Path) -> None:
    files = tmp_path / "train.csv", tmp_path / "valid.csv"
    frame().write_csv(files[0])
    frame()[:100].write_csv(files[1])
    found, run = train(str(files[0]), tmp_path, valid=str(files[1]))
    assert [f.code for f in found] == ["GL110"] and alarms(run) == ["GL110"]
    assert run.findings[0]["figures"]["held_out_rows_shared"] > 0.7


def test_labels_all_of_one_class_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GliaError, match="one class only, 'yes'"):
        train(frame(label=pl.lit("yes")), tmp_path)


class Bare(nn.Module):
    """Nothing before its first weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def test_an_error_stops_the_run_before_it_begins(tmp_path: Path) -> None:
    gaps = frame().with_columns(a=pl.when(pl.col("a") > 1).then(None).otherwise(pl.col("a")))
    data = glia.prepare(gaps, target="label")
    with pytest.raises(GliaError, match=r"GL104 nan-in-inputs.*Try: fill them.*--force") as refused:
        train(None, tmp_path, data=data, model=Bare())
    assert refused.value.exit_code == 2 and "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NonFinite):
        train(None, tmp_path, data=data, model=Bare(), force=True)
    written = json.loads((tmp_path / "run" / "findings.json").read_text())["findings"]
    assert "GL104" in [one["code"] for one in written]


def test_a_rate_that_is_far_too_high(tmp_path: Path) -> None:
    found: list[Finding] = []
    with pytest.raises(NonFinite):
        glia.train(
            "digits", runs=tmp_path, found=found.append, lr=1000.0, epochs=2, threads=1, optimizer="sgd", clip=0.0,
            trial_time=0,
        )  # fmt: skip
    assert {"GL302", "GL313"} <= {f.code for f in found}
    assert {f.cause for f in found} == {"lr_too_high"}
    run = glia.open(tmp_path / "digits")
    assert run.findings[0]["code"] == "GL302" and "Loss of each step" in run.report().read_text()


def test_the_doctor_changes_no_bit(tmp_path: Path) -> None:
    weights = []
    for doctor in (True, False):
        run = train(frame(), tmp_path, doctor=doctor, dropout=0.2)[1]
        weights.append(((run.folder / "chart.jsonl").read_bytes(), dict(run.model.state_dict())))
    assert weights[0][0] == weights[1][0]
    assert all(torch.equal(weights[0][1][name], weights[1][1][name]) for name in weights[0][1])


def test_a_resumed_run_tells_nothing_twice(tmp_path: Path) -> None:
    copied = frame().with_columns(alive=pl.col("label"))

    def leave(moment: glia.Moment) -> None:
        if moment.kind == "epoch" and moment.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(copied, tmp_path, begin=lambda session, folder, choices: (leave,), checkpoint_s=0)
    assert [one["code"] for one in glia.open(tmp_path / "run").findings] == ["GL109"]
    found: list[Finding] = []
    run = glia.resume(tmp_path / "run", source=copied, found=found.append)
    assert found == [] and alarms(run) == ["GL109"]


def test_the_first_look_is_quick_and_leaves_the_session_alone() -> None:
    planned = plan(glia.Recipe.of(source=frame(50_000), target="label", model="mlp", lr=0.01, threads=1))
    model = glia.build("mlp", planned.data)
    session = Session(planned.recipe, planned.data, model)
    before, noise = {n: v.clone() for n, v in model.state_dict().items()}, torch.get_rng_state()
    look(session)
    began = time.process_time()
    seen = look(session)
    assert time.process_time() - began < 1.0
    assert torch.equal(noise, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert sum(seen.counts.values()) == len(planned.data.train)
    assert seen.splits["valid"].rows_valid == len(planned.data.valid or ())
