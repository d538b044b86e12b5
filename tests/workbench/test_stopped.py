"""A run that is asked to stop."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from glia.runs import checkpoint
from glia.workbench import train as training
from glia.workbench.halt import AFTER_STEP, Stopped, stop_on_signal

COMMAND = [sys.executable, "-c", "from glia.cli.main import main; main()"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 rows of two numbers and a category with a rule in them."""
    path = tmp_path_factory.mktemp("data") / "rows.csv"
    lines = ["a,b,c,label"]
    for i in range(600):
        a, b, c = (i * 37 % 101) / 50 - 1, (i * 53 % 97) / 48 - 1, "xyz"[i % 3]
        lines.append(f"{a:.3f},{b:.3f},{c},{'yes' if a * b > 0 and c != 'z' else 'no'}")
    path.write_text("\n".join(lines) + "\n")
    return path


SETTINGS = [
    *("target=label", "epochs=4000", "batch_size=32", "model=mlp", "dropout=0.2"),
    *("threads=1", "baselines=false", "lr=0.003", "checkpoint_s=999"),
]


def test_a_second_signal_stops_at_once() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a process that a shell put in the background ignores it
    told: list[str] = []
    with pytest.raises(KeyboardInterrupt), stop_on_signal(told.append) as stop, stop.between_steps():
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked and stop.signal == signal.SIGINT
        deadline = time.monotonic() + 10
        while not told and time.monotonic() < deadline:
            time.sleep(0.01)
        assert told == [AFTER_STEP]
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_stops_in_good_order(tmp_path: Path, table: Path) -> None:
    train = [*COMMAND, "train", str(table), "--runs", str(tmp_path), *SETTINGS]
    child = subprocess.Popen(train, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    run = tmp_path / "rows"
    deadline = time.monotonic() + 120
    while not (run / "clock.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 130, output
    assert f"glia resume {run}" in output and "Traceback" not in output
    assert json.loads((run / "status.json").read_text())["state"] == "stopped"
    assert checkpoint.latest(run) is not None


def test_a_signal_within_the_import_of_a_library_is_no_error(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code in C makes an ImportError of what a handler raised in it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    finish = training.finish

    def imports(*given: Any) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise ImportError("initialization failed") from None

    monkeypatch.setattr(training, "finish", imports)
    given: dict[str, Any] = {"target": "label", "model": "mlp", "epochs": 2, "baselines": False, "doctor": False}
    with pytest.raises(Stopped) as stopped:
        training.train(table, runs=tmp_path, name="run", **given)
    assert stopped.value.exit_code == 143
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "stopped"
    monkeypatch.setattr(training, "finish", finish)
    assert training.resume(tmp_path / "run").metrics["test"]
