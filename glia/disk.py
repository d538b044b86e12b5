"""The one module that writes. Nothing is overwritten in place: what is new is written beside, synced, then renamed.

A file: temporary name in the same folder, fsync, rename, fsync of the folder. A folder: the same with a manifest of
every file's size and sha256, written last, so that a reader can tell a whole folder from a torn or damaged one.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from glia.errors import DamagedError, DiskError, GliaError

MANIFEST = "manifest.json"
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "no permission",
    errno.EIO: "the disk reports an input/output error",
    errno.EFBIG: "the file would be larger than is allowed",
}


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal into one line that names the path and the room left."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        folder = next((p for p in path.absolute().parents if p.is_dir()), Path("/"))
        free = shutil.disk_usage(folder).free / 2**20
        hint = "free some space, or another folder (runs=FOLDER)" if error.errno == errno.ENOSPC else None
        raise DiskError(f"cannot write {path}: {reason}", got=f"{free:.1f} MiB free there", hint=hint) from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _beside(path: Path, mode: str, **options: Any) -> Iterator[IO[Any]]:
    """A new file that takes `path`'s place when the block ends well, and vanishes when it does not."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _explained(path):
        try:
            with open(draft, mode, **options) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
            _sync_folder(path.parent)
        finally:
            draft.unlink(missing_ok=True)


def write_file(path: Path, content: bytes | str) -> None:
    """Replace (or make) one file, whole or not at all."""
    with _beside(path, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, value: Any) -> None:
    """`write_file` for plain data."""
    write_file(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=True) + "\n")


@contextlib.contextmanager
def open_rows(path: Path, *, overwrite: bool = False) -> Iterator[IO[bytes]]:
    """A binary file to write piece by piece; it appears under its name when the block ends well."""
    if path.exists() and not overwrite:
        raise GliaError(f"{path} exists already", hint="another name, or overwrite=true")
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _beside(path, "xb") as file:
        yield file


def _sealed(files: dict[str, Any]) -> str:
    """The manifest's own hash, over the canonical spelling of what it lists."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def write_folder(target: Path, files: dict[str, bytes]) -> None:
    """Make (or replace) a folder of files with their manifest, whole or not at all.

    A folder that is replaced is moved aside first and deleted last, so at every moment one whole folder can be found.
    """
    draft = target.with_name(f".tmp-{target.name}-{os.getpid()}")
    aside = target.with_name(f".old-{target.name}-{os.getpid()}")
    listed = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    manifest = json.dumps({"format": 1, "files": listed, "sha256": _sealed(listed)}, indent=1).encode()
    with _explained(target):
        try:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            for name, data in {**files, MANIFEST: manifest}.items():
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                with open(draft / name, "xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            for folder in {(draft / name).parent for name in files} | {draft}:
                _sync_folder(folder)
            if target.exists():
                os.rename(target, aside)
            os.rename(draft, target)
            _sync_folder(target.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            if target.exists():
                shutil.rmtree(aside, ignore_errors=True)
            elif aside.exists():
                os.rename(aside, target)


def read_folder(folder: Path) -> dict[str, bytes]:
    """All files of a folder that `write_folder` made, each compared with the manifest.

    Raises DamagedError when anything is missing, cut short or changed.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        listed = manifest["files"]
        if manifest["sha256"] != _sealed(listed):
            raise DamagedError(f"{folder / MANIFEST} is damaged")
        contents = {}
        for name, facts in listed.items():
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise DamagedError(f"{folder / MANIFEST} names a file outside its folder", got=name)
            contents[name] = (folder / name).read_bytes()
            if hashlib.sha256(contents[name]).hexdigest() != facts["sha256"]:
                raise DamagedError(f"{folder / name} is damaged", got="other bytes than were written")
    except DamagedError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{folder} is not whole", got=f"{type(error).__name__}: {error}") from None
    return contents


def recover(target: Path) -> None:
    """After a kill between the two renames of `write_folder`: put the folder that was moved aside back in its place."""
    for aside in sorted(target.parent.glob(f".old-{target.name}-*")):
        if not target.exists():
            os.rename(aside, target)
        else:
            remove_folder(aside)
    for draft in target.parent.glob(f".tmp-{target.name}-*"):
        remove_folder(draft)


def remove_folder(folder: Path) -> None:
    """Delete a folder so that a half-deleted one is never taken for a whole one: the manifest goes first."""
    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def new_folder(root: Path, name: str) -> Path:
    """Make ``root/name``, or ``root/name-2``, ``-3`` ... if that exists; two processes never get the same one."""
    with _explained(root / name):
        root.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1_000_000):
            folder = root / (name if number == 1 else f"{name}-{number}")
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                _sync_folder(root)
                return folder
    raise GliaError(f"no free name for a run called {name!r} in {root}")


class Log:
    """A file of lines that only grows; after a kill it is cut back to a length that a checkpoint recorded."""

    def __init__(self, path: Path, keep_bytes: int | None = None):
        self.path = path
        with _explained(path):
            self._file = open(path, "ab")  # noqa: SIM115 - open for as long as the run
            if keep_bytes is not None and self._file.tell() > keep_bytes:
                self._file.truncate(keep_bytes)
                self._file.seek(0, os.SEEK_END)

    def append(self, value: Any) -> None:
        """One JSON value as one line."""
        with _explained(self.path):
            self._file.write((json.dumps(value) + "\n").encode())

    def sync(self) -> int:
        """Everything so far is on the disk; returns the length in bytes, for a checkpoint to record."""
        with _explained(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        with _explained(self.path):
            self._file.close()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process at a time may write into a run; the lock goes when the process does, however it ends."""
    with _explained(folder):
        handle = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GliaError(f"{folder} is in use by another process", hint="wait for it, or stop it") from None
        yield
    finally:
        os.close(handle)
