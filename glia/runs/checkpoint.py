"""Checkpoints: all that a run needs to go on from a step as if it had never stopped."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glia import disk
from glia.errors import DamagedError
from glia.runs.packing import pack, unpack

KEEP = 2
_NAME = re.compile(r"step-(\d{9})")


def save(run: Path, step: int, state: dict[str, Any]) -> Path:
    """Write ``run/checkpoints/step-...`` whole or not at all, then drop all but the newest two."""
    folder = run / "checkpoints" / f"step-{step:09d}"
    skeleton, tensors = pack(state)
    disk.write_folder(folder, {"state.json": skeleton, "state.safetensors": tensors})
    for old in _newest_first(run)[KEEP:]:
        disk.remove_folder(old)
    return folder


def latest(run: Path, warn: Callable[[str], None] = warnings.warn) -> dict[str, Any] | None:
    """The newest checkpoint that is whole, or None; a damaged one is passed over with one warning."""
    for aside in (run / "checkpoints").glob(".old-step-*"):
        disk.recover(aside.with_name(aside.name.removeprefix(".old-").rpartition("-")[0]))
    for folder in _newest_first(run):
        try:
            files = disk.read_folder(folder)
            return unpack(files["state.json"], files["state.safetensors"])
        except (DamagedError, KeyError) as error:
            warn(f"{folder} is damaged ({error}); going back to the one before it")
    return None


def _newest_first(run: Path) -> list[Path]:
    folders = [p for p in (run / "checkpoints").glob("step-*") if _NAME.fullmatch(p.name)]
    return sorted(folders, reverse=True)
