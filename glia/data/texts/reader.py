"""TextReader: any source of texts to the tokens that a trained network takes, from its saved dict alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from glia.data.prepared import Raw
from glia.data.ragged import Ragged
from glia.data.tables.read import pieces
from glia.data.tables.source import Opened, Piece, ReadOptions, no_column
from glia.data.tables.target import Answer, with_answers
from glia.data.task import Task
from glia.data.texts.sources import FILE, PART, open_texts, texts_of
from glia.data.texts.tokens import Tokenizer


@dataclass(frozen=True)
class TextReader:
    """How raw texts become int64 (N, L), the same way at training and prediction.

    column: where the texts stand in a table. length: tokens of a text that are read; the rest is cut off. ends: with
    the begin and end tokens that the tokeniser puts around a text. names: files of the rows it was made with; not
    stored.
    """

    column: str
    answer: Answer
    options: ReadOptions
    tokens: Tokenizer
    length: int
    ends: bool = False
    names: Mapping[int, str] = field(default_factory=dict, compare=False, repr=False)

    kind = "text"

    def stream(self, source: Any, *, targets: bool = False, rows: int = 4096) -> Iterator[Raw]:
        """Texts of a table, a folder (with `targets`, its test part alone where it has one), a .txt file (one a line),
        a list, or a sentence itself. A row without a text is an empty text.

        targets: the answers too; rows without one are left out.
        """
        opened = open_texts(source, self.options, self.column)
        wanted = (self.column, *(self.answer.task.targets if targets else ()))
        for name in wanted:
            if name not in opened.columns:
                raise no_column(name, opened.columns, opened.name)
        found = pieces(opened, rows)
        if targets and _has_test(opened):
            found = (piece.take((piece.frame[PART] == "test").arg_true().to_numpy()) for piece in found)
        for piece, answers in with_answers(found, self.answer, opened.name, targets):
            yield Raw(self.encode(texts_of(piece, self.column)), answers, _names(piece, opened), piece.frame)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """(N, L) int64, as TextFacts says; L is the longest of them."""
        rows = self.rows(texts)
        return rows.take(torch.arange(len(rows)))

    def rows(self, texts: Sequence[str]) -> Ragged:
        """The tokens of each text, at most `length`. A text without any is one unknown token: no network is given
        nothing at all."""
        found = [row[: self.length] or [self.tokens.unknown] for row in self.tokens.encode(texts, ends=self.ends)]
        flat = [token for row in found for token in row]
        ends = torch.tensor([len(row) for row in found], dtype=torch.int64).cumsum(0)
        return Ragged(torch.tensor(flat, dtype=torch.int64), ends, self.tokens.pad)

    def same(self, one: Tensor, other: Tensor) -> bool:
        """Are two rows of tokens one text? One may be filled up further."""
        short = min(len(one), len(other))
        rest = torch.cat([one[short:], other[short:]])
        return torch.equal(one[:short], other[:short]) and bool((rest == self.tokens.pad).all())

    def name_of(self, row: int) -> str:
        """What people call a row of the source that this reader was made with."""
        return self.names.get(row, f"row {row}")

    def to_dict(self) -> dict[str, Any]:
        """Everything but `names`, as plain JSON."""
        plain = {"column": self.column, "length": self.length, "ends": self.ends}
        return plain | {"answer": asdict(self.answer), "options": asdict(self.options), "tokens": self.tokens.to_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "TextReader":
        answer, options = data["answer"], data["options"]
        return cls(
            data["column"],
            Answer(Task.from_dict(answer["task"]), answer["why"], answer["numeric"]),
            ReadOptions(**options | {key: tuple(options[key]) for key in ("names", "optional")}),
            Tokenizer.from_dict(data["tokens"]),
            data["length"],
            data["ends"],
        )


def _has_test(opened: Opened) -> bool:
    return (
        PART in opened.columns
        and FILE in opened.columns
        and any((piece.frame[PART] == "test").any() for piece in opened.pieces(4096))
    )


def _names(piece: Piece, opened: Opened) -> list[str]:
    if FILE in opened.columns and PART in opened.columns:
        return piece.frame[FILE].to_list()
    return [str(row) for row in piece.rows.tolist()]
