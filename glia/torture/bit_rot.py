"""Bit rot: flipped bits, cut, deleted, swapped and zeroed files of a run. Every one must be found.

The run itself is not touched: a damaged copy of one file at a time stands beside hard links to all the others.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from glia import disk
from glia.errors import DamagedError
from glia.runs import seals
from glia.runs.verify import verify
from glia.torture.result import Result

NAME = "bit rot"
PROMISE = "every flipped bit, cut, deleted, swapped or zeroed file of a run is found"
SMALL, LARGE = 500, 10_000
SEED = 0
_WHOLE_RUN_EVERY = 100  # flips: so often the damage is looked for through all that `glia verify` does


def run(count: int, folder: Path, tell: Callable[[str], None]) -> Result:
    """`count` flips in the run in `folder`, spread evenly over its files whatever their size, then coarser damage."""
    began, random = time.monotonic(), Random(SEED)
    names = sealed_files(folder)
    failed = [f"{one.name} is damaged to begin with" for one in verify(folder) if one.state == "damaged"]
    tried = 0
    if not names:
        return Result(NAME, PROMISE, 0, ("the run has no sealed files",))
    contents = {name: (folder / name).read_bytes() for name in names}
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".rot-") as place:
        copy = Path(place) / "run"
        _linked(folder, copy)
        for number in range(count):
            name = names[number % len(names)]
            damage = bytearray(contents[name])
            bit = random.randrange(len(damage) * 8)
            damage[bit // 8] ^= 1 << bit % 8
            thorough = number % _WHOLE_RUN_EVERY == 0
            found = _found_by_verify(copy, name, bytes(damage)) if thorough else _found(copy, name, bytes(damage))
            if not found:
                failed.append(f"seed {SEED}: bit {bit} of {name}")
            if number % 500 == 0:
                tell(f"flip {number}")
        tried += count
        for what, name, spoilt in _coarse(contents, random):
            tried += 1
            if not _found_by_verify(copy, name, spoilt):
                failed.append(f"{name} {what}")
    seconds = time.monotonic() - began
    figures = {"files": str(len(names)), "coarser damage": str(tried - count)}
    return Result(NAME, PROMISE, tried, tuple(failed), seconds, figures)


def sealed_files(run: Path) -> list[str]:
    """Names of the files that can be compared with something, and hold something."""
    found = [run / one.name for one in verify(run) if one.state == "whole" and not one.name.endswith("/")]
    return [path.relative_to(run).as_posix() for path in found if path.is_file() and path.stat().st_size]


def _coarse(contents: dict[str, bytes], random: Random) -> Iterator[tuple[str, str, bytes | None]]:
    """(what was done to it, file, its bytes now; None: deleted)."""
    for name, content in contents.items():
        yield "deleted", name, None
        for length in {0, len(content) - 1, random.randrange(len(content)), len(content) // 512 * 512} - {len(content)}:
            yield f"cut to {length} bytes", name, content[:length]
        zeros = min(len(content), 512)
        if content[-zeros:].strip(b"\0"):
            yield f"with {zeros} zeros at its end", name, content[:-zeros] + bytes(zeros)
    alike = [(one, two) for one in contents for two in contents if one < two and Path(one).name == Path(two).name]
    for one, two in alike:  # as when two checkpoints change places, file by file
        if contents[one] != contents[two] and not one.endswith(disk.MANIFEST):
            yield f"with the bytes of {two}", one, contents[two]


def _linked(folder: Path, copy: Path) -> None:
    """A copy by hard links where the disk has them; what is damaged in it later is replaced, never changed in place."""
    try:
        shutil.copytree(folder, copy, copy_function=os.link, ignore=shutil.ignore_patterns(".*"))
    except (OSError, shutil.Error):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(".*"))


def _found(run: Path, name: str, damage: bytes) -> bool:
    """Does the reader of that file refuse these bytes? In memory: what is on disk is whole."""
    path = run / name
    if path.name in (seals.SEALS, disk.MANIFEST):
        try:
            disk.unsigned(damage, path)
        except DamagedError:
            return True
        return False
    for folder in path.parents:
        if folder == run:
            return seals.differs(seals.read(run) or {}, name, damage) is not None
        if (folder / disk.MANIFEST).is_file():
            listed = disk.unsigned((folder / disk.MANIFEST).read_bytes(), folder)
            return bool(hashlib.sha256(damage).hexdigest() != listed[path.relative_to(folder).as_posix()]["sha256"])
    return False


@contextmanager
def damaged(run: Path, name: str, content: bytes | None) -> Iterator[None]:
    """A file with other bytes (None: without it) inside the block."""
    path, kept = run / name, run / f"{name}.kept"
    path.rename(kept)
    try:
        if content is not None:
            with disk.open_rows(path) as file:
                file.write(content)
        yield
    finally:
        path.unlink(missing_ok=True)
        kept.rename(path)


def _found_by_verify(run: Path, name: str, content: bytes | None) -> bool:
    with damaged(run, name, content):
        states = {one.name: one.state for one in verify(run)}
    return states.get(name) in ("damaged", "changed")
