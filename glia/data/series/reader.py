"""SeriesReader: any source of series to the tensors that a trained network takes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glia.data.prepared import Raw
from glia.data.series.found import Asked, SeriesSet
from glia.data.series.sources import is_arrays, open_series
from glia.data.series.tsfile import is_ts
from glia.data.tables.source import ReadOptions
from glia.data.tables.target import Answer, answered
from glia.data.task import Task
from glia.errors import GliaError


@dataclass(frozen=True)
class SeriesReader:
    """How a source becomes float (N, L, channels), NaN past the end. asked: with the channels and targets of training.

    names: of the series it was made with, by row; not stored.
    """

    asked: Asked
    answer: Answer
    names: Mapping[int, str] = field(default_factory=dict, compare=False, repr=False)

    kind = "series"

    def stream(self, source: Any, *, targets: bool = False, rows: int = 4096) -> Iterator[Raw]:
        """The series of a source in pieces of at most `rows`.

        `targets=True`: those that have an answer; of a source with an official test part that part alone.
        """
        found = self.open(source, labelled=targets)
        if targets:
            found = found.only(answered(found.table, self.answer.task.targets))
            if "test" in found.parts:
                found = found.only(np.flatnonzero(np.array(found.parts) == "test"))
            if not len(found):
                raise GliaError(f"no series of {found.name} has a value in target {self.answer.task.targets[0]!r}")
        answers = self.answer.encode(found.table) if targets else None
        for part in torch.arange(len(found)).split(rows):
            here = slice(int(part[0]), int(part[-1]) + 1)
            frame = found.table.frame[here.start : here.stop]
            yield Raw(found.steps.take(part), None if answers is None else answers[part], found.names[here], frame)

    def open(self, source: Any, *, labelled: bool) -> SeriesSet:
        """The series of a source of the form of training's, a `.ts` file, or arrays."""
        form = self.asked.form
        if is_arrays(source):
            form = "arrays"
        elif isinstance(source, str | Path) and is_ts(Path(source)):
            form = "ts"
        return open_series(source, replace(self.asked, form=form), labelled=labelled)

    def name_of(self, row: int) -> str:
        """What people call a row of the source that this reader was made with."""
        return self.names.get(row, str(row))

    def knowing(self, names: Sequence[str], rows: Sequence[int]) -> "SeriesReader":
        """The reader with the names of its own rows."""
        return replace(self, names=dict(zip(rows, names)))

    def to_dict(self) -> dict[str, Any]:
        """Everything but `names`, as plain JSON."""
        return {"asked": asdict(self.asked), "answer": asdict(self.answer)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "SeriesReader":
        asked, answer = _tuples(data["asked"]), data["answer"]
        options = ReadOptions(**_tuples(asked.pop("options")))
        task = Task.from_dict(answer["task"])
        return cls(Asked(**asked, options=options), Answer(task, answer["why"], answer["numeric"]))


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
