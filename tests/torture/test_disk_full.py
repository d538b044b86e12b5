"""A disk that fills up while a real run is saved, and one that refuses what a run can do without."""

from pathlib import Path
from typing import Any

import pytest

import glia
from torture import disk_full


def test_runs_that_run_out_of_room(tmp_path: Path) -> None:
    found = disk_full.run(3, tmp_path, lambda line: None)
    assert found.held and found.tried == 3, found.failed
    assert found.figures["refused"], "nothing was refused"


def test_a_limit_on_files_where_no_disk_can_be_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_full, "_mount", lambda *_: 1)
    found = disk_full.run(1, tmp_path, lambda line: None)
    assert found.held and "limit" in found.figures["by"], found.failed


def test_charts_that_the_disk_refuses_do_not_stop_a_run(tmp_path: Path) -> None:
    """A plain file stands where the folder of TensorBoard's files should be made."""
    told: list[str] = []

    def begin(session: Any, folder: Any, choices: Any) -> tuple[()]:
        (folder.path / "tensorboard").write_text("in the way")
        return ()

    settings = {"epochs": 2, "lr": 0.01, "baselines": False, "doctor": False, "threads": 1, "model": "mlp"}
    run = glia.train("iris", runs=tmp_path, tensorboard=True, begin=begin, tell=told.append, **settings)
    assert run.status["state"] == "finished"
    assert sum("TensorBoard" in line for line in told) == 1
