"""docs/run-folder.md against real runs: every file is named, kept as the page says, and read without glia."""

import json
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest

import glia

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "run-folder.md").read_text("utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]
KEPT = {name: row[-1] for row in ROWS for name in re.findall(r"`([^`]+)`", row[0])}
ELSEWHERE = {"weights.json", "samples.json", "reproduction.json", "stalled.txt"}  # of other runs than these two
PLAIN = {"epochs": 2, "lr": 0.01, "baselines": False, "threads": 1, "checkpoint_s": 0, "trial_time": 0}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A table with all that can be asked for, and pictures."""
    folder = tmp_path_factory.mktemp("runs")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 12, 12, 1), dtype=np.uint8)
    np.savez(folder / "small.npz", images=pixels, labels=np.arange(60) % 3)
    table = glia.train("iris", runs=folder, name="table", model="mlp", tensorboard=True, **PLAIN)
    pictures = glia.train(folder / "small.npz", runs=folder, name="shown", model="lenet5", doctor=False, **PLAIN)
    return [table.folder, pictures.folder]


def files_of(run: Path) -> list[str]:
    return [path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()]


def row_of(name: str) -> str | None:
    return next((pattern for pattern in KEPT if fnmatchcase(name, pattern)), None)


def test_every_file_is_named_and_every_name_is_a_file(runs: list[Path]) -> None:
    found = {name: row_of(name) for run in runs for name in files_of(run)}
    assert not [name for name, row in found.items() if row is None]
    assert set(KEPT) - set(found.values()) == ELSEWHERE


def test_what_the_page_says_of_seals_is_so(runs: list[Path]) -> None:
    for run in runs:
        sealed = json.loads((run / "seals.json").read_text())["files"]
        for name in files_of(run):
            how, manifest = KEPT[row_of(name) or ""], run / Path(name).parts[0] / "manifest.json"
            if name.startswith("checkpoints/"):
                manifest = (run / name).parent / "manifest.json"
            assert how.startswith("sealed") == (name in sealed), name
            if how == "listed":
                assert str((run / name).relative_to(manifest.parent)) in json.loads(manifest.read_text())["files"]


def test_it_is_read_without_glia(runs: list[Path], tmp_path: Path) -> None:
    shutil.copytree(runs[0], tmp_path / "runs" / "titanic")
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(code) == 1
    words = [sys.executable, "-c", f"import sys\nsys.modules['glia'] = sys.modules['torch'] = None\n{code[0]}"]
    answer = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    epochs, loss, weights, rows = answer.stdout.split()
    run = glia.open(runs[0])
    assert (int(epochs), float(loss)) == (2, run.history["valid_loss"][-1])
    assert int(weights) == sum(tensor.numel() for tensor in run.model.state_dict().values()) and int(rows) > 10
    for name in ("metrics.json", "chart.jsonl", "model/best.safetensors"):
        path = tmp_path / "runs" / "titanic" / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
        again = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert again.returncode == 1 and "AssertionError" in again.stderr, name
        path.write_bytes(whole)
