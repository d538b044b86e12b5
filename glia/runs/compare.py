"""Two finished runs, bit by bit: which tensor, figure or line is not the same, and by how much."""

import json
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from glia import disk
from glia.errors import DamagedError, GliaError
from glia.runs import checkpoint
from glia.runs.folder import RunFolder

TRAINED = ("model", "optimizer", "average")  # of a checkpoint
TIMES = frozenset({"seconds"})  # keys that hold what a clock said


@dataclass(frozen=True)
class Difference:
    """what: the part of a run. where: the tensor, figure or line in it. amount: how they differ, in words."""

    what: str
    where: str
    amount: str

    def __str__(self) -> str:
        return f"{self.what}, {self.where}: {self.amount}" if self.where else f"{self.what}: {self.amount}"


def differences(run: Path, other: Path, leave_out: Collection[str] = ()) -> list[Difference]:
    """Everything that is not equal to the last bit; `leave_out` names `PARTS`. Times are not compared."""
    found: list[Difference] = []
    for name, read in PARTS.items():
        if name not in leave_out:
            one, two = (_or_nothing(read, folder) for folder in (run, other))
            found += _differences(name, one, two)
    return found


def present(run: Path) -> list[str]:
    """Those of `PARTS` that a run has anything of: one that was not finished has no metrics, an older one less."""
    return [name for name, read in PARTS.items() if _or_nothing(read, run)]


def by_how_much(one: Tensor, other: Tensor) -> str:
    """In words: the largest difference of two tensors, also as a share of the largest number in the first."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return f"{tuple(one.shape)} {one.dtype} against {tuple(other.shape)} {other.dtype}".replace("torch.", "")
    a, b = one.double(), other.double()
    if not bool(torch.isfinite(a).all() and torch.isfinite(b).all()):
        return "there are numbers that are not finite"
    largest = float((a - b).abs().max())
    count = int((a != b).sum())
    if not count:
        return "zeros of another sign"
    size = float(a.abs().max())
    share = f", {largest / size:.2g} of the largest" if size else ""
    return f"{count:,} of {a.numel():,} numbers differ, by at most {largest:.3g}{share}"


def _differences(what: str, one: dict[str, Any], two: dict[str, Any]) -> Iterator[Difference]:
    for where in dict.fromkeys([*one, *two]):
        if where not in one or where not in two:
            yield Difference(what, where, "only in the first" if where in one else "only in the second")
            continue
        a, b = one[where], two[where]
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            if not same_bits(a, b):
                yield Difference(what, where, by_how_much(a, b))
        elif repr(a) != repr(b):
            yield Difference(what, where, f"{a} against {b}")


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Equal in type, shape and every bit: 0 and -0 are not, one NaN and another of the same bits are."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    a, b = (tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other))
    return torch.equal(a, b)


def flat(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dicts and lists by their place, "a.b.0"; times are left out."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key not in TIMES:
                yield from flat(value, f"{place}.{key}" if place else str(key))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from flat(value, f"{place}.{index}" if place else str(index))
    else:
        yield place, node


def largest_gap(run: Path, other: Path) -> float:
    """How far apart two loss curves are at most, as a share of the first's loss; NaN where they have no step in common.

    Steps that the chart left out in one of them are passed over.
    """
    one, two = ({line["step"]: line["loss"] for line in _steps(folder)} for folder in (run, other))
    gaps = [_gap(one[step], two[step]) for step in one if step in two]
    return max(gaps) if gaps else math.nan


def _gap(a: float, b: float) -> float:
    if repr(a) == repr(b):
        return 0.0
    gap = abs(a - b) / max(abs(a), 1e-12)
    return gap if math.isfinite(gap) else math.inf


def _steps(folder: Path) -> Iterator[dict[str, Any]]:
    return (line for line in RunFolder(folder).chart() if line.get("kind") == "step")


def _or_nothing(read: Callable[[Path], dict[str, Any]], folder: Path) -> dict[str, Any]:
    try:
        return read(folder)
    except DamagedError:
        raise
    except GliaError:
        return {}


def _chart(kind: str) -> Callable[[Path], dict[str, Any]]:
    def read(folder: Path) -> dict[str, Any]:
        lines = (line for line in RunFolder(folder).chart() if line.get("kind") == kind)
        figures = ((line.get(kind), name, value) for line in lines for name, value in line.items() if name != "kind")
        return {f"{kind} {number} {name}": value for number, name, value in figures}

    return read


def _json_of(name: str) -> Callable[[Path], dict[str, Any]]:
    return lambda folder: dict(flat(RunFolder(folder).read_json(name, {})))


def _weights(which: str) -> Callable[[Path], dict[str, Any]]:
    return lambda folder: dict(RunFolder(folder).load_model(which)[1])


def _state(folder: Path) -> dict[str, Any]:
    """What the next step of the last checkpoint would begin from."""
    state = checkpoint.latest(folder) or {}
    progress = {key: value for key, value in state.get("progress", {}).items() if key != "valid_losses"}
    return dict(flat({key: value for key, value in state.items() if key in TRAINED} | {"progress": progress}))


def _validated(folder: Path) -> dict[str, Any]:
    """What it holds of validation, but for the best weights, which are in model/."""
    state = checkpoint.latest(folder) or {}
    best = {key: value for key, value in state.get("best", {}).items() if key != "weights"}
    return dict(flat({"best": best, "valid_losses": state.get("progress", {}).get("valid_losses", [])}))


def _predictions(folder: Path) -> dict[str, Any]:
    if not (folder / "predictions").is_dir():
        return {}
    found: dict[str, Any] = {}
    for name, content in disk.read_folder(folder / "predictions").items():
        if name.endswith(".safetensors"):
            found |= {f"{name} {key}": tensor for key, tensor in safetensors.torch.load(content).items()}
        elif name.endswith(".json"):
            found |= {f"{name} {key}": value for key, value in flat(json.loads(content))}
        else:
            found[name] = content
    return found


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "losses of steps": _chart("step"),
    "figures of epochs": _chart("epoch"),
    "last checkpoint": _state,
    "validations": _validated,
    "last weights": _weights("last"),
    "best weights": _weights("best"),
    "metrics.json": _json_of("metrics.json"),
    "curves.json": _json_of("curves.json"),
    "predictions": _predictions,
}
# What validating at other epochs must not change; which weights are best, and so all that is measured, it may.
BY_VALIDATION = tuple(name for name in PARTS if name not in ("losses of steps", "last checkpoint", "last weights"))
