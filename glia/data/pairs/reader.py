"""PairReader: texts, with their translations or without, to tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import polars as pl
import torch
from torch import Tensor

from glia.data.pairs.source import read_pairs, read_texts
from glia.data.prepared import Raw
from glia.data.ragged import Ragged
from glia.data.tables.source import ReadOptions
from glia.data.texts.tokens import Tokenizer


@dataclass(frozen=True)
class Sentences:
    """Rows of tokens (length,) int64, with the texts that they were made of."""

    texts: tuple[str, ...]
    tokens: Ragged

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def lengths(self) -> Tensor:
        """(rows,) int64."""
        return self.tokens.lengths

    def take(self, index: Tensor) -> Tensor:
        """(n, longest of them), filled up."""
        return self.tokens.take(index)


@dataclass(frozen=True)
class PairReader:
    """How texts become tokens. columns: of a table, texts and translations. tables: it was trained on a table.

    into: the tokeniser of translations; None where one serves both sides. length: tokens of a text that are read.
    """

    columns: tuple[str, str]
    tables: bool
    tokens: Tokenizer
    into: Tokenizer | None
    length: int
    options: ReadOptions

    kind = "pairs"

    @property
    def written(self) -> Tokenizer:
        """The tokeniser of translations."""
        return self.into or self.tokens

    def sources(self, texts: Sequence[str]) -> Sentences:
        """Texts as the network reads them: their end is told."""
        one = self.tokens
        return _joined(texts, [[*row[: self.length - 1], one.end] for row in one.encode(texts)], one.pad)

    def targets(self, texts: Sequence[str]) -> Sentences:
        """Translations as the network learns to write them: with begin and end."""
        one = self.written
        return _joined(texts, [[one.begin, *row[: self.length - 1], one.end] for row in one.encode(texts)], one.pad)

    def stream(self, source: Any, *, targets: bool = False, rows: int = 4096) -> Iterator[Raw]:
        """Pieces of `rows` texts, `cells` holding them as "text", and their translations as "target" where
        `targets=True` demands them.
        """
        said: list[str] | None = None
        if targets:
            found = read_pairs(source, self.columns, self.options)
            texts, said, first = found.sources, found.targets, found.first
        else:
            texts, first = read_texts(source, self.columns[0], self.options)
        for start in range(0, len(texts), rows):
            here = texts[start : start + rows]
            cells = {"text": here} if said is None else {"text": here, "target": said[start : start + rows]}
            want = None if said is None else self.targets(cells["target"]).take(torch.arange(len(here)))
            names = [str(first + start + i) for i in range(len(here))]
            yield Raw(self.sources(here).take(torch.arange(len(here))), want, names, pl.DataFrame(cells))

    def to_dict(self) -> dict[str, Any]:
        into = None if self.into is None else self.into.to_dict()
        told = {"columns": list(self.columns), "tables": self.tables, "length": self.length}
        return {**told, "tokens": self.tokens.to_dict(), "into": into, "options": asdict(self.options)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "PairReader":
        options: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data["options"].items()}
        into = None if data["into"] is None else Tokenizer.from_dict(data["into"])
        first, second = data["columns"]
        tokens = Tokenizer.from_dict(data["tokens"])
        return cls((first, second), data["tables"], tokens, into, data["length"], ReadOptions(**options))


def _joined(texts: Sequence[str], rows: list[list[int]], pad: int) -> Sentences:
    ends = torch.tensor([len(row) for row in rows]).cumsum(0)
    return Sentences(tuple(texts), Ragged(torch.tensor(list(chain.from_iterable(rows))), ends, pad))
