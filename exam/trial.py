"""Trial runs of drawn scripts, each in its own process, forked from one that has torch loaded already."""

import contextlib
import multiprocessing
import os
import re
import runpy
import sys
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
FINAL = re.compile(r"^final ([\w ]+) (-?[\d.]+|nan|-?inf)$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """score: what the last line of the script says, None where it broke or was too slow."""

    score: float | None
    seconds: float
    said: str


def run_script(folder: Path, limit: float = 30) -> Outcome:
    """Runs folder/train.py to its end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "numpy", "sklearn.datasets", "sklearn.metrics", "sklearn.preprocessing"])
    started = time.perf_counter()
    process = context.Process(target=_run, args=(str(folder),))
    process.start()
    process.join(limit)
    if process.is_alive():
        process.kill()
        process.join()
    said = (folder / "out.txt").read_text() if (folder / "out.txt").exists() else ""
    (folder / "out.txt").unlink(missing_ok=True)
    found = FINAL.findall(said) if process.exitcode == 0 else []
    return Outcome(float(found[-1][1]) if found else None, time.perf_counter() - started, said)


def _run(folder: str) -> None:
    import torch

    torch.set_num_threads(1)
    os.chdir(folder)
    with open("out.txt", "w") as out, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        sys.argv = ["train.py"]
        runpy.run_path("train.py", run_name="__main__")
