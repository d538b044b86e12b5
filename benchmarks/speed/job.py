"""What a tool is given to do, and what it tells of it."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.speed.works import Rows, Work

Predict = Callable[[Tensor], Tensor]
"""Inputs of a work -> logits, or logarithms of shares."""


class Unfit(Exception):
    """The tool has no usual form for this work."""


@dataclass
class Marks:
    """The end of each epoch, as the tool comes to it.

    look: is given what the network answers now and the seconds of training so far; its own time does not count.
    """

    look: Callable[[Predict, float], None] | None = None
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    aside: float = 0.0  # seconds that were spent in looking
    began: float = field(default_factory=time.perf_counter)

    def epoch(self, predict: Predict | None = None) -> None:
        now = time.perf_counter()
        self.wall.append(now)
        self.cpu.append(processor_seconds())
        if self.look is not None and predict is not None:
            self.look(predict, now - self.began - self.aside)
            self.aside += time.perf_counter() - now


def processor_seconds() -> float:
    """Of this process and of the workers that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@dataclass(frozen=True)
class Job:
    """A work, for so many epochs. batch, rate: None for the tool's own default.

    planned: of how many epochs these are the first, for a tool whose choices hang on that; None for all.
    """

    work: Work
    rows: Rows
    epochs: int
    folder: Path
    marks: Marks
    batch: int | None = None
    rate: float | None = None
    planned: int | None = None

    def tensors(self) -> tuple[Tensor, Tensor]:
        """The rows as tensors. Raises Unfit where they are none."""
        if self.rows.x is None or self.rows.y is None:
            raise Unfit("the rows are no tensors")
        return self.rows.x, self.rows.y

    def loader(self, **more: Any) -> dict[str, Any]:
        """Arguments of a DataLoader for the rows, besides the dataset."""
        more |= {"collate_fn": self.rows.collate} if self.rows.collate else {}
        return {"batch_size": self.batch or 64, "shuffle": True, "num_workers": self.rows.workers, **more}


@dataclass(frozen=True)
class Trained:
    """What came of it.

    parameters: of the network, as the tool counts them. fewer: how many its own usual form of the network has less than
    torch's, for a reason that the tool's file names. chosen: what the tool has settled by itself for the speed.
    """

    predict: Predict
    parameters: int
    fewer: int = 0
    chosen: str = ""
