"""A file system that forgets at power loss: what was not synced may be there, may be gone, may be half there.

The promises of POSIX and no more: `fsync` of a file keeps its bytes, `fsync` of a folder keeps the names in it. Of all
else any part may survive, in any order; bytes survive in pages of 4 kB, and where a file grew, zeros may stand.
Processes may also be killed: then all that they did is there, but no more durable than before.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

PAGE = 4096
_TOLD_APART = {"disk.py": None, "seals.py": ("_changing",)}  # modules of glia, and their functions, that ask for fsync

Site = tuple[str, ...]
"""Where in glia an fsync was asked for, from the inside out: ("sync_folder:84", "write_file:131")"""


class Killed(BaseException):
    """The process ends here, in the middle of what it was doing."""


@dataclass(eq=False)
class File:
    """durable: the bytes that survive. gone: those that were there when its last name was taken away."""

    durable: bytes = b""
    gone: bytes | None = None


@dataclass(eq=False)
class Folder:
    """Names: those that survive, those that are there now, and how the one became the other."""

    durable: dict[str, "File | Folder"] = field(default_factory=dict)
    now: dict[str, "File | Folder"] = field(default_factory=dict)
    pending: list[tuple[str | None, str | None, "File | Folder"]] = field(default_factory=list)

    def change(self, old: str | None, new: str | None, node: "File | Folder") -> None:
        """A name appears (old is None), vanishes (new is None) or is changed."""
        self.pending.append((old, new, node))
        _apply(self.now, self.pending[-1])

    def sync(self) -> None:
        for change in self.pending:
            _apply(self.durable, change)
        self.pending.clear()


def _apply(names: dict[str, File | Folder], change: tuple[str | None, str | None, File | Folder]) -> None:
    old, new, node = change
    if old is not None and names.get(old) is node:
        del names[old]
    if new is not None:
        names[new] = node


class Forgetful:
    """Stands in for `os` in a module that writes below `root`; does the work there, and remembers what is durable.

    kill_at: that many operations from now the process dies; fsyncs_only: counted by fsyncs, before which most is at
    stake. muted: the fsync that is left out.
    """

    def __init__(self, root: Path, muted: Site | None = None):
        self.root, self.muted = root, muted
        self.tree, self.open_files = Folder(), dict[int, File | Folder]()
        self.sites: set[Site] = set()
        self.kill_at: int | None = None
        self.fsyncs_only = self.dead = False
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _count(self, *, fsync: bool = False) -> None:
        if self.kill_at is not None and (fsync or not self.fsyncs_only):
            self.kill_at -= 1
            self.dead = self.dead or self.kill_at < 0
        if self.dead:
            raise Killed

    def _place(self, path: Path | str) -> tuple[Folder, str]:
        *parents, name = Path(path).relative_to(self.root).parts
        folder = self.tree
        for parent in parents:
            inner = folder.now[parent]
            assert isinstance(inner, Folder)
            folder = inner
        return folder, name

    def _node(self, path: Path | str) -> File | Folder:
        if Path(path) == self.root:
            return self.tree
        folder, name = self._place(path)
        return folder.now[name]

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        self._count()
        handle = os.open(path, flags, mode)
        if flags & os.O_CREAT:
            folder, name = self._place(path)
            if name not in folder.now:
                folder.change(None, name, File())
        if Path(path) == self.root or self.root in Path(path).parents:
            self.open_files[handle] = self._node(path)
        return handle

    def close(self, handle: int) -> None:
        self.open_files.pop(handle, None)
        os.close(handle)

    def write(self, handle: int, content: memoryview) -> int:
        self._count()
        return os.write(handle, content)

    def ftruncate(self, handle: int, length: int) -> None:
        self._count()
        os.ftruncate(handle, length)

    def fsync(self, handle: int) -> None:
        self._count(fsync=True)
        site = _site()
        self.sites.add(site)
        if site == self.muted or handle not in self.open_files:
            return
        node = self.open_files[handle]
        if isinstance(node, Folder):
            node.sync()
        else:
            node.durable = Path(f"/proc/self/fd/{handle}").read_bytes()

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        self._count()
        os.mkdir(path, mode)
        folder, name = self._place(path)
        folder.change(None, name, Folder())

    def rename(self, old: Path, new: Path) -> None:
        self._count()
        folder, name = self._place(old)
        other, new_name = self._place(new)
        assert folder is other, "a rename from one folder to another"
        replaced = folder.now.get(new_name)
        if isinstance(replaced, File):
            replaced.gone = new.read_bytes()
        os.rename(old, new)
        folder.change(name, new_name, folder.now[name])

    replace = rename

    def unlink(self, path: Path) -> None:
        self._count()
        folder, name = self._place(path)
        node = folder.now[name]
        if isinstance(node, File):
            node.gone = path.read_bytes()
        os.unlink(path)
        folder.change(name, None, node)

    def rmdir(self, path: Path) -> None:
        self._count()
        os.rmdir(path)
        folder, name = self._place(path)
        folder.change(name, None, folder.now[name])

    def restart(self) -> None:
        """After a kill: another process, on the same disk."""
        for handle in self.open_files:
            with contextlib.suppress(OSError):  # a file object may have closed it, and its number be another's by now
                if Path(os.readlink(f"/proc/self/fd/{handle}")).is_relative_to(self.root):
                    os.close(handle)
        self.open_files.clear()
        self.dead, self.kill_at, self.fsyncs_only = False, None, False

    def lose_power(self, random: Random) -> None:
        """All processes end, and of what was not synced a part that `random` chooses is there afterwards."""
        for _ in self.losses(random, 1):
            pass

    def losses(self, random: Random, count: int) -> Iterator[None]:
        """The same, `count` times from where it stands now: each time that it yields, another part is there."""
        self.restart()
        trees = [self._left(random) for _ in range(count)]
        for tree in trees:
            self.tree = tree
            shutil.rmtree(self.root)
            _materialise(tree, self.root)
            yield

    def _left(self, random: Random) -> Folder:
        keep = random.choice((0.0, 0.0, 1.0, 0.5, 0.5, 0.9, 0.1))
        tree = self._survives(self.tree, self.root, keep, random, {})
        assert isinstance(tree, Folder)
        return tree

    def _survives(
        self, node: File | Folder, path: Path | None, keep: float, random: Random, seen: dict[int, File | Folder]
    ) -> File | Folder:
        """What is left of a file or a folder; path: where it is now, None when it has no name any more."""
        if id(node) in seen:
            return seen[id(node)]
        if isinstance(node, File):
            now = node.gone if path is None or node.gone is not None else path.read_bytes()
            left: File | Folder = File(_torn(node.durable, node.durable if now is None else now, keep, random))
        else:
            names, share = dict(node.durable), random.choice((keep, keep, 0.0, 1.0))
            for change in node.pending:
                if random.random() < share:
                    _apply(names, change)
            where = {id(inner): name for name, inner in node.now.items()}
            inside = {}
            for name, inner in names.items():
                known = path / where[id(inner)] if path is not None and id(inner) in where else None
                inside[name] = self._survives(inner, known, keep, random, seen)
            left = Folder(dict(inside), dict(inside))
        seen[id(node)] = left
        return left


def _torn(old: bytes, new: bytes, keep: float, random: Random) -> bytes:
    """Pages of a file, some from before and some from after; zeros where it grew and the bytes did not come."""
    if old == new or keep in (0.0, 1.0):
        return new if keep == 1.0 else old
    length = random.choice((len(old), len(new), min(len(new), max(len(old), PAGE))))
    pages = []
    for start in range(0, length, PAGE):
        source = new if random.random() < keep else old
        end = min(start + PAGE, length)
        pages.append(source[start:end].ljust(end - start, b"\0"))
    return b"".join(pages)


def _materialise(node: File | Folder, path: Path) -> None:
    if isinstance(node, File):
        path.write_bytes(node.durable)
        return
    path.mkdir()
    for name, inner in node.durable.items():
        _materialise(inner, path / name)


def _site() -> Site:
    """The lines of the modules that write which led to here, each once."""
    frame, found = sys._getframe(2), list[str]()
    while frame is not None:
        name, function = frame.f_code.co_filename.rpartition("/")[2], frame.f_code.co_name
        if name in _TOLD_APART and function in (_TOLD_APART[name] or (function,)):
            line = f"{function}:{frame.f_lineno}"
            if line not in found:
                found.append(line)
        frame = frame.f_back  # type: ignore[assignment]
    return tuple(found)
