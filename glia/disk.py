"""The one module that writes. Nothing is overwritten in place: what is new is written beside, synced, then renamed.

A file: temporary name in the same folder, fsync, rename, fsync of the folder. A folder: the same with a manifest of
every file's size and sha256, written last, so that a reader can tell a whole folder from a torn or damaged one.
Whatever changes the disk is called as ``os.something``: experiments put a failing, or a forgetful, `os` in its place.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import mmap
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from glia.errors import DamagedError, DiskError, GliaError

MANIFEST = "manifest.json"
_FORMAT = 1
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_BLOCK = 4096  # bytes; what a small file takes
_BUFFER = 8192  # bytes of a log that may wait in memory
_LEFT = re.compile(r"\.(tmp|old)-(?P<folder>.+?)-(?P<pid>\d+)(-[0-9a-f]{8})?|\..+\.(?P<writer>\d+)(-[0-9a-f]{8})?\.tmp")
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "no permission",
    errno.EIO: "the disk reports an input/output error",
    errno.EFBIG: "the file would be larger than is allowed",
}
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _refused(path: Path, reason: str, needed: int, *, room: bool) -> DiskError:
    """One line that names the path, its disk, what is needed and what is free."""
    folder = next((p for p in path.absolute().parents if p.is_dir()), Path("/"))
    disk = next(p for p in (folder, *folder.parents) if p.is_mount() or p == p.parent)
    free = shutil.disk_usage(folder).free / 2**20
    return DiskError(
        f"cannot write {path}: {reason}",
        got=f"{free:.1f} MiB free on the disk at {disk}",
        expected=f"{needed / 2**20:.1f} MiB for this" if needed else None,
        hint="free some space, or another folder (runs=FOLDER)" if room else None,
    )


@contextlib.contextmanager
def _explained(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn the operating system's refusal into one line; refuse at once where `needed` bytes cannot fit."""
    if needed:
        folder = next((p for p in path.absolute().parents if p.is_dir()), Path("/"))
        usage = shutil.disk_usage(folder)
        if usage.total and usage.free < needed:  # some network disks give no figures: all 0
            raise _refused(path, _REASONS[errno.ENOSPC], needed, room=True)
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise _refused(path, reason, needed, room=error.errno in _NO_ROOM) from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    with _explained(folder):
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Where a system or its rights do not allow that, there is nothing to do."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _make_folders(folder: Path) -> None:
    """A folder with all above it; the last one durable, and every one that is new.

    One that is there already may have been made by a process that was killed before it synced.
    """
    if not folder.is_dir():
        _make_folders(folder.parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
    _sync_folder(folder.parent)


def _token() -> str:
    """Tells whose a draft is, and apart from those of the same process."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"


def _write(handle: int, content: bytes | bytearray | memoryview) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _new_file(path: Path, content: bytes) -> None:
    handle = os.open(path, _NEW, 0o666)
    try:
        _write(handle, content)
        os.fsync(handle)
    finally:
        os.close(handle)


def _take_place(draft: Path, path: Path) -> None:
    os.replace(draft, path)
    _sync_folder(path.parent)


def _drop(draft: Path) -> None:
    """Away with a draft, if it is still there; what cannot be deleted now is for `tidy`."""
    with contextlib.suppress(OSError):
        if draft.exists():
            os.unlink(draft)


def write_file(path: Path, content: bytes | str) -> None:
    """Replace (or make) one file, whole or not at all."""
    data = content.encode() if isinstance(content, str) else content
    draft = path.with_name(f".{path.name}.{_token()}.tmp")
    with _explained(path, _blocks(data)):
        try:
            _new_file(draft, data)
            _take_place(draft, path)
        finally:
            _drop(draft)


def write_json(path: Path, value: Any) -> None:
    """`write_file` for plain data."""
    write_file(path, as_json(value))


def as_json(value: Any) -> str:
    """Plain data as all JSON files of a run are written."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=True) + "\n"


def append(path: Path, content: bytes) -> None:
    """More at the end of a file (made where there is none): all of it, or nothing where the disk refuses.

    Not synced: for what a run can do without.
    """
    with _explained(path, len(content)):
        if not path.exists():
            _make_folders(path.parent)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
        length = os.fstat(handle).st_size
        try:
            _write(handle, content)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(handle, length)
            raise
        finally:
            os.close(handle)


@contextlib.contextmanager
def open_rows(path: Path, *, overwrite: bool = False) -> Iterator[IO[bytes]]:
    """A binary file to write piece by piece; it appears under its name when the block ends well."""
    if path.exists() and not overwrite:
        raise GliaError(f"{path} exists already", hint="another name, or overwrite=true")
    draft = path.with_name(f".{path.name}.{_token()}.tmp")
    with _explained(path):
        _make_folders(path.parent)
        try:
            with os.fdopen(os.open(draft, _NEW, 0o666), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _take_place(draft, path)
        finally:
            _drop(draft)


def _blocks(content: bytes) -> int:
    return (len(content) // _BLOCK + 1) * _BLOCK


def _sealed(files: dict[str, Any]) -> str:
    """The manifest's own hash, over the canonical spelling of what it lists."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def signed(listed: dict[str, Any]) -> bytes:
    """A list that carries its own hash; `unsigned` reads it and finds every changed bit."""
    return json.dumps({"format": _FORMAT, "files": listed, "sha256": _sealed(listed)}, indent=1).encode()


def unsigned(content: bytes, path: Path) -> dict[str, Any]:
    """What `signed` was given. Raises DamagedError, which names `path`."""
    try:
        listed = json.loads(content)["files"]
        # Spelt again it must be the same to the byte: a changed blank or the case of an escape is damage too.
        if isinstance(listed, dict) and signed(listed) == content:
            return listed
        got = "other bytes than were written"
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        got = f"{type(error).__name__}: {error}"
    raise DamagedError(f"{path} is damaged", got=got)


def write_folder(target: Path, files: dict[str, bytes]) -> None:
    """Make (or replace) a folder of files with their manifest, whole or not at all.

    A folder that is replaced is moved aside first and deleted last, so at every moment one whole folder can be found.
    """
    token = _token()
    draft, aside = (target.with_name(f".{kind}-{target.name}-{token}") for kind in ("tmp", "old"))
    listed = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    contents = {**files, MANIFEST: signed(listed)}
    with _explained(target, sum(_blocks(data) for data in contents.values())):
        try:
            _make_folders(target.parent)
            os.mkdir(draft)
            _fill(draft, contents)
            if target.exists():
                os.rename(target, aside)
            os.rename(draft, target)
            _sync_folder(target.parent)
        except BaseException:
            # What was moved aside is deleted only when what took its place is durable; until then `tidy` has it.
            if aside.exists() and not target.exists():
                os.rename(aside, target)
            raise
        finally:
            remove_folder(draft)
    for stale in target.parent.glob(f".old-{target.name}-*"):
        remove_folder(stale)


def _fill(draft: Path, contents: dict[str, bytes]) -> None:
    """Write files into a new folder, and make them and their names durable."""
    made = {draft}
    for name, data in contents.items():
        for folder in reversed((draft / name).parents):
            if folder not in made and draft in folder.parents:
                os.mkdir(folder)
                made.add(folder)
        _new_file(draft / name, data)
    for folder in sorted(made):
        _sync_folder(folder)


def located(target: Path) -> Path:
    """The folder, or where a writer that is between its two renames (or was killed there) has put it aside."""
    if target.is_dir():
        return target
    asides = [p for p in target.parent.glob(f".old-{target.name}-*") if (p / MANIFEST).is_file()]
    return max(asides, key=_written, default=target)


def _written(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def folder_exists(target: Path) -> bool:
    """Is there a folder to read, under its name or put aside?"""
    return located(target).is_dir()


def read_folder(target: Path) -> dict[str, bytes]:
    """All files of a folder that `write_folder` made, each compared with the manifest. Changes nothing on disk.

    Raises DamagedError when anything is missing, cut short or changed.
    """
    while True:
        folder = located(target)
        before = _manifest_bytes(folder)
        try:
            return _compared(folder)
        except DamagedError:
            # Another process may just have replaced the folder while it was read: then there is a new one to read.
            if _manifest_bytes(located(target)) == before:
                raise


def _manifest_bytes(folder: Path) -> bytes | None:
    try:
        return (folder / MANIFEST).read_bytes()
    except OSError:
        return None


def _compared(folder: Path) -> dict[str, bytes]:
    contents = {}
    try:
        for name, facts in unsigned((folder / MANIFEST).read_bytes(), folder / MANIFEST).items():
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise DamagedError(f"{folder / MANIFEST} names a file outside its folder", got=name)
            if (size := (folder / name).stat().st_size) != facts["bytes"]:
                raise DamagedError(f"{folder / name} is damaged", got=f"{size:,} bytes", expected=facts["bytes"])
            contents[name] = (folder / name).read_bytes()
            if hashlib.sha256(contents[name]).hexdigest() != facts["sha256"]:
                raise DamagedError(f"{folder / name} is damaged", got="other bytes than were written")
    except (OSError, KeyError, TypeError) as error:
        raise DamagedError(f"{folder} is not whole", got=f"{type(error).__name__}: {error}") from None
    return contents


def discard_folder(folder: Path) -> None:
    """Delete a folder that is not wanted any more: no half of it is ever seen under its name."""
    with _explained(folder):
        draft = folder.with_name(f".tmp-{folder.name}-{_token()}")
        os.rename(folder, draft)
        _sync_folder(folder.parent)
    remove_folder(draft)


def remove_folder(folder: Path) -> None:
    """Delete a folder so that a half-deleted one is never taken for a whole one: the manifest goes first."""
    if folder.is_symlink():  # what it points to is not ours
        _drop(folder)
        return
    _drop(folder / MANIFEST)
    for place, folders, names in os.walk(folder, topdown=False):
        for name in names:
            _drop(Path(place, name))
        for name in folders:
            _drop_folder(Path(place, name))
    _drop_folder(folder)


def _drop_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        if folder.is_symlink():
            os.unlink(folder)
        elif folder.is_dir():
            os.rmdir(folder)


def tidy(folder: Path) -> None:
    """After a kill: drafts go, and a folder that was moved aside comes back where nothing took its place.

    Only for the process that alone may write below `folder`. What another living process is writing is left alone.
    """
    with _explained(folder):
        _tidy(folder)


def _tidy(folder: Path) -> None:
    left = [(p, match) for p in folder.iterdir() if (match := _LEFT.fullmatch(p.name))]
    stale = []
    for path, match in sorted(left, key=lambda pair: _written(pair[0]), reverse=True):
        if path.name.startswith(".old-"):
            target = folder / match["folder"]
            if not target.exists() and (path / MANIFEST).is_file():
                os.rename(path, target)
            else:
                stale.append(path)
        elif not _alive(int(match["pid"] or match["writer"])):
            stale.append(path)
    if stale:
        _sync_folder(folder)  # what took a folder's place must be durable before that one goes
    for path in stale:
        if path.is_dir():
            remove_folder(path)
        else:
            _drop(path)


def _alive(pid: int) -> bool:
    """Does another process of this number run here? Our own number is that of an earlier life: we write nothing yet."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def new_folder(root: Path, name: str) -> Path:
    """Make ``root/name``, or ``root/name-2``, ``-3`` ... if that exists; two processes never get the same one."""
    with _explained(root / name):
        _make_folders(root)
        for number in range(1, 1_000_000):
            folder = root / (name if number == 1 else f"{name}-{number}")
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder)
                _sync_folder(root)
                return folder
    raise GliaError(f"no free name for a run called {name!r} in {root}")


class Log:
    """A file of lines that only grows; after a kill it is cut back to a length that a checkpoint recorded.

    keep_bytes: that length; without it, only a last line that a kill cut short goes. sha256: of all lines so far.
    """

    def __init__(self, path: Path, keep_bytes: int | None = None):
        self.path = path
        with _explained(path):
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            content = path.read_bytes()
            keep = content.rfind(b"\n") + 1 if keep_bytes is None else keep_bytes
            if keep > len(content):
                os.close(self._handle)
                raise DamagedError(f"{path} is shorter than it was", got=f"{len(content)} bytes", expected=f"{keep}")
            if keep < len(content):
                os.ftruncate(self._handle, keep)
            _sync_folder(path.parent)
        self._sum, self._waiting, self._length = hashlib.sha256(content[:keep]), bytearray(), keep
        self._synced = -1

    @property
    def sha256(self) -> str:
        return self._sum.hexdigest()

    def append(self, value: Any) -> None:
        """One JSON value as one line."""
        line = (json.dumps(value) + "\n").encode()
        self._waiting += line
        self._sum.update(line)
        if len(self._waiting) >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, bytearray()  # what the disk refused once is not tried again
        with _explained(self.path, len(waiting)):
            try:
                _write(self._handle, waiting)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._handle, self._length)
                raise
        self._length += len(waiting)

    def sync(self) -> int:
        """Everything so far is on the disk; returns the length in bytes, for a checkpoint to record."""
        self._flush()
        if self._length != self._synced:
            with _explained(self.path):
                os.fsync(self._handle)
            self._synced = self._length
        return self._length

    def close(self) -> None:
        try:
            self._flush()
        finally:
            os.close(self._handle)


class Scratch:
    """A file without a name, for what memory cannot hold: it is gone when the last one that reads it is, or is killed.

    The file is not synced: nothing is to be found in it again.
    """

    def __init__(self, folder: Path):
        self.folder, self.length = folder, 0
        draft = folder / f".scratch.{_token()}.tmp"
        with _explained(draft):
            _make_folders(folder)
            self._handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            os.unlink(draft)

    def add(self, content: bytes | memoryview) -> int:
        """Write at the end; where that begins."""
        start = self.length
        with _explained(self.folder / "scratch", len(content)):
            _write(self._handle, content)
        self.length += len(content)
        return start

    def put(self, start: int, content: memoryview) -> None:
        """Write at a place of one's own; threads may do so at once."""
        with _explained(self.folder / "scratch", len(content)):
            while content:
                written = os.pwrite(self._handle, content, start)
                start, content = start + written, content[written:]

    def extend(self, length: int) -> None:
        """Make it at least so long; what was not written is zeros."""
        if length > os.fstat(self._handle).st_size:
            with _explained(self.folder / "scratch"):
                os.ftruncate(self._handle, length)
        self.length = length

    def read(self, start: int, length: int) -> bytes:
        return os.pread(self._handle, length, start)

    def map(self, *, private: bool = False) -> mmap.mmap:
        """All of it (at least a byte) as memory that the system may take away and read again. private: may be changed
        there, which the file never sees.
        """
        return mmap.mmap(self._handle, self.length, access=mmap.ACCESS_COPY if private else mmap.ACCESS_READ)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.close(self._handle)


@contextlib.contextmanager
def locked(folder: Path, name: str = ".lock", *, wait: bool = False) -> Iterator[None]:
    """Only one process at a time may write into a run; the lock goes when the process does, however it ends."""
    with _explained(folder):
        handle = os.open(folder / name, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise GliaError(f"{folder} is in use by another process", hint="wait for it, or stop it") from None
        yield
    finally:
        os.close(handle)
