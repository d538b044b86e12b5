"""A disk that fills up while a real run is saved, and one that refuses what a run can do without."""

import contextlib
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


def test_charts_whose_disk_fills_up_do_not_stop_a_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """TensorBoard's folder is a small disk of its own; what was written before it was full can still be read."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    place, told = tmp_path / "run" / "tensorboard", list[str]()
    with contextlib.ExitStack() as stack:

        def begin(session: Any, folder: Any, choices: Any) -> tuple[()]:
            small = stack.enter_context(disk_full.small_disk(place))
            if not small.mounted:
                pytest.skip("no disk can be mounted here")
            small.resize(2 * disk_full.PAGE)  # one for the folder itself
            return ()

        settings = {"epochs": 30, "lr": 0.01, "baselines": False, "doctor": False, "threads": 1, "model": "mlp"}
        settings |= {"runs": tmp_path, "name": "run", "batch_size": 16}
        run = glia.train("iris", tensorboard=True, begin=begin, tell=told.append, **settings)
        assert run.status["state"] == "finished" and len(run.history["epoch"]) == 30
        lines = [line for line in told if "TensorBoard" in line]
        assert len(lines) == 1 and "the disk is full" in lines[0], told
        assert capfd.readouterr().err == ""
        read = EventAccumulator(str(place)).Reload().Scalars("loss/train")
        assert [point.step for point in read] == list(range(1, len(read) + 1)) and 0 < len(read) < 30
