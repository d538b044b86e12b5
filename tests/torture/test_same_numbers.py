"""What must not matter, in small: every kind of run with some factor, every factor with some kind."""

import os
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import glia
from glia.cli import doctor as verb
from glia.errors import GliaError
from glia.recipe import Recipe
from glia.runs import compare
from glia.torture import kill_run, own_run, same_numbers, subject
from glia.torture.result import Result
from glia.torture.same_numbers import ALL_AT_ONCE, FACTORS, SameNumbers
from glia.torture.subject import PLAIN, Subject, shortened
from torture.same_numbers import cells, subjects

QUICK: dict[str, Any] = {"model": "mlp", "hidden": [16], "epochs": 3, "lr": 0.01, "threads": 1, **PLAIN}


def quiet(line: str) -> None:
    pass


def test_every_kind_and_every_factor(tmp_path: Path) -> None:
    trial, seen = SameNumbers(tmp_path / "runs", quiet), set()
    made = cells(tmp_path)
    for _ in range(3 * 8):
        one, factor = next(made)
        if not (factor.process or factor.beside):
            trial(one, factor)
            seen.add(factor.name)
    assert not trial.failed, "\n".join(trial.failed)
    assert seen == {factor.name for factor in FACTORS if not (factor.process or factor.beside)}
    assert len(trial.by_subject) == 8 and trial.tried >= 16


def test_other_processes(tmp_path: Path) -> None:
    trial = SameNumbers(tmp_path / "runs", quiet)
    by_name = {one.name: one for one in subjects(tmp_path)}
    command = next(factor for factor in FACTORS if factor.process == "command")
    trial(by_name["tabm-0"], command)
    trial(by_name["gpt-0"], replace(ALL_AT_ONCE, settings={**ALL_AT_ONCE.settings, "baselines": False}))
    assert not trial.failed, "\n".join(trial.failed)


class Restless(nn.Module):
    """Draws from a generator that no seed of the run sets."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.body(x) * (1 + 0.01 * random.random())
        return out


def restless() -> dict[str, Any]:
    torch.manual_seed(3)
    return {"model": Restless()}


def test_a_run_that_hangs_on_something_else_is_found_out(tmp_path: Path) -> None:
    mine = Subject("mine", Recipe.of(source="iris", **QUICK), "tests.torture.test_same_numbers:restless")
    trial = SameNumbers(tmp_path, quiet)
    stirred = next(factor for factor in FACTORS if factor.stirred)
    assert not trial(mine, stirred)
    assert trial.failed[0].startswith("mine (seed 0), global generators elsewhere: losses of steps, step 1 loss: ")
    rate = replace(stirred, name="another rate", settings={"lr": 0.011}, stirred=False)
    still = Subject("still", Recipe.of(source="iris", **QUICK))
    assert not trial(still, rate) and "last weights" not in trial.failed[1] and "more" in trial.failed[1]
    assert trial(still, stirred)
    late = replace(stirred, name="validation", settings={"valid_every": 2}, stirred=False)
    assert not trial(still, late) and "figures of epochs" in trial.failed[2]
    assert trial(still, replace(late, leaves_out=compare.BY_VALIDATION))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a user."""
    folder = tmp_path_factory.mktemp("kept")
    return glia.train("iris", **{**QUICK, "epochs": 6}, runs=folder, name="iris").folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_on_a_run_of_the_user_within_its_time(kept: Path, tmp_path: Path) -> None:
    one, note = shortened(kept, 1000.0)
    assert one.recipe.train.epochs == 6 and note == "6 of 6 epochs"
    made = same_numbers.on_run(kept, tmp_path / "work", 1.5, quiet)
    assert made.held and 1 <= made.tried < len(FACTORS), made


def test_a_long_run_is_made_short(kept: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(kept, tmp_path / "iris"))
    (run / "seals.json").unlink()  # it is to be tampered with
    (run / "clock.jsonl").write_text('{"epoch": 1, "seconds": 90}\n{"epoch": 2, "seconds": 20}\n{"epoch": 3, "seco')
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("epochs = 6", "epochs = 60"))
    one, note = shortened(run, 2200.0)
    assert one.recipe.train.epochs == 4 and one.recipe.data.limit_rows is None  # 4 of 55 s are a tenth
    data = run / "data.json"
    data.write_text(data.read_text().replace('"rows": 150', '"rows": 100000', 1))
    one, note = shortened(run, 220.0)
    assert one.recipe.train.epochs == subject.LEAST_EPOCHS and one.recipe.data.limit_rows == 20_000
    assert note == "2 of 60 epochs, 20,000 of 100,000 rows"
    recipe.write_text(recipe.read_text().replace('model = "mlp"', 'model = "custom"'))
    with pytest.raises(GliaError, match="cannot be trained again from its folder alone"):
        shortened(run, 10.0)


def test_a_life_begins_and_goes_on(tmp_path: Path) -> None:
    recipe = Recipe.of(source="iris", **{**QUICK, "checkpoint_s": 0.0}).to_toml()
    for name in ("whole", "cut"):
        kill_run.live(str(tmp_path / name), 0, recipe)
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "choices.json").write_text("[]")  # killed before there was a recipe
    kill_run.live(str(tmp_path / "begun"), 1, recipe)
    status = tmp_path / "cut" / "status.json"
    (tmp_path / "cut" / "seals.json").unlink()
    status.write_text(status.read_text().replace('"finished"', '"running"'))
    kill_run.live(str(tmp_path / "cut"), 2, recipe)
    kill_run.live(str(tmp_path / "cut"), 2, recipe)  # nothing is left to do
    for name in ("cut", "begun"):
        assert not compare.differences(tmp_path / "whole", tmp_path / name)


def test_the_experiments_see_a_copy_and_the_command_says_what_came_of_them(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(own_run.experiments()) == {"bit rot", "crash points", "kill", "same-numbers"}
    before, seen = contents(kept), []

    def breaks(run: Path, folder: Path, seconds: float, tell: Any) -> Result:
        seen.append((run.name, os.listdir(folder), seconds))
        shutil.rmtree(run / "model")
        return Result("breaks", "it holds", 3, ("seed 7: the model is gone",))

    def refuses(run: Path, folder: Path, seconds: float, tell: Any) -> Result:
        assert (run / "model").is_dir()
        raise GliaError("this does not fit")

    def holds(run: Path, folder: Path, seconds: float, tell: Any) -> Result:
        return Result("holds", "it holds", 5)

    def told(**every: Any) -> tuple[int, str]:
        monkeypatch.setattr(own_run, "experiments", lambda: {name: ("it holds", one) for name, one in every.items()})
        with pytest.raises(SystemExit) as end:
            verb.torture(kept, seconds=30.0)
        return int(str(end.value.code)), capsys.readouterr().out

    code, said = told(breaks=breaks, refuses=refuses, holds=holds)
    assert code == 1 and "seed 7: the model is gone" in said and "not made: this does not fit" in said
    code, said = told(refuses=refuses, holds=holds)
    assert code == 0 and "all that was tried held" in said
    assert seen[0][:2] == ("iris", []) and 9 < seen[0][2] < 11
    with pytest.raises(GliaError, match="nothing could be tried"):
        told(refuses=refuses)
    assert contents(kept) == before
