"""CorpusReader: files of text to the windows, or the lines, that a trained language model takes."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from glia.data.corpus.source import corpus_files, read_pieces
from glia.data.corpus.store import Encoder, store
from glia.data.corpus.windows import Part
from glia.data.prepared import Raw
from glia.data.texts.tokens import Tokenizer
from glia.errors import GliaError


@dataclass(frozen=True)
class CorpusReader:
    """How texts become tokens. context: tokens that the network reads at once."""

    tokens: Tokenizer
    context: int
    encoding: str | None = None
    limits: dict[str, int] = field(default_factory=dict)

    kind = "corpus"

    @cached_property
    def encode(self) -> Encoder:
        """A text to its tokens."""
        return Encoder.of(self.tokens)

    def pieces(self, source: Any) -> Iterable[str]:
        """The text of a source, piece by piece."""
        return read_pieces(corpus_files(source), self.encoding, self.limits)

    def part(self, source: Any) -> Part:
        """The tokens of a source. Raises GliaError where they are too few to tell one from another."""
        files = corpus_files(source)
        size = sum(path.stat().st_size for path in files)
        kept = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
        part = store({"all": lambda: self.pieces(source)}, self.tokens, repr((kept, self.encoding)), size)["all"]
        if len(part) < 2:
            raise GliaError(f"{source} holds too little text", got=f"{len(part)} tokens", expected="2 or more")
        return part

    def stream(self, source: Any, *, targets: bool = False, rows: int = 4096) -> Iterator[Raw]:
        """Windows that lie side by side, the last one over the end; their names are the numbers of their first tokens.

        Texts shorter than a window are one that is shorter. With targets the next token at each place.
        """
        part = self.part(source)
        context = min(self.context, len(part) - 1)
        read, told, _ = part.windows(context, most=len(part))
        for index in torch.arange(len(read)).split(rows):
            names = [str(place) for place in (index * context).tolist()]
            yield Raw(read.take(index), told.take(index) if targets else None, names, None)

    def lines(self, source: Any, rows: int) -> Iterator[list[str]]:
        """The lines of a source, each with its end, so many at a time."""
        held: list[str] = []
        rest = ""
        for piece in self.pieces(source):
            *whole, rest = (rest + piece).split("\n")
            held += [line + "\n" for line in whole]
            while len(held) >= rows:
                yield held[:rows]
                held = held[rows:]
        if held:
            yield held

    def start(self) -> list[int]:
        """What stands before a text that begins: the end of a line, or the first token of the vocabulary."""
        found: list[int] = np.asarray(self.encode("\n")).tolist()
        known = [token for token in found if token != self.tokens.unknown]
        return known or [min(set(range(self.tokens.size)) - self.special)]

    @property
    def special(self) -> set[int]:
        """Tokens that are no text."""
        return {self.tokens.pad, self.tokens.unknown, self.tokens.begin, self.tokens.end}

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "tokens": self.tokens.to_dict(), "limits": dict(self.limits)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "CorpusReader":
        return cls(Tokenizer.from_dict(data["tokens"]), data["context"], data["encoding"], dict(data["limits"]))
