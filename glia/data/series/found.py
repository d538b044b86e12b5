"""What a source of series gives: the series, and a table with a row for each of them."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
import torch

from glia.data.ragged import Ragged
from glia.data.tables.source import Int64s, Piece, ReadOptions
from glia.errors import GliaError

Values = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Asked:
    """What the settings say of a source. channels, targets: those of training, once they are known.

    form: "ts", "long" (a row a step), "wide" (a row a series), "folders" or "arrays".
    """

    form: str
    series: str | None = None
    time: str | None = None
    group: str | None = None
    targets: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    options: ReadOptions = field(default_factory=ReadOptions)
    bad_limit: float = 0.05


@dataclass(frozen=True)
class SeriesSet:
    """Series with what is known of each. steps: (length, channels) each, NaN where a value is missing.

    table: a row a series, with targets and group where the source has them. parts: "train", "valid", "test" or "".
    """

    name: str
    steps: Ragged
    table: Piece
    names: list[str]
    parts: list[str]
    channels: tuple[str, ...]
    targets: tuple[str, ...]
    form: dict[str, Any]
    dropped: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def only(self, index: Int64s) -> "SeriesSet":
        """The series at `index`, in that order."""
        places = index.tolist()
        return replace(
            self,
            steps=rows_of(self.steps, index),
            table=self.table.take(index),
            names=[self.names[i] for i in places],
            parts=[self.parts[i] for i in places],
        )


def rows_of(steps: Ragged, index: Int64s) -> Ragged:
    """Some rows."""
    starts = (steps.ends - steps.lengths).tolist()
    ends = steps.ends.tolist()
    pieces = [steps.values[starts[i] : ends[i]] for i in index.tolist()]
    return Ragged.of(pieces, steps.pad) if pieces else Ragged(steps.values[:0], steps.ends[:0], steps.pad)


def joined(first: SeriesSet, second: SeriesSet) -> SeriesSet:
    """The series of two sources, those of the second with rows counted on."""
    if len(first.channels) != len(second.channels):
        what = f"{second.name}: channels"
        raise GliaError(what, got=len(second.channels), expected=f"{len(first.channels)}, as in {first.name}")
    columns = first.table.frame.columns
    frame = pl.concat([first.table.frame, second.table.frame.select(columns)], how="vertical_relaxed")
    rows = np.concatenate([first.table.rows, second.table.rows + len(first)])
    shift = int(first.steps.ends[-1])
    steps = Ragged(
        torch.cat([first.steps.values, second.steps.values]),
        torch.cat([first.steps.ends, second.steps.ends + shift]),
        float("nan"),
    )
    return replace(
        first,
        steps=steps,
        table=Piece(first.name, first.table.decimal, frame, rows),
        names=[*first.names, *(f"{second.name}/{name}" for name in second.names)],
        parts=[*first.parts, *second.parts],
        dropped=(*first.dropped, *second.dropped),
        notes=(*first.notes, *second.notes),
    )


def made(name: str, rows: list[Values], table: Piece, names: list[str], **more: Any) -> SeriesSet:
    steps = Ragged.of([torch.from_numpy(np.ascontiguousarray(row, dtype=np.float32)) for row in rows], float("nan"))
    parts = more.pop("parts", None) or [""] * len(rows)
    return SeriesSet(name=name, steps=steps, table=table, names=names, parts=parts, **more)
