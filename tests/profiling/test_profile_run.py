"""A run of glia: put together again, trained in memory, and nothing is written into it."""

import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn

import glia


@pytest.fixture(autouse=True)
def known_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glia.profiling.profile.peak", lambda device: {"float32": 1e11, "bfloat16": 2e11})


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    run = glia.train("iris", name="iris", runs=runs, epochs=4, model="mlp", ema=0.9, baselines=False, lr=0.01)
    return run.folder


def sums(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_run_is_profiled_and_stays_as_it_is(iris: Path) -> None:
    before, drawn = sums(iris), torch.get_rng_state()
    found = glia.profile(iris, trial_seconds=1)
    assert sums(iris) == before
    assert torch.equal(torch.get_rng_state(), drawn)
    assert sum(found.shares.values()) == pytest.approx(1)
    assert {"data", "optimiser", "logging", "doctor"} <= set(found.shares)
    assert found.steps >= 10 and found.rows and found.flops > 0
    assert found.parts and found.trials
    assert all(trial.change.how for trial in found.trials)
    threads = [trial for trial in found.trials if "thread" in trial.change.name]
    assert all(trial.change.how.startswith("threads=") for trial in threads)
    assert iris.name in found.page()


def test_steps_that_are_replayed_are_timed_so(iris: Path) -> None:
    """Listening to modules would keep them from it."""
    found = glia.profile(iris, seconds=0.5, trial_seconds=0)
    assert "replayed" in found.shares and "forward" not in found.shares
    assert any("replayed as one" in note for note in found.notes)
    assert "as the step is written" in found.page()
    written = sum(part.total for part in found.parts)
    assert found.compute < written, "the step on copies is the one that the run makes"


def test_so_many_steps_are_timed_as_were_asked_for(iris: Path) -> None:
    assert glia.profile(glia.open(iris), steps=6, trial_seconds=0).steps == 3  # the first three settle


def test_a_run_of_other_data_is_refused(iris: Path) -> None:
    rows = torch.randn(40, 4), torch.randint(0, 3, (40,))
    with pytest.raises(glia.GliaError, match="are not those that"):
        glia.profile(iris, data=rows)


def test_a_network_of_ones_own_has_to_be_given(tmp_path: Path) -> None:
    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))

    rows = torch.randn(60, 4), torch.randint(0, 3, (60,))
    run = glia.train(model=network(), data=rows, name="own", runs=tmp_path, epochs=2, lr=0.01, baselines=False)
    with pytest.raises(glia.GliaError, match="one of your own"):
        glia.profile(run.folder)
    with pytest.raises(glia.GliaError, match="data in memory"):
        glia.profile(run.folder, model=network())
    found = glia.profile(run.folder, model=network(), data=rows, trial_seconds=0)
    assert any(part.kind == "Tanh" for root in found.parts for part in root.all())
