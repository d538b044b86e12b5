"""Tokens of a corpus: in memory where they are few, otherwise written once to a file that is mapped, never loaded."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glia import disk
from glia.data.cache import cache_folder
from glia.data.corpus.windows import Part
from glia.data.texts.tokens import Tokenizer, whole
from glia.errors import DamagedError

SMALL = 1 << 24  # bytes of text whose tokens are held in memory
_FORMAT = 1

Pieces = Callable[[], Iterable[str]]
"""Gives the text of a part from its beginning, each time it is called."""


@dataclass(frozen=True)
class Encoder:
    """Texts to tokens of the smallest number format that holds them. Of characters by a table: the library is slow."""

    tokens: Tokenizer
    table: NDArray[Any] | None
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, tokens: Tokenizer) -> "Encoder":
        dtype = np.dtype(np.uint16 if tokens.size <= 1 << 16 else np.uint32)
        if tokens.name != "characters":
            return cls(tokens, None, dtype)
        table = np.full(0x110000, tokens.unknown, dtype=dtype)
        for sign, number in tokens.vocabulary().items():
            if len(sign) == 1:
                table[ord(sign)] = number
        return cls(tokens, table, dtype)

    def __call__(self, text: str) -> NDArray[Any]:
        """(tokens,)"""
        if self.table is None:
            return np.array(self.tokens.encode([text])[0], dtype=self.dtype)
        return self.table[np.frombuffer(whole(text).encode("utf-32-le"), dtype=np.uint32)]


def store(parts: dict[str, Pieces], tokens: Tokenizer, fingerprint: str, size: int) -> dict[str, Part]:
    """The tokens of each part. fingerprint: of the texts and where they are cut. size: bytes of all texts.

    Of more than `SMALL` bytes they go to a file of the cache folder, which is found again by the fingerprint and the
    tokeniser; one that is not whole is written anew. Raises DiskError where there is no room for it.
    """
    encode = Encoder.of(tokens)
    if size <= SMALL:
        held: list[NDArray[Any]] = []
        facts = {name: _encoded(pieces(), encode, held.append) for name, pieces in parts.items()}
        return _parts(np.concatenate([np.empty(0, encode.dtype), *held]), facts)
    made = hashlib.sha256(json.dumps([_FORMAT, fingerprint, tokens.to_dict()]).encode()).hexdigest()[:32]
    path = cache_folder("corpora") / f"{made}.tokens"
    told = _whole(path, encode.dtype)
    if told is None:
        _write(path, parts, encode)
        told = _whole(path, encode.dtype)
    if told is None:
        raise DamagedError(f"{path} is not what was just written there")
    return _parts(np.memmap(path, dtype=encode.dtype, mode="r"), told)


def _encoded(pieces: Iterable[str], encode: Encoder, keep: Callable[[NDArray[Any]], Any]) -> list[int]:
    """Tokens and bytes of a text."""
    count = size = 0
    for text in pieces:
        some = encode(text)
        keep(some)
        count, size = count + len(some), size + len(whole(text).encode())
    return [count, size]


def _write(path: Path, parts: dict[str, Pieces], encode: Encoder) -> None:
    """The tokens, then what says that they are whole."""
    digest = hashlib.sha256()
    with disk.open_rows(path, overwrite=True) as file:

        def keep(some: NDArray[Any]) -> None:
            content = some.tobytes()
            digest.update(content)
            file.write(content)

        facts = {name: _encoded(pieces(), encode, keep) for name, pieces in parts.items()}
    disk.write_json(path.with_suffix(".json"), {"sha256": digest.hexdigest(), "parts": facts})


def _whole(path: Path, dtype: np.dtype[Any]) -> dict[str, list[int]] | None:
    """Tokens and bytes of each part of a file that is as it was written; None where there is none."""
    try:
        said = json.loads(path.with_suffix(".json").read_bytes())
        facts = {str(name): [int(tokens), int(size)] for name, (tokens, size) in said["parts"].items()}
        if path.stat().st_size != dtype.itemsize * sum(tokens for tokens, _ in facts.values()):
            return None
        with path.open("rb") as file:
            return facts if hashlib.file_digest(file, "sha256").hexdigest() == said["sha256"] else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _parts(values: NDArray[Any], facts: dict[str, list[int]]) -> dict[str, Part]:
    def placed() -> Iterator[tuple[str, Part]]:
        at = 0
        for name, (count, size) in facts.items():
            yield name, Part(values, at, at + count, size)
            at += count

    return dict(placed())
