"""Programs of other frameworks under the doctor. Skipped without them; `make test-frameworks` installs them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")  # without it Keras asks for another library
HERE = Path(__file__).resolve().parent
COMMAND = "import sys; from glia.cli.main import main; main()"
SICK = [
    ("lightning", "lr=1e-3", "lr=10.0", {"lr_too_high"}),
    ("lightning", "nn.Linear(64, 10))", "nn.Linear(64, 10), nn.ReLU(), nn.Softmax(1))", {"wrong_output_activation"}),
    ("transformers", "learning_rate=3e-3", "learning_rate=1e-8", {"lr_too_low"}),
]


def run(folder: Path, text: str) -> tuple[str, dict[str, Any], str]:
    """What the program printed alone, what the doctor answers, what the program printed under it."""
    script = folder / "program.py"
    script.write_text(text)
    alone = subprocess.run([sys.executable, str(script)], cwd=folder, capture_output=True, text=True, check=True)
    asked = [sys.executable, "-c", COMMAND, "doctor", str(script), "--format", "json", "--output", "answer.json"]
    seen = subprocess.run(asked, cwd=folder, capture_output=True, text=True)
    answer = folder / "answer.json"
    assert answer.exists(), seen.stderr[-1000:]
    return alone.stdout, json.loads(answer.read_text()), seen.stdout


@pytest.mark.parametrize("name", ["lightning", "transformers", "keras"])
def test_a_healthy_program_is_left_in_peace_and_computes_the_same(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name)
    alone, answer, under = run(tmp_path, (HERE / f"{name}_program.py").read_text())
    assert alone.splitlines()[-1] in under.splitlines()  # figures of the end; other lines tell times
    assert answer["exit_code"] == 0 and answer["trainings"][0]["steps"] > 100
    assert [f for f in answer["findings"] if f["severity"] != "note"] == []


@pytest.mark.parametrize("name, old, new, causes", SICK)
def test_a_sick_program_is_found_out(name: str, old: str, new: str, causes: set[str], tmp_path: Path) -> None:
    pytest.importorskip(name)
    healthy = (HERE / f"{name}_program.py").read_text()
    assert old in healthy
    _, answer, _ = run(tmp_path, healthy.replace(old, new))
    alarms = [f["cause"] for f in answer["findings"] if f["severity"] != "note"]
    assert alarms and alarms[0] in causes
