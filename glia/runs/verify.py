"""Is every file of a run what was written there? By the seals, and by the manifests of the folders in it."""

import hashlib
import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from glia import disk
from glia.errors import DamagedError
from glia.runs import seals

DERIVED = ("report.html", "tensorboard/*", "*.onnx", "*.onnx.data", "*.pt2")
"""Made from the run, and at any time again: a person may edit or delete them."""
_FOLDERS = ("model", "predictions", "checkpoints/step-*")


class Verdict(NamedTuple):
    """Of one file. state: "whole", "damaged", "changed" (derived, and edited since), "derived" (never sealed, for
    it can be made again) or "unknown" (none of glia's files)."""

    name: str
    state: str
    why: str = ""


def verify(run: Path, *, checkpoints: bool = True) -> list[Verdict]:
    """One verdict a file, by name. Drafts that a kill left behind are none of the run's files.

    checkpoints: also those, which are the largest.
    """
    try:
        listed, found = seals.read(run), list[Verdict]()
        if listed is not None:
            found.append(Verdict(seals.SEALS, "whole"))
        elif _was_sealed(run):
            found.append(Verdict(seals.SEALS, "damaged", "missing"))
    except DamagedError as error:
        listed, found = None, [Verdict(seals.SEALS, "damaged", str(error.got))]
    for name in listed or {}:
        found.append(_sealed(run, name, listed or {}))
    for pattern in _FOLDERS if checkpoints else _FOLDERS[:2]:
        for folder in {disk.located(run / pattern)} if "*" not in pattern else set(run.glob(pattern)):
            must = "*" in pattern or pattern in (listed or {})
            if must or (folder / disk.MANIFEST).is_file():
                found += _manifested(run, folder)
    told = {verdict.name for verdict in found}
    for path in run.rglob("*"):
        name = path.relative_to(run).as_posix()
        hidden = any(part.startswith(".") for part in path.relative_to(run).parts)
        if path.is_file() and name not in told and not hidden and (checkpoints or not name.startswith("checkpoints/")):
            found.append(Verdict(name, *(("derived", "") if _derived(name) else ("unknown", "never sealed"))))
    return sorted(found)


def damaged(run: Path, *, checkpoints: bool = True) -> list[str]:
    """Names of the files that are not what was written."""
    return [verdict.name for verdict in verify(run, checkpoints=checkpoints) if verdict.state == "damaged"]


def _derived(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in DERIVED)


def _was_sealed(run: Path) -> bool:
    """Does the run say that it had seals from its beginning?"""
    try:
        return bool(json.loads((run / "machine.json").read_bytes()).get("sealed"))
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _sealed(run: Path, name: str, listed: seals.Listed) -> Verdict:
    if "folder" in listed[name]:
        there = disk.folder_exists(run / name)
        return Verdict(f"{name}/", "whole") if there else Verdict(f"{name}/", "damaged", "missing")
    try:
        content = seals.checked(run, name)
    except DamagedError as error:
        return Verdict(name, "changed" if _derived(name) else "damaged", str(error.got))
    if content is None:
        return Verdict(name, "whole", "not there yet")
    beyond = len(content) - listed[name].get("bytes", len(content))
    return Verdict(name, "whole", f"but for the last {beyond} bytes, not sealed yet" if beyond > 0 else "")


def _manifested(run: Path, folder: Path) -> Iterator[Verdict]:
    """Of a folder that `disk.write_folder` made, wherever it stands now."""
    if not folder.is_dir():
        return
    place = folder.relative_to(run).as_posix()
    try:
        manifest = folder / disk.MANIFEST
        listed = disk.unsigned(manifest.read_bytes(), manifest)
    except (OSError, DamagedError) as error:
        yield Verdict(f"{place}/{disk.MANIFEST}", "damaged", _why(error))
        return
    yield Verdict(f"{place}/{disk.MANIFEST}", "whole")
    for name, facts in listed.items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            yield Verdict(f"{place}/{disk.MANIFEST}", "damaged", f"names a file outside its folder: {name}")
            continue
        try:
            same = hashlib.sha256((folder / name).read_bytes()).hexdigest() == facts["sha256"]
            verdict = ("whole", "") if same else ("damaged", "other bytes than were written")
        except OSError as error:
            verdict = ("damaged", _why(error))
        yield Verdict(f"{place}/{name}", *verdict)


def _why(error: OSError | DamagedError) -> str:
    return "missing" if isinstance(error, FileNotFoundError) else str(getattr(error, "got", None) or error)
