"""Prepared: the waist between data and models. What training sees, and how raw input becomes that."""

from collections.abc import Iterator
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeVar

from torch import Tensor

from glia.data.batches import Batches
from glia.data.facts import Facts
from glia.data.task import Task
from glia.limits import Raised

Holder = TypeVar("Holder")


class Raw(NamedTuple):
    """Some rows of raw input, ready for the network."""

    inputs: Tensor  # as Facts says
    targets: Tensor | None  # None when the source has no target, or it was not asked for
    names: list[str]  # what people call each row: its number in the file, or its path
    cells: Any  # polars frame of the raw rows, or None where there is none
    places: dict[str, list[float]] | None = None  # where each row lies in its recording, where rows are parts of one


class Reader(Protocol):
    """The fitted preparation's first half: raw source to tensors, the same way at training and prediction."""

    kind: str

    def stream(self, source: Any, *, targets: bool = False, rows: int = 4096) -> Iterator[Raw]:
        """Read a source (path, frame, array, folder) in pieces of `rows`; `targets=True` demands the targets too."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Everything that is needed to read again, as plain JSON."""
        ...


def allowing(reader: Holder, raised: Raised) -> Holder:
    """The reader with more of `glia.limits` allowed than in training: it holds them itself, or what it holds does."""
    if not raised or not is_dataclass(reader) or isinstance(reader, type):
        return reader
    held = vars(reader)
    if "limits" in held:
        return replace(reader, limits={**held["limits"], **raised})
    inner = {name: allowing(held[name], raised) for name in ("options", "asked") if name in held}
    return replace(reader, **inner)


@dataclass(frozen=True)
class Prepared:
    """Training, validation and test rows, the task, and what was learnt of the data from training rows alone."""

    train: Batches
    valid: Batches | None
    test: Batches | None
    task: Task
    facts: Facts
    reader: Reader
    card: dict[str, Any] = field(default_factory=dict)  # the data card: plain JSON for the report
    notes: tuple[str, ...] = ()  # what people should hear: one sentence each

    def __repr__(self) -> str:
        """In one line: its fields hold a vocabulary, the card, all rows."""
        parts = {"train": self.train, "valid": self.valid, "test": self.test}
        rows = ", ".join(f"{name} {len(part):,}" for name, part in parts.items() if isinstance(part, Batches))
        return f"<Prepared {self.facts.kind} to {self.task.kind}: rows of {rows}>"
