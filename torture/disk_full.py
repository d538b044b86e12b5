"""A disk that fills up: real runs on a small disk, which has no room left at one save after another."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from glia.torture.result import Result
from glia.torture.whole import differences, finished, newest
from torture.children import Answer, Children
from torture.kinds import make_table

NAME = "disk full"
PROMISE = (
    "a run whose disk fills up says so in one line and exit code 74; with room again it goes on to the same numbers"
)
SMALL, LARGE = 12, 300
SETTINGS = (
    *("target=label", "model=mlp", "epochs=3", "batch_size=40", "lr=0.003", "dropout=0.2", "threads=1"),
    *("checkpoint_s=0", "baselines=false", "doctor=false"),
)
PAGE = 4096
_REFUSED = r"glia: cannot write {place}\S*: {why}; got [\d.]+ MiB free on the disk at {disk}{needed}\. Try: .*\n"
_NEEDED = r"; expected [\d.]+ MiB for this"


class Disk:
    """A place with as much room as is asked for: a small disk in memory, or, where none can be mounted, a place where
    no file may be larger than that.
    """

    def __init__(self, place: Path):
        self.place, self.room = place, 0
        place.mkdir(parents=True)
        self.mounted = os.name == "posix" and not _mount(place, "size=64m,mode=700")
        self.why = "the disk is full" if self.mounted else "the file would be larger than is allowed"

    def resize(self, room: int | None) -> None:
        """room: bytes in all, or of one file; None: enough."""
        self.room = room or 0
        if self.mounted and _mount(self.place, f"remount,size={room or 64 << 20}"):
            raise OSError(f"{self.place} cannot be made another size")

    def ask(self, glia: Children, *words: str) -> Answer:
        """`glia` with these words, on this disk."""
        return glia.ask(list(words), self.place.parent, whole=True, largest_file=0 if self.mounted else self.room)

    def close(self) -> None:
        if self.mounted:
            subprocess.run(["umount", self.place], check=True)
        shutil.rmtree(self.place)


def _mount(place: Path, options: str) -> int:
    """0 where that went well."""
    try:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        return subprocess.run(command, capture_output=True, check=False).returncode
    except FileNotFoundError:
        return 1


@contextmanager
def small_disk(place: Path) -> Iterator[Disk]:
    """A `Disk` at a place that is not there yet."""
    disk = Disk(place)
    try:
        yield disk
    finally:
        disk.close()


def run(count: int, folder: Path, tell: Callable[[str], None]) -> Result:
    """`count` runs, each with a little more room than the one before, up to what a whole one needs."""
    failed, where = list[str](), dict[str, int]()
    table = make_table(folder / "rows.csv")
    with small_disk(folder / "disk") as disk, Children() as glia:
        train = ("train", str(table), "--runs", str(disk.place), "--name", "run", *SETTINGS)
        answer = disk.ask(glia, *train)
        if answer.code:
            return Result(NAME, PROMISE, 1, (f"with room enough: {answer.err}",))
        whole = Path(shutil.move(disk.place / "run", folder / "whole"))
        sizes = [path.stat().st_size for path in whole.rglob("*") if path.is_file()]
        most = sum(-(-size // PAGE) * PAGE for size in sizes) if disk.mounted else max(sizes)
        for number in range(count):
            room = max(PAGE, most * (number + 1) // (count + 1) // PAGE * PAGE)
            tell(f"{number} of {count}: room for {room:,} bytes")
            disk.resize(room)
            problem = _cut_short(disk, disk.ask(glia, *train), where) or _gone_on_with(disk, glia, train, whole)
            if problem:
                failed.append(f"with {room:,} of {most:,} bytes: {problem}")
            shutil.rmtree(disk.place / "run", ignore_errors=True)
    figures = {"by": "a small disk" if disk.mounted else "a limit on the size of files"}
    figures |= {"refused": ", ".join(f"{name} {number}" for name, number in sorted(where.items()))}
    return Result(NAME, PROMISE, count, tuple(failed), figures=figures)


def _cut_short(disk: Disk, answer: Answer, where: dict[str, int]) -> str | None:
    """What is wrong with a run that ended so; counts what the disk refused."""
    run = disk.place / "run"
    if answer.code == 0 and finished(run):  # it had no room for the page alone
        return (
            None if str(run / "report.html") in answer.out + answer.err else "finished, and nothing is said of a page"
        )
    if answer.code != 74:
        return f"exit code {answer.code}: {answer.err[-500:]}"
    at, needed = re.escape(str(disk.place)), _NEEDED if disk.mounted else ".*"
    line = _REFUSED.format(place=at, why=disk.why, disk=at if disk.mounted else r"\S+", needed=needed)
    if not re.fullmatch(line, answer.err):
        return f"unclear: {answer.err[-500:]}"
    refused = re.search(rf"{at}/run/?(\S*):", answer.err)
    name = re.sub(r"step-\d+", "step", refused[1]) if refused else "run"
    where[name or "run"] = where.get(name or "run", 0) + 1
    return newest(run)[1]


def _gone_on_with(disk: Disk, glia: Children, train: tuple[str, ...], whole: Path) -> str | None:
    """What is wrong with the run once there is room again; None when it ended as the one that always had room."""
    run = disk.place / "run"
    disk.resize(None)
    if finished(run):
        answer = disk.ask(glia, "report", str(run))
    elif (run / "recipe.toml").is_file():
        answer = disk.ask(glia, "resume", str(run))
    else:  # it had not begun
        shutil.rmtree(run, ignore_errors=True)
        answer = disk.ask(glia, *train)
    if answer.code:
        return f"cannot go on, exit code {answer.code}: {answer.err[-500:]}"
    if not (run / "report.html").is_file():
        return "there is no page"
    found = differences(run, whole)
    return f"not the same: {', '.join(found)}" if found else None
