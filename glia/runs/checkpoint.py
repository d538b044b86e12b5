"""Checkpoints: all that a run needs to go on from a step as if it had never stopped."""

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from glia import disk
from glia.errors import DamagedError
from glia.runs import seals
from glia.runs.packing import pack, unpack

KEEP = 2
_NAME = re.compile(r"step-(\d{9})")


def save(run: Path, step: int, state: dict[str, Any], logs: Sequence[disk.Log] = ()) -> Path:
    """Write ``run/checkpoints/step-...`` whole or not at all, then drop all but the newest two.

    logs: of the run; they are sealed as they are now.
    Any of a later step was passed over as damaged when the run went on from an earlier one: it goes too.
    """
    folder = run / "checkpoints" / f"step-{step:09d}"
    skeleton, tensors = pack(state)
    disk.write_folder(folder, {"state.json": skeleton, "state.safetensors": tensors})
    # Between the two: what must be there is sealed when it is, and let go before it goes.
    seals.note(run, logs, f"checkpoints/{folder.name}", instead_of="checkpoints/")
    found = [one for one in _newest_first(run) if one.is_dir()]
    here = found.index(folder)
    for old in found[:here] + found[here + KEEP :]:
        disk.discard_folder(old)
    return folder


def latest(run: Path, warn: Callable[[str], None] = warnings.warn) -> dict[str, Any] | None:
    """The newest checkpoint that is whole, or None; a damaged one is passed over with one warning."""
    for folder in _newest_first(run):
        try:
            return _read(folder)
        except (DamagedError, KeyError, AttributeError) as error:
            warn(f"{folder} is damaged ({error}); going back to the one before it")
    return None


def at(run: Path, step: int) -> dict[str, Any] | None:
    """The checkpoint of that very step, or None where it was not kept, or is damaged."""
    folder = run / "checkpoints" / f"step-{step:09d}"
    if not folder.is_dir():
        return None
    try:
        return _read(folder)
    except (DamagedError, KeyError, AttributeError):
        return None


def _read(folder: Path) -> dict[str, Any]:
    files = disk.read_folder(folder)
    state: dict[str, Any] = unpack(files["state.json"], files["state.safetensors"])
    progress = state.get("progress", {})
    if progress.get("step", _step_of(folder)) != _step_of(folder):
        raise DamagedError("it is another step's", got=progress["step"])
    return state


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def _newest_first(run: Path) -> list[Path]:
    """Where checkpoints are, also such as a writer was just replacing when it was killed."""
    names = {p.name for p in (run / "checkpoints").glob("step-*")}
    names |= {p.name.removeprefix(".old-")[:14] for p in (run / "checkpoints").glob(".old-step-*")}
    return [run / "checkpoints" / name for name in sorted(names, reverse=True) if _NAME.fullmatch(name)]
