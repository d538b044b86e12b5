"""Is a run's folder whole, and are two runs the same? Read by means of its own, so that a fault in how glia reads
cannot hide one in how it writes.
"""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

SAME = ("chart.jsonl", "history.csv", "metrics.json", "curves.json")
FOLDERS = ("model", "predictions")
STATE = ("state.json", "state.safetensors")


def problem_of(folder: Path) -> str | None:
    """What is wrong with a sealed folder (a checkpoint, a model): a file absent, of another length or sum, or torn."""
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
        listed = manifest["files"]
        seal = hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()
        if seal != manifest["sha256"] or manifest["format"] < 1:
            return "the manifest is not what was sealed"
        for name, facts in listed.items():
            content = (folder / name).read_bytes()
            if len(content) != facts["bytes"] or hashlib.sha256(content).hexdigest() != facts["sha256"]:
                return f"{name} is not what the manifest says"
            if name.endswith(".safetensors") and not _fits(content):
                return f"{name} is torn"
            if name.endswith(".json"):
                json.loads(content)
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _fits(content: bytes) -> bool:
    """Does every tensor of a safetensors file lie inside it, from the first byte to the last?"""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return len(content) == 8 + length + max(ends, default=0)


def newest(run: Path) -> tuple[int, str | None]:
    """(step, what is wrong) of the newest checkpoint; (-1, None) where there is none.

    One that is older may be half deleted; the newest, and so the one that a reader takes, must be whole.
    """
    steps = sorted((run / "checkpoints").glob("step-*"))
    if not steps:
        return -1, None
    return int(steps[-1].name.partition("-")[2]), problem_of(steps[-1])


def finished(run: Path) -> bool:
    """Does the run say that it is done?"""
    try:
        return bool(json.loads((run / "status.json").read_bytes())["state"] == "finished")
    except (OSError, ValueError, KeyError):
        return False


def differences(run: Path, other: Path) -> list[str]:
    """Files of two finished runs that are not equal to the last bit: figures, weights, optimiser, predictions."""
    names = [name for name in SAME if (other / name).exists() or (run / name).exists()]
    for folder in FOLDERS:
        names += sorted({str(p.relative_to(r)) for r in (run, other) for p in (r / folder).rglob("*") if p.is_file()})
    found = [name for name in names if _read(run / name) != _read(other / name)]
    (step, wrong), (expected, _) = newest(run), newest(other)
    if wrong is not None or step != expected:
        return [*found, f"last checkpoint: step {step}, not {expected}" if wrong is None else f"step {step}: {wrong}"]
    last = Path("checkpoints") / f"step-{step:09d}"
    return found + [str(last / name) for name in STATE if _read(run / last / name) != _read(other / last / name)]


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
