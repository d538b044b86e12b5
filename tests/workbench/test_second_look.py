"""The second look: a run that failed has its cures tried on copies; a sound run pays nothing, and no run is changed."""

import json
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import glia
from glia.doctor.finding import Finding, Remedy, Trial
from glia.recipe import Recipe
from glia.training.nonfinite import NonFinite
from glia.workbench import checkup as checking
from glia.workbench.plan import plan
from glia.workbench.secondlook import Tried, as_typed, budget, first_weights, joined, rehearsed, typed
from glia.workbench.session import Session


def frame(rows: int = 400) -> pl.DataFrame:
    """Two columns that say the label together."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=rows), rng.normal(size=rows)
    label = np.where(a + b + 0.3 * rng.normal(size=rows) > 0, "yes", "no")
    return pl.DataFrame({"a": a, "b": b, "label": label})


def train(source: Any, folder: Path, **settings: Any) -> tuple[list[Finding], glia.Run]:
    found: list[Finding] = []
    fixed = {"target": "label", "model": "mlp", "epochs": 8, "threads": 1, "baselines": False}
    run = glia.train(source, runs=folder, found=found.append, **{**fixed, **settings})
    return found, run


def written(run: glia.Run) -> dict[str, Any]:
    return json.loads((run.folder / "findings.json").read_text())


def test_a_rate_that_is_far_too_low_gets_one_that_was_tried(tmp_path: Path) -> None:
    found, sick = train(frame(), tmp_path, lr=1e-7)
    told = {f.code: f for f in found}["GL313"]
    remedy = told.remedies[0]
    assert remedy.says.startswith("--lr ") and remedy.trial is not None
    assert remedy.trial.metric.startswith("held-out") and remedy.trial.after > remedy.trial.before + 0.2
    kept = next(one for one in sick.findings if one["code"] == "GL313")
    assert kept["remedies"][0]["says"] == remedy.says
    assert written(sick)["trials"]["count"] >= 1
    assert remedy.says in sick.report().read_text()
    # What it says can be given back as it stands, and the run is cured.
    cured = train(frame(), tmp_path, **{"lr": 1e-7, **kept["remedies"][0]["change"]})[1]
    assert cured.metrics["test"]["accuracy"] > sick.metrics["test"]["accuracy"] + 0.2
    assert "trials" not in written(cured)


def test_a_sound_run_pays_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "second_look", lambda *_, **__: pytest.fail("a sound run was looked at twice"))
    found, run = train(frame(), tmp_path, lr=0.01)
    assert found == [] and "trials" not in written(run) and written(run)["notes"] == []


def test_the_run_itself_is_the_same_to_the_bit(tmp_path: Path) -> None:
    noise, handler = torch.get_rng_state(), signal.getsignal(signal.SIGINT)
    runs = [train(frame(), tmp_path, lr=1e-7, dropout=0.2, doctor=doctor)[1] for doctor in (True, False)]
    assert "trials" in written(runs[0])
    for name in ("chart.jsonl", "curves.json", "metrics.json"):
        assert (runs[0].folder / name).read_bytes() == (runs[1].folder / name).read_bytes()
    weights = [run.model.state_dict() for run in runs]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not runs[0].model.training
    assert torch.equal(noise, torch.get_rng_state()) and signal.getsignal(signal.SIGINT) is handler
    assert torch.get_num_threads() == 1


def test_the_budget() -> None:
    """A fifth of the run's time and at least five seconds; what was asked for is all that there is."""
    assert budget(Recipe(), 10.0) == 5.0
    assert budget(Recipe(), 100.0) == 20.0
    assert budget(Recipe.of(trial_time=3), 100.0) == 3.0
    with pytest.raises(glia.GliaError, match="trial_time"):
        Recipe.of(trial_time=-1)


def test_the_budget_holds(tmp_path: Path) -> None:
    run = train(frame(4000), tmp_path, lr=1e-7, trial_time=0.5)[1]
    assert written(run)["trials"]["seconds"] < 1.5  # the trial under way is finished
    began = time.process_time()
    run = train(frame(), tmp_path, lr=1e-7, trial_time=0)[1]
    assert "trials" not in written(run) and time.process_time() - began < 4
    assert [one["code"] for one in run.findings] == ["GL313"]


def test_a_run_that_diverges_is_told_what_would_not(tmp_path: Path) -> None:
    found: list[Finding] = []
    settings: dict[str, Any] = {"model": "mlp", "optimizer": "sgd", "clip": 0.0, "epochs": 3, "threads": 1}
    with pytest.raises(NonFinite):
        glia.train("digits", runs=tmp_path, found=found.append, lr=1000.0, **settings)
    run = glia.open(tmp_path / "digits")
    first, second = run.findings[:2]
    assert first["code"] == "GL302" and first["severity"] == "error"  # it happened
    assert second["code"] == "GL313" and second["remedies"][0]["change"]["lr"] < 10
    assert [f.code for f in found] == ["GL313", "GL302", "GL313"]  # before the first step, and with its trials
    cured = glia.train("digits", runs=tmp_path, baselines=False, **{**settings, **second["remedies"][-1]["change"]})
    assert cured.metrics["test"]["accuracy"] > 0.8


class Zeros(nn.Module):
    """All first weights are 0."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x.float() / 16)


def test_a_network_of_ones_own(tmp_path: Path) -> None:
    data = glia.prepare("digits")
    run = train(None, tmp_path, data=data, model=Zeros(), lr=0.01, force=True)[1]
    first = run.findings[0]
    assert first["code"] == "GL205" and first["remedies"][-1]["says"] == "in the network: init default"
    trial = first["remedies"][-1]["trial"]
    assert trial["after"] > trial["before"] + 0.5


def test_all_rows_are_seen_whatever_the_rate() -> None:
    """Also of an ensemble whose members each leave out a fold, and a rate at which the first step breaks everything."""
    for model in ("mlp", "folds"):
        planned = plan(Recipe.of(source=frame(), target="label", model=model, lr=1e6, threads=1, device="cpu"))
        session = Session(planned.recipe, planned.data, glia.build(model, planned.data))
        start = first_weights(session.model)
        assert start is not None
        bench = rehearsed(session, start, 10.0)
        assert bench is not None and bench.answers is not None and bench.answers.kind == "classes"
        assert bench.rows == len(planned.data.train)
        assert (bench.held is None) == (planned.data.valid is None)
        for name, value in session.model.state_dict().items():
            assert torch.equal(value, start.state_dict()[name])


def test_what_can_be_typed() -> None:
    recipe = Recipe.of(model="mlp", epochs=3, patience=10, weight_decay=0.01)
    assert typed({"lr": 0.003, "clip_norm": 1.0}, recipe) == ({"lr": 0.003, "clip": 1.0}, {})
    assert typed({"hidden_activation": "relu"}, recipe) == ({"activation": "relu"}, {})
    assert typed({"hidden_activation": "relu"}, recipe.updated(model="custom")) == ({}, {"hidden_activation": "relu"})
    # A longer run must not end early, and torch's Adam does not decay.
    assert typed({"epochs": 12}, recipe)[0] == {"epochs": 12, "patience": 0}
    settings = typed({"optimizer": "Adam", "lr": 0.01}, recipe)[0]
    assert settings == {"optimizer": "adam", "weight_decay": 0.0, "lr": 0.01}
    assert as_typed(settings) == "--optimizer adam --weight-decay 0 --lr 0.01"
    Recipe.of(**settings)


def finding(code: str, *, sure: bool = False, severity: str = "warning") -> Finding:
    return Finding(code, code, severity, "lr_too_low", "here", {}, "why", "cure", False, sure=sure)  # type: ignore[arg-type]


def test_what_trials_do_not_support_becomes_a_note() -> None:
    remedy = Remedy({"lr": 0.1}, "--lr 0.1", Trial("held-out accuracy", 0.1, 0.9, 100))
    helps = replace(finding("GL313"), remedies=(remedy,))
    now = [finding("GL301"), finding("GL311"), finding("GL110", sure=True), finding("GL313")]
    tried = Tried([helps], True, frozenset({"GL311"}), frozenset({"GL301"}), 3, 1.0)
    told = {f.code: f for f in joined(now, tried)}
    assert told["GL313"] == helps and told["GL110"].alarms and told["GL311"].alarms
    assert not told["GL301"].alarms and "did not help" in told["GL301"].why
    new = finding("GL316")
    assert joined([], Tried([new], True, frozenset(), frozenset(), 3, 1.0)) == [new]
    # Where nothing helps, a run that failed is still told that it did.
    alone = joined([finding("GL301")], Tried([], False, frozenset(), frozenset({"GL301"}), 3, 1.0))
    assert [f.severity for f in alone] == ["warning"]


def test_ctrl_c_ends_the_trials_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checking, "second_look", stopped)
    run = train(frame(), tmp_path, lr=1e-7)[1]
    assert json.loads((run.folder / "status.json").read_text())["state"] == "finished"
    assert [one["code"] for one in run.findings] == ["GL313"] and "ended early" in written(run)["notes"][0]


def test_batches_that_come_slowly(tmp_path: Path) -> None:
    def slow(x: Any, y: Any, *_: Any) -> tuple[Any, Any]:
        time.sleep(0.006)
        return x, y

    data = glia.prepare(frame(), target="label")
    late = replace(data, train=replace(data.train, augment=slow))
    run = train(None, tmp_path, data=late, lr=0.01, batch_size=32)[1]
    assert [one["code"] for one in run.findings] == ["GL501"]
    assert 0.006 <= run.findings[0]["figures"]["wait_s"] < 0.06
    assert run.findings[0]["remedies"][0]["says"].startswith("--workers ")
