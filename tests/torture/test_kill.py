"""The kill loop in small numbers, and what it judges by."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from glia import disk
from glia.errors import GliaError
from glia.torture.whole import differences, newest, problem_of
from glia.torture.zygote import Zygote
from torture import kill


def test_a_run_that_is_killed_again_and_again_ends_as_the_one_that_was_not(tmp_path: Path) -> None:
    result = kill.run(kill.SMALL, tmp_path, lambda line: None)
    assert not result.failed, "\n".join(result.failed)
    assert result.tried == kill.SMALL
    assert int(result.figures["killed inside a save"]) and int(result.figures["runs completed"]) >= 8


def test_nothing_is_computed_before_a_fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "computes.py").write_text("import torch\ntorch.ones(400, 400) @ torch.ones(400, 400)\ndef f(): pass\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    with Zygote(threads=2) as zygote:
        assert zygote.live("os.path:exists", {"path": "/"}, log=tmp_path / "log")["code"] == 0
        told = zygote.live("time:sleep", {"secs": 60}, log=tmp_path / "log", kill_after=0.05)
        assert told["code"] == -9 or "sleep" in (tmp_path / "log").read_text()
        with pytest.raises(GliaError, match="threads before a fork"):
            zygote.live("computes:f", {}, log=tmp_path / "log")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder with two checkpoints, as far as the judge looks."""
    for step in (1, 2):
        files = {"state.json": b"{}", "state.safetensors": safetensors.torch.save({"w": torch.full((5,), step)})}
        disk.write_folder(tmp_path / "run" / "checkpoints" / f"step-{step:09d}", files)
    disk.write_file(tmp_path / "run" / "chart.jsonl", '{"step": 1}\n{"step": 2}\n')
    return tmp_path / "run"


def same_json(content: bytes, other: bytes) -> bool:
    """A flipped bit in white space may say the same."""
    return json.loads(content) == json.loads(other)


def test_every_flipped_bit_of_a_checkpoint_is_seen(run: Path) -> None:
    step, wrong = newest(run)
    assert (step, wrong) == (2, None)
    folder = run / "checkpoints" / "step-000000002"
    for path in folder.iterdir():
        whole = path.read_bytes()
        for place in range(0, len(whole), 7):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            assert problem_of(folder) or same_json(path.read_bytes(), whole), (path, place)
        path.write_bytes(whole[:-1])
        assert problem_of(folder)
        path.write_bytes(whole)
    (folder / "state.json").unlink()
    assert "state.json" in str(newest(run)[1])


def test_a_line_too_many_or_another_last_state_is_a_difference(run: Path, tmp_path: Path) -> None:
    other = shutil.copytree(run, tmp_path / "other")
    assert differences(run, other) == []
    disk.write_file(run / "chart.jsonl", '{"step": 1}\n{"step": 2}\n{"step": 2}\n')
    assert differences(run, other) == ["chart.jsonl"]
    disk.write_file(run / "chart.jsonl", (other / "chart.jsonl").read_bytes())
    sealed = run / "checkpoints" / "step-000000002"
    files = {"state.json": b"{}", "state.safetensors": safetensors.torch.save({"w": torch.full((5,), 3)})}
    disk.write_folder(sealed, files)
    assert differences(run, other) == ["checkpoints/step-000000002/state.safetensors"]
    disk.remove_folder(sealed)
    assert differences(run, other) == ["last checkpoint: step 1, not 2"]


def test_the_manifest_is_read_by_means_of_its_own(run: Path) -> None:
    folder = run / "checkpoints" / "step-000000002"
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, facts in manifest["files"].items():
        assert facts["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
