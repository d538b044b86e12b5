"""strace ends or fails system calls of real saves; a reader of its own looks at what is left."""

from pathlib import Path

import pytest

import glia
from glia import disk
from torture import from_outside


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    why = from_outside.problem()
    if why:
        pytest.skip(why)
    settings = {"epochs": 2, "checkpoint_s": 0, "baselines": False, "doctor": False, "threads": 1, "lr": 0.01}
    return glia.train("iris", model="mlp", runs=tmp_path_factory.mktemp("runs"), **settings).folder


def test_system_calls_that_fail_or_are_the_last(made: Path) -> None:
    found = from_outside.tried(12, made, lambda line: None)
    assert found.held and found.tried == 12, found.failed


def test_a_save_in_place_would_be_found_out(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The experiment itself: a folder that is written where it stands is torn by a kill."""

    def in_place(target: Path, files: dict[str, bytes]) -> None:
        for name, data in files.items():
            disk.os.unlink(target / name)
            disk._new_file(target / name, data)

    monkeypatch.setattr(disk, "write_folder", in_place)
    point = from_outside.Point("model", "write", 1, "kill")
    assert from_outside._problem(point, made, made.parent / "copy")
