"""Whichever operation of a save fails or is the last: a good checkpoint, a readable run, one clear line."""

from pathlib import Path

import pytest

import glia
from glia import disk
from glia.torture import crash_points
from glia.torture.crash_points import FAULTS, Point, tried


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = {"epochs": 3, "checkpoint_s": 0, "baselines": False, "doctor": False, "threads": 1}
    return glia.train("iris", runs=tmp_path_factory.mktemp("runs"), **settings).folder


def test_some_of_all_crash_points(whole: Path) -> None:
    found = crash_points.run(40, whole, lambda line: None)
    assert found.held and found.tried == 40, found.failed


@pytest.mark.parametrize("fault", FAULTS)
def test_a_save_in_place_would_be_found_out(
    whole: Path, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The experiment itself: a file that is overwritten where it stands is torn at some point."""

    def in_place(path: Path, content: bytes | str) -> None:
        handle = disk.os.open(path, disk.os.O_WRONLY | disk.os.O_CREAT | disk.os.O_TRUNC, 0o666)
        disk._write(handle, content.encode() if isinstance(content, str) else content)
        disk.os.close(handle)

    monkeypatch.setattr(disk, "write_file", in_place)
    place = tmp_path / "runs" / "run"
    problems = [tried(Point("a JSON file", fault, at), whole, place) for at in range(1, 5)]
    assert any(problems)
