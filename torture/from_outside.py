"""Crash points seen from outside: strace kills, or fails, one system call of a save, without glia's help."""

import errno
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch

import glia
from glia.errors import DiskError, GliaError
from glia.torture.crash_points import SAVES
from glia.torture.result import Result
from glia.torture.whole import newest, problem_of

NAME = "from outside"
PROMISE = (
    "whichever system call of a save is the last or fails, as strace does it, a whole checkpoint and model are there"
)
SMALL, LARGE = 60, 5_000
SEED = 0
FAULTS = {"kill": "signal=SIGKILL", "ENOSPC": "error=ENOSPC", "EIO": "error=EIO"}
_CALLS = ("write", "fsync", "ftruncate", "rename", "mkdir", "unlink", "rmdir", "openat")
_SPELT = {"rename": "/^rename", "mkdir": "/^mkdir", "unlink": "/^unlink"}  # with renameat2 and their like
_CANNOT_FAIL = ("openat",)  # also what is read is opened: that it fails is no fault of a disk
_PATIENCE_S = 60.0


class Point(NamedTuple):
    """The `at`-th call of a kind in a save, and what happens to it."""

    save: str
    call: str
    at: int
    fault: str


def problem() -> str | None:
    """Why strace cannot be used here; None when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    child = os.fork()
    if not child:
        time.sleep(_PATIENCE_S)
        os._exit(0)
    try:
        strace = _attached(child, [])
    except GliaError as error:
        return str(error)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    strace.communicate(timeout=_PATIENCE_S)
    return None


def run(count: int, folder: Path, tell: Callable[[str], None]) -> Result:
    """`count` of all points in saves of a run that is made for it, spread evenly over them."""
    why = problem()
    if why:
        return Result(NAME, PROMISE, 0, figures={"not tried": why})
    made = glia.train("iris", epochs=3, checkpoint_s=0, baselines=False, doctor=False, threads=1, runs=folder).folder
    return tried(count, made, tell)


def tried(count: int, made: Path, tell: Callable[[str], None]) -> Result:
    """`count` points in saves of the run in `made`, which is left as it is."""
    failed = list[str]()
    with tempfile.TemporaryDirectory(dir=made.parent, prefix=".outside-") as scratch:
        place = Path(scratch) / "run"
        points = [point for save in ("checkpoint", "model") for point in _points(save, made, place)]
        chosen = points if count >= len(points) else sorted(Random(SEED).sample(points, count))
        for number, point in enumerate(chosen):
            if number % 10 == 0:
                tell(f"{number} of {len(chosen)}")
            wrong = _problem(point, made, place)
            if wrong:
                failed.append(f"{point.save}, {point.fault} at {point.call} number {point.at}: {wrong}")
    return Result(NAME, PROMISE, len(chosen), tuple(failed), figures={"points in all": f"{len(points):,}"})


def _points(save: str, made: Path, place: Path) -> list[Point]:
    """strace counts the calls of one save that nothing happens to."""
    log = place.parent / "calls"
    _saved(save, made, place, ["-o", str(log), "-e", f"trace={','.join(_spelt(call) for call in _CALLS)}"])
    names = re.findall(r"^(?:\d+ +)?(\w+)\(", log.read_text(), re.MULTILINE)
    counts = Counter(next(call for call in _CALLS if name.startswith(call)) for name in names)
    return [
        Point(save, call, at, fault)
        for call, most in counts.items()
        for at in range(1, most + 1)
        for fault in FAULTS
        if fault == "kill" or call not in _CANNOT_FAIL
    ]


def _spelt(call: str) -> str:
    return _SPELT.get(call, call)


def _problem(point: Point, made: Path, place: Path) -> str | None:
    calls = _spelt(point.call)
    options = ["-o", os.devnull, "-e", f"trace={calls}", "-e", f"inject={calls}:{FAULTS[point.fault]}:when={point.at}"]
    code = _saved(point.save, made, place, options)
    if code != -9 if point.fault == "kill" else code not in (0, DiskError.exit_code):
        return f"the process ended with {code}"
    before, (step, wrong) = newest(made)[0], newest(place)
    if wrong or step not in (before, before + 1):
        return f"checkpoint of step {step}: {wrong}"
    model = place / "model"
    asides = sorted(place.glob(".old-model-*"))
    return problem_of(model if model.is_dir() or not asides else asides[0])


def _saved(save: str, made: Path, place: Path, options: list[str]) -> int:
    """One save in a copy of the run, by a process of its own that strace looks at; how that ended."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(made, place, ignore=shutil.ignore_patterns(".*"))
    ready, go = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            torch.set_num_threads(1)  # the threads of torch do not live through a fork
            os.read(ready, 1)
            SAVES[save](place)
            code = 0
        except DiskError as error:
            code = error.exit_code
        finally:
            os._exit(code)
    try:
        strace = _attached(child, options)
        os.write(go, b"g")
    except GliaError:
        os.kill(child, 9)
        raise
    finally:
        _, status = os.waitpid(child, 0)
        os.close(ready)
        os.close(go)
    strace.communicate(timeout=_PATIENCE_S)
    return os.waitstatus_to_exitcode(status)


def _attached(pid: int, options: list[str]) -> "subprocess.Popen[str]":
    """strace, once it looks at a process. Raises GliaError where it may not."""
    command = ["strace", "-f", "-p", str(pid), *options]
    strace = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert strace.stderr is not None
    said = strace.stderr.readline()
    if "attached" not in said:
        strace.terminate()
        strace.communicate()
        raise GliaError("strace may not look at another process", got=said.strip() or os.strerror(errno.EPERM))
    return strace
