"""A stranger's script, unchanged: its numbers stay, and what is slow in it is told by its name."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import glia

PLAIN = """
import time
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(3)
SLEEP = {sleep}


class Rows(TensorDataset):
    def __getitem__(self, i):
        time.sleep(SLEEP.get("data", 0) / 16)
        return super().__getitem__(i)


class Block(nn.Module):
    def forward(self, x):
        time.sleep(SLEEP.get("forward", 0))
        return x.relu()


class Adam(torch.optim.Adam):
    def step(self, closure=None):
        time.sleep(SLEEP.get("optimiser", 0))
        return super().step(closure)


x = torch.randn(320, 12)
y = (x[:, 0] > 0).long()
train, valid = Rows(x[:240], y[:240]), TensorDataset(x[240:], y[240:])
model = nn.Sequential(nn.Linear(12, 16), Block(), nn.Dropout(0.2), nn.Linear(16, 2))
torch.optim.Adam([nn.Parameter(torch.zeros(1))])  # from now on torch has hooks in the parent's step too
optimizer = Adam(model.parameters(), lr=0.01)
for epoch in range(3):
    total = 0.0
    for inputs, labels in DataLoader(train, batch_size=16, shuffle=True):
        loss = nn.functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        time.sleep(SLEEP.get("rest", 0))
        total += loss.item()
    model.eval()
    for inputs, labels in DataLoader(valid, batch_size=40):
        with torch.no_grad():
            total += nn.functional.cross_entropy(model(inputs), labels).item()
            time.sleep(SLEEP.get("evaluation", 0))
    model.train()
    print(epoch, repr(total), torch.rand(1).item())
print(repr(sum(p.double().sum().item() for p in model.parameters())))
"""


@pytest.fixture(autouse=True)
def known_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring it takes a second each time."""
    monkeypatch.setattr("glia.profiling.profile.peak", lambda device: {"float32": 1e11, "bfloat16": 2e11})


def script(folder: Path, text: str = PLAIN, **sleep: float) -> Path:
    path = folder / "train.py"
    path.write_text(text.replace("{sleep}", repr(sleep)))
    return path


def test_its_numbers_are_those_it_has_alone(tmp_path: Path) -> None:
    path = script(tmp_path)
    alone = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True).stdout
    command = [sys.executable, "-m", "glia", "profile", path, "--trial-time", "0", "--out", tmp_path / "page.html"]
    watched = subprocess.run(command, capture_output=True, text=True, check=True)
    assert watched.stdout.startswith(alone)
    assert "optimiser" in watched.stdout[len(alone) :]
    page = (tmp_path / "page.html").read_text()
    assert "Where the time goes" in page and "Block" in page and "<script" not in page


@pytest.mark.parametrize("slow", ["data", "forward", "optimiser", "rest"])
def test_what_sleeps_is_the_largest(tmp_path: Path, slow: str) -> None:
    found = glia.profile(script(tmp_path, **{slow: 0.008}), trial_seconds=0)
    assert sum(found.shares.values()) == pytest.approx(1)
    assert max(found.shares, key=found.shares.__getitem__) == slow
    assert found.phases[slow] == pytest.approx(0.008, rel=0.5)
    assert found.step == pytest.approx(sum(found.phases.values()), rel=0.5)
    assert found.steps == 3 * 15 - 8  # those whose rows were kept are not counted
    if slow == "forward":
        parts = [part for root in found.parts for part in root.all()]
        assert max(parts, key=lambda part: part.own).kind == "Block"


def test_looking_at_other_rows_is_no_part_of_a_step(tmp_path: Path) -> None:
    found = glia.profile(script(tmp_path, evaluation=0.02), trial_seconds=0)
    assert found.evaluation == pytest.approx(6 * 0.02, rel=0.5)
    assert sum(found.phases.values()) < 0.01


def test_ways_of_loading_are_tried_where_batches_are_what_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glia.profiling.trials.PATIENCE", 100.0)  # a busy machine gets the same turns, if late
    found = glia.profile(script(tmp_path, data=0.008), trial_seconds=5)
    tried = {trial.change.name: trial for trial in found.trials}
    assert {"rows held in memory", "batches fetched at once"} <= set(tried)
    held = tried["rows held in memory"]
    assert held in found.best and held.faster > 3 and held.per == "a step with its batch"
    assert held.numbers.startswith("the same rows")
    assert found.to_dict()["best"]


def test_a_script_whose_step_cannot_be_made_again_is_timed_all_the_same(tmp_path: Path) -> None:
    text = """
import torch
w = torch.zeros(3, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for _ in range(20):
    optimizer.zero_grad()
    ((w - 1) ** 2).sum().backward()
    optimizer.step()
"""
    found = glia.profile(script(tmp_path, text))
    assert sum(found.shares.values()) == pytest.approx(1)
    assert not found.trials and not found.parts
    assert any("modules were not timed" in note for note in found.notes)
    assert found.page()


def test_a_script_may_be_ended_early(tmp_path: Path) -> None:
    found = glia.profile(script(tmp_path), steps=20, trial_seconds=0)
    assert found.steps == 12
    assert any("ended early" in note for note in found.notes)


@pytest.mark.parametrize(
    ("text", "said"),
    [("x = 1\n", "train.py never trains; got no step"), ("raise ValueError('no data')\n", "got ValueError: no data")],
)
def test_a_script_that_never_steps_is_told_so(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(glia.GliaError, match=said):
        glia.profile(script(tmp_path, text))


def test_what_is_no_script_and_no_run_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(glia.GliaError, match="no such script"):
        glia.profile(tmp_path / "no.py")
    with pytest.raises(glia.GliaError, match="is not a run folder"):
        glia.profile(tmp_path)
    assert torch.is_grad_enabled()
