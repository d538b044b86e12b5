"""TableReader: the fitted preparation of a table, from its saved dict alone: any source to tensors, always the same."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glia.data.prepared import Raw
from glia.data.tables.encode import Column
from glia.data.tables.read import open_table, pieces
from glia.data.tables.source import Opened, Piece, ReadOptions, no_column
from glia.data.tables.target import Answer, with_answers
from glia.data.task import Task


@dataclass(frozen=True)
class TableReader:
    """columns: the raw columns the network looks at, in order. options: how sources of this kind are written."""

    columns: tuple[Column, ...]
    answer: Answer
    options: ReadOptions

    kind = "table"

    def stream(self, source: Any, *, targets: bool = False, rows: int = 4096) -> Iterator[Raw]:
        """A source in pieces of at most `rows` rows. Columns that training did not use are passed over.

        targets: the answers too; rows without one are left out.
        Errors: a column that is not there, a text in a number column, a class never seen: each with its place.
        """
        opened = open_table(source, self.options)
        self._check(opened, targets)
        for piece, answers in with_answers(pieces(opened, rows), self.answer, opened.name, targets):
            yield Raw(self.inputs(piece), answers, [str(row) for row in piece.rows.tolist()], piece.frame)

    def inputs(self, piece: Piece) -> Tensor:
        """(N, columns) float32, as TableFacts says."""
        return torch.from_numpy(np.concatenate([column.encode(piece) for column in self.columns], axis=1))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "TableReader":
        answer, options = data["answer"], data["options"]
        return cls(
            columns=tuple(Column.from_dict(column) for column in data["columns"]),
            answer=Answer(Task.from_dict(answer["task"]), answer["why"], answer["numeric"]),
            options=ReadOptions(**options | {key: tuple(options[key]) for key in ("names", "optional")}),
        )

    def _check(self, opened: Opened, targets: bool) -> None:
        needed = [column.plan.name for column in self.columns]
        for name in [*needed, *(self.answer.task.targets if targets else ())]:
            if name not in opened.columns:
                raise no_column(name, opened.columns, opened.name)


def options_like(opened: Opened, options: ReadOptions) -> ReadOptions:
    """Options for further files that are written as `opened` is: with a header or without, as it was found there."""
    by_position = all(name == str(index) for index, name in enumerate(opened.columns))
    header = opened.format.get("header", None if by_position else True)
    return replace(options, header=header, likely_decimal=opened.decimal, names=() if header else opened.columns)
