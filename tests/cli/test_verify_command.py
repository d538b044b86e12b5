"""glia verify, as a person meets it: one word a file, exit code 2 and a name where one is not what was written."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import glia
from glia.cli.main import main

Verify = Callable[[Path], tuple[int, str, str]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = {"epochs": 2, "lr": 0.01, "checkpoint_s": 0, "baselines": False, "doctor": False, "threads": 1}
    return glia.train("iris", runs=tmp_path_factory.mktemp("runs"), tensorboard=True, **settings).folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verify:
    """(exit code, output, errors)"""

    def verified(run: Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["glia", "verify", str(run)])
        monkeypatch.setenv("COLUMNS", "200")
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return verified


def states(output: str) -> dict[str, str]:
    """What was said of each file."""
    return {name: state for state, name in (line.split()[:2] for line in output.splitlines())}


def test_a_whole_run(run: Path, verify: Verify) -> None:
    (run / "model.onnx").write_bytes(b"as `glia export` may have written it")
    (run / "[red]notes.txt").write_text("mine")
    code, out, err = verify(run)
    told = states(out)
    assert code == 0 and not err
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file() and path.name[0] != "."}
    assert files <= set(told), "every file is told of"
    other = {name: state for name, state in told.items() if state != "whole"}
    events = {name for name in files if name.startswith("tensorboard/")}
    assert events and other == dict.fromkeys({"model.onnx", *events}, "derived") | {"[red]notes.txt": "unknown"}


@pytest.mark.parametrize(
    "name", ["recipe.toml", "chart.jsonl", "hashes.jsonl", "metrics.json", "model/best.safetensors", "seals.json"]
)
def test_one_flipped_byte_or_a_deleted_file(run: Path, verify: Verify, name: str) -> None:
    content = bytearray((run / name).read_bytes())
    content[len(content) // 2] ^= 1
    (run / name).write_bytes(content)
    for what in ("flipped", "deleted") if name != "recipe.toml" else ("flipped",):  # without it there is no run
        code, out, err = verify(run)
        assert code == 2 and err.count("\n") == 1 and name in err and "1 of" in err, (what, err)
        assert states(out)[name] == "damaged"
        (run / name).unlink(missing_ok=True)


def test_a_page_that_was_edited_is_no_damage(run: Path, verify: Verify) -> None:
    (run / "report.html").write_text("mine")
    code, out, _ = verify(run)
    assert code == 0 and states(out)["report.html"] == "changed"
