"""A run that is killed, and gone on with, ends as the run that was not."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from glia.runs import checkpoint
from glia.runs.packing import pack
from glia.workbench.session import stop_on_signal

COMMAND = [sys.executable, "-c", "from glia.cli.main import main; main()"]
SAME = (
    "chart.jsonl",
    "history.csv",
    "model/best.safetensors",
    "model/last.safetensors",
    "predictions/test.safetensors",
)


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


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 grey pictures of 12 x 12, bright above or below."""
    path = tmp_path_factory.mktemp("data") / "halves.npz"
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 90, (200, 12, 12), dtype=np.uint8), np.arange(200) % 2
    x[y == 1, :6] += 80
    x[y == 0, 6:] += 80
    np.savez(path, x=x, y=y)
    return path


TABLE = ["target=label", "ema=0.99", "epochs=12", "batch_size=32"]
KINDS = {
    "folds": [*TABLE, "model=folds", "dropout=0.2"],
    "mlp": [*TABLE, "model=mlp", "dropout=0.2", "accumulate=2"],
    "lenet5": ["model=lenet5", "epochs=16", "batch_size=32", "augment=shift,rotate,mixup", "dropout=0.2", "threads=2"],
}


def settings(kind: str) -> list[str]:
    return ["threads=1", "baselines=false", "lr=0.003", "checkpoint_s=0", *KINDS[kind]]


def fingerprint(run: Path) -> dict[str, str]:
    found = {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in SAME}
    state = checkpoint.latest(run)
    assert state is not None
    return found | {"state": hashlib.sha256(b"".join(pack(state))).hexdigest()}


def lines(run: Path) -> int:
    chart = run / "chart.jsonl"
    return chart.read_bytes().count(b"\n") if chart.exists() else 0


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_moment(tmp_path: Path, table: Path, pictures: Path, kind: str) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    source = pictures if kind == "lenet5" else table
    train = [*COMMAND, "train", str(source), "--runs", str(tmp_path), "-q", *settings(kind)]
    subprocess.run([*train, "--name", "whole"], env=environment, check=True, stdout=subprocess.DEVNULL)
    child = subprocess.Popen([*train, "--name", "cut", "workers=2"], env=environment)
    run = tmp_path / "cut"
    for life, enough in enumerate((20, 60)):
        deadline = time.monotonic() + 120
        while lines(run) < enough and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        assert child.poll() is None, "it ended before it could be killed"
        child.send_signal(signal.SIGKILL)
        child.wait()
        resume = [*COMMAND, "resume", str(run), "-q"]
        if life == 0:
            child = subprocess.Popen(resume, env=environment)
        else:
            subprocess.run(resume, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert fingerprint(run) == fingerprint(tmp_path / "whole")
    assert json.loads((run / "status.json").read_text())["state"] == "finished"


def test_a_second_signal_stops_at_once() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a process that a shell put in the background ignores it
    told: list[str] = []
    with pytest.raises(KeyboardInterrupt), stop_on_signal(told.append) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked and stop.signal == signal.SIGINT and len(told) == 1
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_stops_in_good_order(tmp_path: Path, table: Path) -> None:
    train = [
        *COMMAND,
        "train",
        str(table),
        "--runs",
        str(tmp_path),
        *settings("mlp"),
        "epochs=4000",
        "checkpoint_s=999",
    ]
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
