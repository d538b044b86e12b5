"""Pace: what is fastest is chosen, what is chosen is kept, and nothing is tried where it could not pay."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import glia
from glia.data.batches import Batches
from glia.runs.folder import RunFolder
from glia.training import pace as room
from glia.training.feed import Feed
from glia.training.numbers import Numbers, exact_onednn, fast_bfloat16
from glia.training.pace import Trial, Way, choose_pace
from glia.training.steps import supervised

PLAIN = Way(Numbers(), 2)


class Timed(Trial):
    """Steps take as long as they are told to."""

    took: dict[Way, float]

    def time(self, way: Way) -> float:
        return self.took[way]

    cost = time


def trial(model: nn.Module, took: dict[Way, float]) -> Timed:
    rows = Batches(torch.randn(64, 8), torch.zeros(64, dtype=torch.int64), torch.arange(64))
    made = Timed(model, Feed.of(rows, 16), supervised("cross_entropy"), lambda m: torch.optim.SGD(m.parameters(), 0.1))
    made.took = took
    return made


def ways(plain: float, half: float, onednn: float, alone: float) -> dict[Way, float]:
    took = {PLAIN: plain, Way(Numbers("bfloat16"), 2): half, Way(Numbers(products="onednn"), 2): onednn}
    return took | {way._replace(threads=1): alone for way in took}


@pytest.fixture(autouse=True)
def able(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(room, "fast_bfloat16", lambda device: True)
    monkeypatch.setattr(room, "exact_onednn", lambda: True)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("took", "expected"),
    [
        (ways(1.0, 0.5, 0.7, 9.0), Way(Numbers("bfloat16"), 2)),
        (ways(1.0, 0.9, 0.7, 9.0), Way(Numbers(products="onednn"), 2)),
        (ways(1.0, 0.92, 0.97, 9.0), PLAIN),  # too little to leave float32 for it
        (ways(1.0, 2.0, 2.0, 0.8), Way(Numbers(), 1)),
        (ways(1.0, 0.5, 0.7, 0.4), Way(Numbers("bfloat16"), 1)),
    ],
)
def test_the_fastest_way_that_is_worth_it_is_taken(took: dict[Way, float], expected: Way) -> None:
    chosen = choose_pace(
        trial(nn.Linear(8, 2), took), steps=1000, plain=PLAIN, formats=True, libraries=True, layouts=True, fewer=True
    )
    assert chosen is not None and chosen.way == expected
    assert torch.get_num_threads() == expected.threads
    assert (f"{took[PLAIN] / took[expected]:.1f} times as fast" in chosen.why) == (expected != PLAIN)


def test_measurements_and_short_runs_stay_as_they_are() -> None:
    took = ways(1.0, 0.1, 0.1, 0.1)
    every = {"plain": PLAIN, "formats": True, "libraries": True, "layouts": True, "fewer": True}
    chosen = choose_pace(trial(nn.Linear(8, 2), took), steps=1000, **{**every, "formats": False, "libraries": False})
    assert chosen is not None and chosen.way.numbers == Numbers()
    assert choose_pace(trial(nn.Linear(8, 2), took), steps=20, **every) is None  # 20 s of training


class Coarse(nn.Linear):
    """Goes wrong in half precision."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1e9 * (torch.is_autocast_enabled("cpu")) * torch.arange(2)


def test_a_format_that_changes_the_loss_is_left_out() -> None:
    took = ways(1.0, 0.1, 0.5, 9.0)
    every = {"formats": True, "libraries": True, "layouts": True, "fewer": False}
    chosen = choose_pace(trial(Coarse(8, 2), took), 1000, PLAIN, **every)
    assert chosen is not None and chosen.way.numbers == Numbers(products="onednn")


LAST = Way(Numbers(memory_format="channels_last"), 2)
HALF_LAST = Way(Numbers("bfloat16", memory_format="channels_last"), 2)


@pytest.mark.parametrize(
    ("last", "half_last", "expected"),
    [(0.6, 0.58, LAST), (0.6, 0.3, HALF_LAST), (0.97, 0.92, PLAIN)],  # a coarser format has to be worth it too
)
def test_the_order_of_pictures_is_tried_with_each_format(last: float, half_last: float, expected: Way) -> None:
    took = ways(1.0, 0.95, 1.0, 9.0) | {LAST: last, HALF_LAST: half_last}
    made = trial(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 2)), took)
    rows = Batches(torch.randn(64, 1, 8, 8), torch.zeros(64, dtype=torch.int64), torch.arange(64))
    made.batches = [next(Feed.of(rows, 16).epoch(0, 0))]
    every = {"formats": True, "libraries": True, "layouts": True, "fewer": False}
    chosen = choose_pace(made, 1000, PLAIN, **every)
    assert chosen is not None and chosen.way == expected
    assert ("channels last" in str(chosen.way)) == (expected != PLAIN)


def test_a_trial_leaves_the_model_alone() -> None:
    model = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    made = trial(model, {})
    for way in (Way(Numbers(), 1), Way(Numbers("bfloat16"), 1), Way(Numbers(products="onednn"), 1)):
        assert Trial.time(made, way) > 0
        assert made.loss(way) == pytest.approx(made.loss(Way(Numbers(), 1)), rel=0.05)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())


def test_onednn_is_exact_where_it_says_so() -> None:
    if not exact_onednn():
        pytest.skip("this CPU's oneDNN multiplies in bfloat16")
    drawn = torch.Generator().manual_seed(3)
    a, b = torch.randn(200, 300, generator=drawn), torch.randn(300, 100, generator=drawn)
    with Numbers(products="onednn").step():
        made = a @ b
    torch.testing.assert_close(made, (a.double() @ b.double()).float(), rtol=1e-5, atol=1e-4)
    assert fast_bfloat16(torch.device("cpu")) in (True, False)


@pytest.mark.parametrize(
    ("kind", "norm", "own_step", "expected"),
    [
        ("pictures", True, False, True),  # shown equal in benchmarks/FORMATS.md
        ("pictures", True, True, False),  # whatever the step may mean
        ("tensors of pictures", True, False, True),
        ("rows", True, False, False),
        ("rows", False, False, True),
    ],
)
def test_batch_norm_is_tried_in_bfloat16_on_classes_of_pictures_alone(
    kind: str, norm: bool, own_step: bool, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LEAST_S", 0.0)
    if kind == "pictures":
        source = tmp_path / "pictures.npz"
        drawn = np.random.default_rng(0)
        np.savez(
            source, x_train=drawn.integers(256, size=(120, 8, 8), dtype=np.uint8), y_train=drawn.integers(2, size=120)
        )
        given = {"source": source}
    else:
        shape = (120, 1, 8, 8) if kind == "tensors of pictures" else (120, 64)
        given = {"data": (256 * torch.rand(shape), torch.randint(2, (120,)))}
    model = nn.Sequential(Small(), nn.Flatten(), *([nn.BatchNorm1d(64)] if norm else []), nn.Linear(64, 2))
    if own_step:
        given["step"] = supervised("cross_entropy")
    run = glia.train(**given, model=model, epochs=1, runs=tmp_path, doctor=False, baselines=False)
    choices = json.loads((run.folder / "choices.json").read_text())
    why = next(choice["why"] for choice in choices if choice["setting"] == "precision")
    assert ("bfloat16" in why) == expected


class Small(nn.Module):
    """0..255 to 0..1."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float() / 255


def test_a_run_keeps_what_it_chose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LEAST_S", 0.0)
    monkeypatch.setattr(room, "WORTH", 0.0)  # whatever it costs
    monkeypatch.setattr(room, "COARSER", 0.0)
    data = (torch.randn(200, 8), torch.randint(2, (200,)))
    run = glia.train(data=data, model=nn.Sequential(nn.Linear(8, 2)), epochs=2, runs=tmp_path, doctor=False)
    said = next(
        choice for choice in json.loads((run.folder / "choices.json").read_text()) if choice["setting"] == "precision"
    )
    recipe = RunFolder.open(run.folder).recipe.train
    assert recipe.precision != "auto" and recipe.products != "auto" and recipe.threads
    assert said["value"].startswith(recipe.precision) and "ms a step" in said["why"]
    fixed = {"precision": "float32", "products": "torch", "threads": 1}
    given = glia.train(data=data, model=nn.Linear(8, 2), epochs=1, runs=tmp_path, doctor=False, **fixed)
    settled = RunFolder.open(given.folder).recipe.train
    assert {name: getattr(settled, name) for name in fixed} == fixed
