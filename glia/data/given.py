"""Data as Python gives them: tensors, arrays, batches or loaders, taken as they are."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glia.data.batches import Batches
from glia.data.facts import Facts, TensorFacts
from glia.data.prepared import Prepared, Raw
from glia.data.task import Task
from glia.errors import GliaError

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class GivenReader:
    """Tensors or arrays of the same shape a row, (N, ...); with targets (inputs, targets)."""

    shape: tuple[int, ...]
    dtype: str

    kind = "tensor"

    def stream(self, source: Any, *, targets: bool = False, rows: int = 4096) -> Iterator[Raw]:
        """The rows of a tensor or an array, in pieces."""
        inputs, answers = _pair(source) if isinstance(source, list | tuple) else (source, None)
        if not isinstance(inputs, Tensor | np.ndarray):
            raise GliaError(
                "this run was given its rows in Python", got=type(source).__name__,
                expected=f"a tensor or an array (rows, {', '.join(map(str, self.shape))})",
            )  # fmt: skip
        if targets and answers is None:
            raise GliaError("these rows have no answers", expected="(inputs, targets)")
        inputs = torch.as_tensor(inputs).to(getattr(torch, self.dtype))
        if tuple(inputs.shape[1:]) != self.shape:
            raise GliaError("the shape of a row", got=tuple(inputs.shape[1:]), expected=self.shape)
        answers = None if answers is None else torch.as_tensor(answers)
        for start in range(0, len(inputs), rows):
            piece = inputs[start : start + rows]
            names = [str(row) for row in range(start, start + len(piece))]
            yield Raw(piece, answers[start : start + rows] if targets and answers is not None else None, names, None)

    def to_dict(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "dtype": self.dtype}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "GivenReader":
        return cls(tuple(data["shape"]), data["dtype"])


def given(data: Any, *, step: bool = False) -> Prepared:
    """Prepared from what Python has: a Prepared (as it is), or training, validation and test parts of

    (inputs, targets) tensors or arrays, `Batches`, DataLoaders or lists of batches: one part, or a tuple of up to
    three. Whole numbers (N,) as targets are classes, other numbers are to be predicted; step: whatever the user's own
    Step makes of them. Raises GliaError for anything else.
    """
    if isinstance(data, Prepared):
        return data
    parts = [_part(part) for part in (data if _is_parts(data) else (data,))]
    if len(parts) > len(PARTS):
        raise GliaError("data", got=f"{len(parts)} parts", expected="training, validation and test rows")
    train, valid, test = (*parts, None, None)[: len(PARTS)]
    if train is None:
        raise GliaError("there are no training rows")
    counts = {name: rows_of(part) for name, part in zip(PARTS, parts) if part is not None}
    facts, dtype = _facts(train, counts["train"])
    task = Task("own", ()) if step or not isinstance(train, Batches) else _task(train)
    card = {
        "kind": "tensor", "source": "in memory", "rows": sum(count or 0 for count in counts.values()),
        "parts": counts, "fingerprint": _fingerprint([train, valid, test]),
    }  # fmt: skip
    # Loaders stand where our own batches do: whoever looks at single rows asks first.
    return Prepared(train, valid, test, task, facts, GivenReader(facts.shape, dtype), card)  # type: ignore[arg-type]


def _is_parts(data: Any) -> bool:
    """A tuple of parts, not one (inputs, targets) pair."""
    return isinstance(data, tuple) and not isinstance(data[0] if data else None, Tensor | np.ndarray)


def _part(part: Any) -> Batches | Iterable[Any] | None:
    if part is None or isinstance(part, Batches):
        return part
    if isinstance(part, tuple) and part and isinstance(part[0], Tensor | np.ndarray):
        inputs, targets = (torch.as_tensor(value) for value in _pair(part))
        if len(inputs) != len(targets):
            raise GliaError("inputs and targets", got=f"{len(inputs)} and {len(targets)} rows", expected="as many")
        if targets.is_floating_point() and targets.ndim == 1:
            targets = targets.unsqueeze(1)
        return Batches(inputs, targets, torch.arange(len(inputs)))
    if isinstance(part, Iterable) and not isinstance(part, str | bytes | dict) and iter(part) is not part:
        return part
    raise GliaError("data", got=type(part).__name__, expected="(inputs, targets), Batches, a DataLoader or a list")


def _pair(part: Any) -> tuple[Any, Any]:
    if len(part) != 2:
        raise GliaError("rows", got=f"{len(part)} things", expected="(inputs, targets)")
    return part[0], part[1]


def rows_of(part: Any) -> int | None:
    """How many rows, where it is known without reading all."""
    if isinstance(part, Batches):
        return len(part)
    dataset = getattr(part, "dataset", None)
    return len(dataset) if hasattr(dataset, "__len__") else None  # type: ignore[arg-type]


def _facts(train: Any, rows: int | None) -> tuple[Facts, str]:
    """Shape and dtype of a row, from the first one."""
    if isinstance(train, Batches):
        first = train.at(torch.tensor([0])).inputs
    else:
        found = next((value for value in _tensors(next(iter(train), None)) if value.ndim), None)
        if found is None:
            raise GliaError("the first training batch", got="no tensor", expected="inputs and targets")
        first = found
    return TensorFacts(tuple(first.shape[1:]), rows or 0), str(first.dtype).removeprefix("torch.")


def _tensors(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, dict):
        for value in batch.values():
            yield from _tensors(value)
    elif isinstance(batch, list | tuple):
        for value in batch:
            yield from _tensors(value)


def _task(train: Batches) -> Task:
    targets = train.targets
    if targets.is_floating_point():
        names = tuple(f"y{i}" for i in range(targets.shape[1])) if targets.ndim == 2 else ("y",)
        return Task("regress", names, center=(0.0,) * len(names), scale=(1.0,) * len(names))
    if targets.ndim > 1:
        return Task("own", ())
    if int(targets.min()) < 0:
        raise GliaError("classes", got=int(targets.min()), expected="whole numbers from 0")
    return Task("classify", ("y",), tuple(str(number) for number in range(int(targets.max()) + 1)))


def _fingerprint(parts: list[Any]) -> str | None:
    """sha256 of all rows; None where they come out of a loader, whose rows are not ours to read twice."""
    digest = hashlib.sha256()
    for part in parts:
        if part is None:
            digest.update(b"none")
        elif isinstance(part, Batches) and isinstance(part.inputs, Tensor):
            for tensor in (part.inputs, part.targets):
                digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        else:
            return None
    return digest.hexdigest()
