"""Part `startup`: how long imports, `glia --help` and the way to the first step of a training take."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.speed.job import processor_seconds
from benchmarks.speed.page import DASH, Figures, Keep, forget, load
from benchmarks.speed.turns import ROOT, Answers

TITLE = "Start"
ABOUT = [
    "Seconds, each in a fresh process, in turns, when the files are in the system's cache. An import is what it takes",
    "on top of an interpreter that has begun, or of an imported torch. First step: from the end of the import of torch",
    "until `glia train digits` has made its first step of training, with everything that comes before it.",
]
CLOCK = "import time; {before}; began, used = time.perf_counter(), time.process_time()"
SAY = "print(time.perf_counter() - began, time.process_time() - used"
IMPORTED = f"{CLOCK}; import {{name}}; {SAY})"
HELP = "import sys; sys.argv = ['glia', '--help']; from glia.cli.main import main; main()"
FIRST = f"""
{CLOCK.format(before="import os, sys, torch")}
from glia.workbench import session
def take(recorder, moment):
    {SAY}, file=sys.stderr, flush=True)
    os._exit(0)
session.Recorder.take = take
from glia.cli.main import main
sys.argv = ["glia", "train", "digits"]
main()
"""
WHAT: dict[str, tuple[str, str]] = {
    "import glia": (IMPORTED.format(before="pass", name="glia"), "0.1"),
    "glia --help, the whole process": (HELP, "0.3"),
    "glia train digits, first step after torch": (FIRST, "1.0"),
    "import torch": (IMPORTED.format(before="pass", name="torch"), ""),
    "import sklearn.neural_network": (IMPORTED.format(before="pass", name="sklearn.neural_network"), ""),
    "import skorch, after torch": (IMPORTED.format(before="import torch", name="skorch"), ""),
    "import lightning, after torch": (IMPORTED.format(before="import torch", name="lightning"), ""),
    "import keras, after torch": (IMPORTED.format(before="import torch", name="keras"), ""),
    "Trainer of transformers, after torch": (
        IMPORTED.format(before="import torch", name="transformers.trainer"), ""
    ),
}  # fmt: skip


def run(
    names: Sequence[str], tools: Sequence[str], rounds: int, more: dict[str, Any], keep: Keep = forget
) -> list[Figures]:
    wanted = {what: WHAT[what] for what in WHAT if not names or any(name in what for name in names)}
    found = {what: Answers() for what in wanted}
    busy = load()
    for number in range(rounds + 1):
        for what, (code, _) in wanted.items():
            answer = seconds(code, whole=what.startswith("glia --help"))
            if answer is not None and number:  # the first fills the cache
                found[what].given.append(answer)
    table = Figures("Seconds to start", ["what", "by the clock", "quartiles", "of all cores", "goal", "load"])
    for what, answers in found.items():
        median, cores = answers.median("seconds"), answers.median("cpu")
        spread = DASH if median is None else "{:.2f}-{:.2f}".format(*answers.spread("seconds"))
        cells = [DASH if value is None else f"{value:.2f}" for value in (median, cores)]
        table.rows.append([what, cells[0], spread, cells[1], wanted[what][1], f"{busy:.1f}"])
    return [table]


def seconds(code: str, *, whole: bool = False) -> dict[str, float] | None:
    """What the code prints, or how long the whole process lives; None where it fails, as without the package."""
    used = processor_seconds()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "KERAS_BACKEND": "torch", "PYTHONWARNINGS": "ignore"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what pip installs is compiled, so ours must be too
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder, env=environment
        )
        took = time.perf_counter() - began
    if done.returncode:
        return None
    if whole:
        return {"seconds": took, "cpu": processor_seconds() - used}
    said = (done.stdout + done.stderr).split()
    return {"seconds": float(said[-2]), "cpu": float(said[-1])}
