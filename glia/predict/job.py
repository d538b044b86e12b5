"""Job: what the river asks of a kind of answer, and what it is given."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl
from torch import Tensor, nn

from glia.data.batches import Batches
from glia.data.prepared import Prepared, Reader
from glia.data.task import Task


@dataclass(frozen=True)
class Judged:
    """What is written down of one part of the data.

    metrics: the headline first. curves: what the page draws, plain JSON with "kind". tensors: answers that are kept.
    """

    metrics: dict[str, float]
    curves: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)


class Job(Protocol):
    """What the river asks of a kind of answer (`Task.kind`)."""

    def fitted(self, model: nn.Module, data: Prepared) -> None:
        """Work out what the network itself keeps besides weights, once training is over."""
        ...

    def judge(self, model: nn.Module, part: Batches, data: Prepared) -> Judged:
        """Measure the network on a part."""
        ...

    def examples(
        self, model: nn.Module, judged: Judged, part: Batches, data: Prepared, source: Any
    ) -> dict[str, bytes]:
        """Files on single rows that people want to see, "worst.json" among them (`glia.predict.worst`); may be none."""
        ...

    def baselines(self, data: Prepared) -> list[dict[str, Any]]:
        """Simple models on the same rows: {"name", "valid": metrics, "test": metrics, "seconds"} each."""
        ...

    def frames(
        self, model: nn.Module, task: Task, reader: Reader, source: Any, *, batch_rows: int = 4096, keep: bool = False
    ) -> Iterator[pl.DataFrame]:
        """Predictions for a new source, piece by piece."""
        ...

    def evaluate(self, model: nn.Module, task: Task, reader: Reader, source: Any) -> dict[str, float]:
        """Figures on a new source that has its answers."""
        ...
