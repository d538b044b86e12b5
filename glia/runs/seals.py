"""Seals: by ``seals.json`` a changed bit in any plain file of a run is found. It carries its own hash.

A file's new sha256 is announced before the file is replaced, and until the next change old and new both count: no kill
and no loss of power between the two makes a false alarm. A log that grows is sealed up to a length, each time that it
is synced. Folders have a manifest of their own; here stands only that they must be there. A run without seals, made by
an earlier version, reads as before.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glia import disk
from glia.errors import DamagedError

SEALS = "seals.json"
_LOCK = ".seals.lock"
_CHANGED = "other bytes than were written"

Listed = dict[str, dict[str, Any]]
"""By name: {"sha256": [of what may be there; null for no file]}, {"bytes", "sha256"} of a log, {"folder": true}"""


def read(run: Path) -> Listed | None:
    """What is sealed; None where the run has no seals. Raises DamagedError where the seals themselves are damaged."""
    path = run / SEALS
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedError(f"{path} cannot be read", got=error) from None
    try:
        return disk.unsigned(content, path)
    except DamagedError as error:
        hint = f"`glia verify {run}`; delete it to go on without seals"
        raise DamagedError(f"{path} is damaged", got=error.got, hint=hint) from None


def write(run: Path, name: str, content: bytes) -> None:
    """Replace (or make) a file of the run, sealed: it is found old or new, and nothing else passes for it."""
    with _changing(run) as listed:
        before, known = _sum(run / name), listed.get(name)
        accepted = [before] if known is None or before in known.get("sha256", ()) else []
        new = hashlib.sha256(content).hexdigest()
        listed[name] = {"sha256": [new, *(one for one in accepted if one != new)]}
        disk.write_file(run / SEALS, disk.signed(listed))
        disk.write_file(run / name, content)


def settle(run: Path) -> None:
    """At the end of a run: only what is there now counts."""
    if (run / SEALS).is_file():
        with _changing(run) as listed:
            disk.write_file(run / SEALS, disk.signed(listed))


def note(run: Path, logs: Sequence[disk.Log] = (), folder: str | None = None, instead_of: str = "") -> None:
    """Logs are sealed up to here; a folder is there now, and no other whose name begins with `instead_of` must be."""
    grown = {log.path.name: {"bytes": log.sync(), "sha256": log.sha256} for log in logs}
    with _changing(run) as listed:
        listed.update(grown)
        if folder is not None:
            for name in [one for one in listed if instead_of and one.startswith(instead_of)]:
                del listed[name]
            listed[folder] = {"folder": True}
        disk.write_file(run / SEALS, disk.signed(listed))


def cut(run: Path, name: str, keep: int) -> int:
    """Allow a log to be cut back to `keep` bytes; the length that is there to keep, 0 where the file was taken away.

    What was not sealed before waits for the next `note`: it may not be durable yet.
    Raises DamagedError when what is there is not what was written.
    """
    path = run / name
    if not path.is_file():
        keep, kept = 0, b""
    else:
        try:
            kept = checked(run, name) or b""
        except DamagedError as error:
            hint = "move it away: training then goes on, and its earlier lines are lost"
            raise DamagedError(error.what, got=error.got, hint=hint) from None
    with _changing(run) as listed:
        sealed = min(keep, listed.get(name, {}).get("bytes", 0))
        listed[name] = {"bytes": sealed, "sha256": hashlib.sha256(kept[:sealed]).hexdigest()}
        disk.write_file(run / SEALS, disk.signed(listed))
    return keep


def checked(run: Path, name: str) -> bytes | None:
    """The bytes of a file, compared with its seal; None where the run has no such file."""
    path, seen = run / name, list[bytes | None]()
    while True:
        try:
            content = path.read_bytes() if path.is_file() else None
        except OSError as error:
            raise DamagedError(f"{path} cannot be read", got=error) from None
        why = differs(read(run) or {}, name, content)
        if why is None:
            return content
        # Another process may have replaced the file since: then there is something new to read.
        if seen and seen[-1] == content:
            raise DamagedError(f"{path} is damaged", got=why)
        seen.append(content)


def differs(listed: Listed, name: str, content: bytes | None) -> str | None:
    """Why this is not what was sealed under a name; None when it is, or when nothing was."""
    seal = listed.get(name)
    if seal is None:
        return None
    if "bytes" in seal:
        length = seal["bytes"]
        if content is None or len(content) < length:
            return f"{len(content)} bytes of {length}" if content is not None else "no file" if length else None
        return None if hashlib.sha256(content[:length]).hexdigest() == seal["sha256"] else _CHANGED
    if content is None:
        return None if None in seal.get("sha256", ()) else "no file"
    return None if hashlib.sha256(content).hexdigest() in seal.get("sha256", ()) else _CHANGED


@contextmanager
def _changing(run: Path) -> Iterator[Listed]:
    """The seals, for one process at a time to change; of earlier changes only what is there now still counts."""
    with disk.locked(run, _LOCK, wait=True):
        listed = read(run) or {}
        open_ = {name: seal for name, seal in listed.items() if len(seal.get("sha256", "")) > 1 and "bytes" not in seal}
        if open_:
            disk.sync_folder(run)  # what is there may be a killed process's, and not durable yet
        for name, seal in open_.items():
            now = _sum(run / name)
            if now in seal["sha256"]:
                listed[name] = {"sha256": [now]}
        yield listed


def _sum(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
