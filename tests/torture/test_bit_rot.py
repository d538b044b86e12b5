"""Damage of every kind in every file of a real run is found: by verify, and by who reads the file."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import glia
from glia.errors import DamagedError, GliaError
from glia.report.read import read_run
from glia.runs import checkpoint
from glia.runs.verify import verify
from glia.torture import bit_rot

SETTINGS: dict[str, Any] = {"epochs": 3, "checkpoint_s": 0, "baselines": False, "doctor": False, "threads": 1}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return glia.train("iris", runs=tmp_path_factory.mktemp("runs"), **SETTINGS).folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def flip(path: Path, place: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 4
    path.write_bytes(content)


def test_every_flip_is_found(whole: Path) -> None:
    found = bit_rot.run(500, whole, lambda line: None)
    assert found.held and found.tried > 600, found.failed
    assert {one.state for one in verify(whole)} == {"whole"}, "the run itself was touched"


READERS: dict[str, Callable[[Path], Any]] = {
    "recipe.toml": lambda run: glia.open(run).recipe,
    "status.json": lambda run: glia.open(run).status,
    "metrics.json": lambda run: glia.open(run).metrics,
    "chart.jsonl": lambda run: glia.open(run).history,
    "model/best.safetensors": lambda run: glia.open(run).evaluate("iris"),
    "model/manifest.json": lambda run: glia.open(run).evaluate("iris"),
    "seals.json": lambda run: glia.open(run).recipe,
}


@pytest.mark.parametrize("name", READERS)
def test_who_reads_a_damaged_file_says_so(run: Path, name: str) -> None:
    flip(run / name)
    with pytest.raises(GliaError) as error:
        READERS[name](run)
    assert name.rpartition("/")[2] in str(error.value) and "damaged" in str(error.value)


@pytest.mark.parametrize("name", ["metrics.json", "curves.json", "chart.jsonl", "predictions/test.safetensors"])
def test_the_page_leaves_out_what_is_damaged_and_names_it(run: Path, name: str) -> None:
    flip(run / name)
    assert name in read_run(run).unread


def test_resume_goes_back_one_checkpoint_and_refuses_a_damaged_chart(run: Path) -> None:
    (run / "status.json").unlink()
    (run / "seals.json").unlink()
    newest = max((run / "checkpoints").iterdir())
    flip(newest / "state.safetensors", 1)
    told: list[str] = []
    assert glia.resume(run, tell=told.append).status["state"] == "finished"
    assert sum("damaged" in line for line in told) == 1
    assert newest == max((run / "checkpoints").iterdir()), "and the same step is saved again"
    assert not [one for one in verify(run) if one.state == "damaged" and one.name != "seals.json"]


def test_a_chart_that_is_damaged_stops_a_resume_until_it_is_moved_away(run: Path) -> None:
    status = run / "status.json"
    folder = glia.runs.folder.RunFolder(run)
    folder.write_json("status.json", folder.read_json("status.json") | {"state": "stopped"})
    flip(run / "chart.jsonl")
    with pytest.raises(DamagedError, match=r"chart\.jsonl is damaged.*move it away"):
        glia.resume(run)
    (run / "chart.jsonl").unlink()
    assert glia.resume(run).status["state"] == "finished" and status.exists()


def test_what_a_person_may_change_is_only_told(run: Path) -> None:
    (run / "report.html").write_text("mine")
    (run / "notes.txt").write_text("mine")
    states = {one.name: one.state for one in verify(run)}
    assert states["report.html"] == "changed" and states["notes.txt"] == "unknown"
    assert set(states.values()) == {"whole", "changed", "unknown"}


def test_a_run_without_its_seals(run: Path) -> None:
    (run / "seals.json").unlink()
    assert ("seals.json", "damaged", "missing") in verify(run)
    assert glia.open(run).status["state"] == "finished", "but it opens, as runs of earlier versions do"


def test_a_lost_checkpoint_or_model_is_missed(run: Path) -> None:
    shutil.rmtree(run / "model")
    shutil.rmtree(max((run / "checkpoints").iterdir()))
    lost = [one.name for one in verify(run) if one.state == "damaged"]
    assert len(lost) == 2 and "model/" in lost
    assert checkpoint.latest(run) is not None, "the one before it"
