"""Plain text to Prepared: the beginning trains, what follows validates, the end tests; a tokeniser from the first."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from glia.data.batches import Batches
from glia.data.corpus.reader import CorpusReader
from glia.data.corpus.source import PIECE, between, corpus_files, is_corpus_source, read_pieces
from glia.data.corpus.store import Pieces, store
from glia.data.corpus.windows import CHECK_TOKENS, EPOCH_TOKENS, Part, Shifted
from glia.data.facts import TextFacts
from glia.data.prepared import Prepared
from glia.data.task import Task
from glia.data.texts.tokens import Tokenizer, tokenizer_for, train_tokenizer, whole
from glia.errors import GliaError

if TYPE_CHECKING:
    from glia.recipe import Data

__all__ = ["SHARES", "is_corpus_source", "prepare_corpus"]

SHARES = {"valid_share": 0.05, "test_share": 0.05}
"""Usual shares: a text has so many tokens that few of them measure it well, and the rest is wanted for training."""
CONTEXT = 128  # tokens that are read at once, where nobody says how many
LEAST_CONTEXT = 8
LETTERS = 8_000_000  # bytes of training text up to which characters are the usual tokens
TAUGHT = 64  # pieces of the training text, at even distances, that a tokeniser of pieces of words learns from


@dataclass(frozen=True)
class _Survey:
    """Of a source: characters, bytes, and the hash of its text."""

    files: list[Path]
    characters: int
    bytes: int
    sha256: str


def prepare_corpus(data: "Data", seed: int) -> Prepared:
    """Everything between files of text and training, as the settings ask. The text is never held whole."""
    _check(data)
    texts, cuts, surveys = _divided(data)
    tokens, why = _tokenizer(data, texts["train"], surveys["train"], cuts.get("train", (0, 0))[1])
    fingerprint = hashlib.sha256(repr([[(s.sha256) for s in surveys.values()], cuts]).encode()).hexdigest()
    parts = store(texts, tokens, fingerprint, sum({id(s): s.bytes for s in surveys.values()}.values()))
    context = _context(data, parts)
    reader = CorpusReader(tokens, context, data.encoding, dict(data.limits))
    batches = {name: _batches(part, context, data.workers or 0, train=name == "train") for name, part in parts.items()}
    unknown = {name: _unknown(part, tokens) for name, part in parts.items()}
    card = _card(data, parts, batches, reader, why, unknown, fingerprint)
    facts = TextFacts(tokens.size, context, tokens.pad, len(batches["train"]))
    task = Task("language", ("next",), tuple(tokens.spelled(range(tokens.size))))
    notes = tuple(card["notes"])
    return Prepared(batches["train"], batches.get("valid"), batches.get("test"), task, facts, reader, card, notes)


def _check(data: "Data") -> None:
    """Settings that mean nothing here are refused."""
    for name in ("target", "group", "time", "limit_rows", "horizon"):
        if getattr(data, name):
            raise GliaError(f"a corpus has no {name}", hint="kind=table, if the file is a table")
    if data.task != "auto":
        raise GliaError(f"a corpus is for telling its next token, not to {data.task}", hint="kind=table or kind=text")
    if data.augment not in ("auto", "none"):
        raise GliaError("a corpus is not augmented", got=data.augment, expected="augment=none")


def _divided(data: "Data") -> tuple[dict[str, Pieces], dict[str, tuple[int, int]], dict[str, _Survey]]:
    """For each part its text, the characters of it that are the part's, and the survey of where it comes from."""
    main = _survey(data.source, data)
    given = {name: _survey(other, data) for name in ("valid", "test") if (other := getattr(data, name)) is not None}
    total = main.characters
    test = 0 if "test" in given else round(data.test_share * total)
    valid = 0 if "valid" in given else round(data.valid_share * (total - test))
    cuts = {
        "train": (0, total - valid - test),
        "valid": (total - valid - test, total - test),
        "test": (total - test, total),
    }
    surveys = {name: given.get(name, main) for name in cuts}
    cuts |= {name: (0, one.characters) for name, one in given.items()}
    cuts = {name: cut for name, cut in cuts.items() if cut[1] > cut[0]}
    if "train" not in cuts:
        raise GliaError(f"{data.source} holds no text to train on", got=f"{total} characters")
    texts: dict[str, Pieces] = {
        name: partial(_some, surveys[name].files, data, low, high) for name, (low, high) in cuts.items()
    }
    return texts, cuts, {name: surveys[name] for name in cuts}


def _some(files: list[Path], data: "Data", low: int, high: int) -> Iterable[str]:
    return between(read_pieces(files, data.encoding, data.limits), low, high)


def _survey(source: Any, data: "Data") -> _Survey:
    files = corpus_files(source)
    digest, characters, size = hashlib.sha256(), 0, 0
    for text in read_pieces(files, data.encoding, data.limits):
        content = whole(text).encode()
        digest.update(content)
        characters, size = characters + len(text), size + len(content)
    return _Survey(files, characters, size, digest.hexdigest())


def _tokenizer(data: "Data", train: Pieces, survey: _Survey, characters: int) -> tuple[Tokenizer, str]:
    """The tokeniser that was asked for, or that fits the size of the training text, and why."""
    asked, why = data.tokenizer, "you said so"
    if asked in ("words", "wordpiece"):
        raise GliaError(
            f"the tokeniser {asked} forgets the spaces between words, so nothing can be written with it",
            expected="characters, bpe, or a tokenizer.json file",
        )  # fmt: skip
    if asked == "auto":
        few = survey.bytes <= LETTERS
        asked = "characters" if few else "bpe"
        why = f"{survey.bytes / 1e6:.1f} MB of text are {'few' if few else 'enough for pieces of words, by bytes'}"
    if asked == "characters":
        return train_tokenizer(asked, train(), data.vocabulary), why
    if asked == "bpe":
        every = max(1, characters // PIECE // TAUGHT)
        return train_tokenizer(asked, (t for i, t in enumerate(train()) if i % every == 0), data.vocabulary), why
    return tokenizer_for(asked, [], data.vocabulary, raised=data.limits)


def _context(data: "Data", parts: dict[str, Part]) -> int:
    """Tokens that are read at once. Raises GliaError where a part is shorter than that."""
    name, shortest = min(((name, len(part)) for name, part in parts.items()), key=lambda one: one[1])
    context = data.context or max(min(CONTEXT, shortest - 1), LEAST_CONTEXT)
    if shortest < context + 1:
        hint = "more text, or --valid-share 0 --test-share 0" if data.context is None else "a smaller --context"
        raise GliaError(
            f"the {name} part is too short", got=f"{shortest} tokens", expected=f"at least {context + 1}", hint=hint
        )
    return context


def _batches(part: Part, context: int, workers: int, *, train: bool) -> Batches:
    most = EPOCH_TOKENS if train else CHECK_TOKENS
    read, told, every = part.windows(context, most=most, shifting=train)
    starts = torch.arange(len(read)) * read.distance
    room = min(len(part) - 1 - (len(read) * every) * context, context - 1)
    return Batches(read, told, starts, Shifted(read, told, every, max(room, 0)) if train else None, workers)


def _unknown(part: Part, tokens: Tokenizer) -> float:
    """Share of the tokens that the vocabulary lacks."""
    step = 1 << 22
    pieces = (part.values[at : min(at + step, part.end)] for at in range(part.start, part.end, step))
    return sum(int((piece == tokens.unknown).sum()) for piece in pieces) / len(part)


def _card(
    data: "Data", parts: dict[str, Part], batches: dict[str, Batches], reader: CorpusReader, why: str,
    unknown: dict[str, float], fingerprint: str,
) -> dict[str, Any]:  # fmt: skip
    tokens = reader.tokens
    notes = [
        f"{sum(part.bytes for part in parts.values()):,} bytes of text as {sum(map(len, parts.values())):,} tokens, "
        f"{tokens.size:,} different ones ({tokens.name}: {why})"
    ]
    if reader.tokens.name != "file":
        notes += [
            f"{share:.2%} of the {name} part are characters that training never saw; each counts as one unknown token"
            for name, share in unknown.items()
            if name != "train" and share >= 5e-5
        ]
    return {
        "kind": "corpus", "source": str(data.source), "rows": sum(map(len, batches.values())),
        "parts": {name: len(part) for name, part in batches.items()}, "columns": [], "classes": {}, "imbalance": None,
        "dropped": [], "split": "in order: the beginning trains, then validation, the end tests",
        "corpus": {
            "tokenizer": tokens.name, "vocabulary": tokens.size, "context": reader.context,
            "tokens": {name: len(part) for name, part in parts.items()},
            "bytes": {name: part.bytes for name, part in parts.items()},
            "unknown": {name: round(share, 6) for name, share in unknown.items()},
        },
        "fingerprint": hashlib.sha256(f"{fingerprint} {reader.tokens.json} {reader.context}".encode()).hexdigest(),
        "notes": notes,
    }  # fmt: skip
