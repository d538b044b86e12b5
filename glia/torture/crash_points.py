"""Every crash point of a save: the n-th thing asked of the disk fails, or is the last that the process does.

For n = 1, 2, 3 ... until none is left. Tried on copies; the run itself is not touched.
"""

import errno
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from unittest.mock import patch

import torch

from glia import disk
from glia.errors import DiskError, GliaError
from glia.runs import checkpoint, seals
from glia.runs.folder import RunFolder
from glia.runs.verify import verify
from glia.torture.result import Result

NAME = "crash points"
PROMISE = "whichever operation of a save fails or is the last, a good checkpoint and a readable run are found"
SMALL, LARGE = 400, 100_000
SEED = 0
KILL = 0
FAULTS = {"kill": KILL, "ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EDQUOT": errno.EDQUOT}
_LASTING = (errno.ENOSPC, errno.EDQUOT)  # a full disk stays full while the process ends
_OPERATIONS = ("open", "write", "fsync", "ftruncate", "rename", "replace", "mkdir", "unlink", "rmdir")
_NEED_ROOM = ("open", "write", "mkdir")


class Failing:
    """Stands in for `os` in `glia.disk`: operation number `at` fails (with KILL: the process ends in it).

    A write is half done before. count: operations so far.
    """

    def __init__(self, at: int | None = None, fault: int = KILL):
        self.at, self.fault, self.count = at, fault, 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in _OPERATIONS:
            return real

        def counted(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            lasting = self.fault in _LASTING and name in _NEED_ROOM
            if self.at is None or not (self.count == self.at or (self.count > self.at and lasting)):
                return real(*arguments, **options)
            if name == "write" and self.count == self.at:
                handle, content = arguments
                real(handle, content[: len(content) // 2])
            if self.fault == KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            if name == "open" and arguments[1] == os.O_RDONLY and lasting:
                return real(*arguments, **options)  # reading needs no room
            raise OSError(self.fault, os.strerror(self.fault))

        return counted


def _save_checkpoint(run: Path) -> None:
    state = checkpoint.latest(run) or {"progress": {"step": 0}}
    state["progress"]["step"] += 1
    checkpoint.save(run, state["progress"]["step"], state)


def _save_model(run: Path) -> None:
    RunFolder(run).write_folder("model", disk.read_folder(run / "model"))


def _save_json(run: Path) -> None:
    RunFolder(run).write_json("metrics.json", {"new": list(range(3000))})


def _save_recipe(run: Path) -> None:
    RunFolder(run).write("recipe.toml", (run / "recipe.toml").read_bytes() + b"# again\n")


def _save_chart(run: Path) -> None:
    content = seals.checked(run, "chart.jsonl") or b""
    kept = seals.cut(run, "chart.jsonl", content.rfind(b"\n", 0, len(content) // 2) + 1)
    log = disk.Log(run / "chart.jsonl", keep_bytes=kept)
    try:
        for number in range(600):
            log.append({"kind": "tried", "number": number})
        seals.note(run, (log,))
    finally:
        log.close()


def _save_report(run: Path) -> None:
    RunFolder(run).write("report.html", "<p>new</p>" * 2000)


def _begin(run: Path) -> None:
    """The files of a new run, in the order in which training writes them."""
    folder = RunFolder.create(run.parent / "new" / "runs", "begun")
    for name in ("choices.json", "data.json", "machine.json", "recipe.toml"):
        if (run / name).is_file():
            folder.write(name, (run / name).read_bytes())


SAVES: dict[str, Callable[[Path], None]] = {
    "checkpoint": _save_checkpoint,
    "model": _save_model,
    "a JSON file": _save_json,
    "recipe.toml": _save_recipe,
    "the chart": _save_chart,
    "the report": _save_report,
    "the start of a run": _begin,
}


class Point(NamedTuple):
    """Where and how a save fails."""

    save: str
    fault: str
    at: int


def run(count: int, folder: Path, tell: Callable[[str], None]) -> Result:
    """All points of all saves in copies of the run in `folder`, or `count` of them drawn from all."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".crash-") as scratch:
        place = Path(scratch) / "runs" / "run"
        points = [point for save in SAVES for point in _points(save, folder, place)]
        chosen = points if count >= len(points) else sorted(Random(SEED).sample(points, count))
        failed = []
        for number, point in enumerate(chosen):
            if number % 50 == 0:
                tell(f"{number} of {len(chosen)}")
            problem = tried(point, folder, place)
            if problem:
                failed.append(f"{point.save}, {point.fault} at operation {point.at}: {problem}")
    figures = {"points in all": f"{len(points):,}", "kinds of save": str(len(SAVES))}
    return Result(NAME, PROMISE, len(chosen), tuple(failed), time.monotonic() - began, figures)


def _points(save: str, folder: Path, place: Path) -> list[Point]:
    _copied(folder, place)
    counting = Failing()
    with patch.object(disk, "os", counting):
        SAVES[save](place)
    return [Point(save, fault, at) for fault in FAULTS for at in range(1, counting.count + 1)]


def tried(point: Point, folder: Path, place: Path) -> str | None:
    """What is wrong after a save that failed so; None when all is well."""
    _copied(folder, place)
    before = _step(place)
    failing = Failing(point.at, FAULTS[point.fault])
    if FAULTS[point.fault] == KILL:
        problem = _killed(SAVES[point.save], place, failing)
    else:
        problem = _refused(SAVES[point.save], place, failing)
    problem = problem or _problem(place, (before, before + 1))
    if problem:
        return problem
    try:
        with RunFolder(place).writing():  # as the next process does first
            pass
    except GliaError as error:
        return f"it cannot be tidied: {error}"
    left = [path.name for path in (*place.glob(".*"), *place.glob("checkpoints/.*")) if "lock" not in path.name]
    if left:
        return f"left behind: {left}"
    try:
        SAVES[point.save](place)
    except GliaError as error:
        return f"it cannot be saved any more: {error}"
    return _problem(place, (before, before + 1, before + 2))


def _killed(save: Callable[[Path], None], place: Path, failing: Failing) -> str | None:
    child = os.fork()
    if not child:
        try:
            torch.set_num_threads(1)  # the threads of torch do not live through a fork
            with patch.object(disk, "os", failing):
                save(place)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return None if os.WIFSIGNALED(status) else "it was not killed"


def _refused(save: Callable[[Path], None], place: Path, failing: Failing) -> str | None:
    """A refusal must be one line for people; where only tidying was refused, none is needed."""
    try:
        with patch.object(disk, "os", failing):
            save(place)
    except DiskError as error:
        return None if os.strerror(0) not in str(error) and str(place.parent) in str(error) else f"unclear: {error}"
    except (GliaError, OSError) as error:
        return f"no words for people: {error!r}"
    return None


def _problem(place: Path, steps: tuple[int, ...]) -> str | None:
    try:
        damaged = [one for one in verify(place) if one.state == "damaged"]
        if damaged:
            return f"false alarm: {damaged}"
        folder = RunFolder.open(place)
        folder.load_model()
        _ = folder.recipe, folder.read_json("status.json"), folder.history()
        begun = place.parent / "new" / "runs" / "begun"
        if (begun / "recipe.toml").is_file():
            _ = RunFolder.open(begun).recipe, verify(begun)
    except GliaError as error:
        return f"not readable: {error}"
    step = _step(place)
    return None if step in steps else f"the checkpoint of step {step}, not one of {steps}"


def _step(place: Path) -> int:
    warnings: list[str] = []
    state = checkpoint.latest(place, warnings.append)
    return -1 if state is None or warnings else int(state["progress"]["step"])


def _copied(folder: Path, place: Path) -> None:
    """A copy by hard links, but for what is changed in place: logs."""

    def copied(source: str, target: str) -> None:
        if source.endswith(".jsonl"):
            shutil.copyfile(source, target)
        else:
            os.link(source, target)

    shutil.rmtree(place.parent, ignore_errors=True)
    shutil.copytree(folder, place, copy_function=copied, ignore=shutil.ignore_patterns(".*"))
