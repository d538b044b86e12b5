"""Texts with answers to Prepared: the text column, the task, the split, and a tokeniser learnt from training texts."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from glia.data.batches import Batches
from glia.data.facts import TextFacts
from glia.data.prepared import Prepared
from glia.data.tables.card import fingerprint, make_card
from glia.data.tables.columns import Plan
from glia.data.tables.parts import Parts, divide
from glia.data.tables.prepare import UNEVEN, sample
from glia.data.tables.read import read
from glia.data.tables.reader import options_like
from glia.data.tables.source import Opened, Piece, ReadOptions
from glia.data.tables.study import Study
from glia.data.tables.target import answered, find_column, find_targets, plan_answer
from glia.data.texts.choice import augmented
from glia.data.texts.folders import check_unread
from glia.data.texts.reader import TextReader
from glia.data.texts.sources import FILE, PART, is_text_source, open_texts, text_column, texts_of
from glia.data.texts.tokens import Tokenizer, tokenizer_for
from glia.errors import GliaError

if TYPE_CHECKING:
    from glia.recipe import Data

__all__ = ["is_text_source", "prepare_texts"]

LONGEST = {"characters": 2048}  # tokens of a text that are read where nothing is said
USUAL_LONGEST = 512


@dataclass(frozen=True)
class _Source:
    """What was read: the rows that are to be divided, and the parts that the source or the settings name."""

    opened: Opened
    whole: Piece
    given: dict[str, Piece]
    notes: tuple[str, ...]


def prepare_texts(data: "Data", seed: int) -> Prepared:
    """Everything between raw texts and training, as the settings ask. Errors: one line each, with file and place."""
    options = ReadOptions(data.header, data.separator, data.decimal, data.encoding, limits=data.limits)
    source = _read(data, options, seed)
    column = text_column(source.whole, data)
    study, without = _study(source, column, data)
    given = {name: _with_text(piece, column)[0] for name, piece in source.given.items()}
    parts = divide(study, given, data, seed)
    train = parts.pieces["train"]
    texts = texts_of(train, column)
    tokens, why = tokenizer_for(data.tokenizer, texts, data.vocabulary, lower=True, raised=data.limits)
    answer = study.answer.standardised(study.answer.values(train))
    like = replace(options_like(source.opened, options), optional=answer.task.targets)
    reader = TextReader(column, answer, like, tokens, 1 << 40, ends=tokens.name == "file")
    rows = {name: reader.rows(texts_of(piece, column)) for name, piece in parts.pieces.items()}
    longest = int(rows["train"].lengths.max())
    length = data.text_length or min(longest, LONGEST.get(tokens.name, USUAL_LONGEST))
    reader = replace(reader, length=length, names=_file_names(parts))
    cut = int((rows["train"].lengths > length).sum())
    rows = {name: reader.rows(texts_of(parts.pieces[name], column)) for name in rows} if cut else rows
    augment = augmented(data.augment, tokens, data.limits)
    batches = {
        name: Batches(
            rows[name],
            answer.encode(piece),
            torch.from_numpy(piece.rows),
            augment if name == "train" else None,
            data.workers or 0,
            lengths=rows[name].lengths,
        )
        for name, piece in parts.pieces.items()
    }
    notes = [
        *source.notes,
        *_notes(study, parts, data, without),
        f"tokeniser {tokens.name}, {tokens.size:,} tokens: {why}",
    ]
    if cut:
        notes.append(f"{cut} training texts have more than {length} tokens; what comes after is not read")
    card = make_card(source.opened, study.piece, study, parts)
    card |= {"kind": "text", "texts": _told(tokens, why, length, rows, cut)}
    card["fingerprint"] = fingerprint(
        [data.source, *(one for one in (data.valid, data.test) if one is not None)],
        [source.whole, *source.given.values()],
    )
    notes += _uneven(card)
    card["notes"] = notes
    facts = TextFacts(tokens.size, length, tokens.pad, len(train))
    return Prepared(
        batches["train"], batches.get("valid"), batches.get("test"), answer.task, facts, reader, card, tuple(notes)
    )


def _read(data: "Data", options: ReadOptions, seed: int) -> _Source:
    opened = open_texts(data.source, options, data.text or "text")
    notes = [*opened.notes, *check_unread(opened, data.bad_limit)]
    whole = sample(opened, data.limit_rows, seed) if data.limit_rows else read(opened, data.limits)
    given = {}
    if FILE in opened.columns and PART in opened.columns:
        part = whole.frame[PART]
        given = {name: whole.take(np.flatnonzero(part == name)) for name in ("valid", "test") if (part == name).any()}
        whole = whole.take(np.flatnonzero(~part.is_in(["valid", "test"])))
    like = options_like(opened, options)
    for name in ("valid", "test"):
        if (other := getattr(data, name)) is not None:
            given[name] = read(open_texts(other, like, data.text or "text"), data.limits)
    if data.limit_rows and len(whole) == data.limit_rows:
        notes.append(f"only {data.limit_rows} rows of {opened.name} were drawn, as limit_rows says")
    return _Source(opened, whole, given, tuple(notes))


def _study(source: _Source, column: str, data: "Data") -> tuple[Study, int]:
    """The rows that have a text and an answer, what the answer is, and how many rows had no text."""
    whole = source.whole
    targets = find_targets(whole, tuple(data.target), source.opened.targets)
    group, time = (find_column(name, whole) if name else None for name in (data.group, data.time))
    if column in targets:
        raise GliaError(f"column {column!r} is the target and the text at once", hint="text=COLUMN and target=COLUMN")
    texts, without = _with_text(whole, column)
    piece = texts.take(answered(texts, targets))
    if not len(piece):
        raise GliaError(f"no row of {whole.name} has a text and a value in target {', '.join(map(repr, targets))}")
    answer = plan_answer(piece, targets, data.task)
    others = [name for name in whole.frame.columns if name not in (*targets, column)]
    left_out = dict.fromkeys(others, "only the texts are read")
    plans = (Plan(column, "text", "the texts that are read"),)
    return Study(piece, answer, plans, left_out, group, time, len(texts) - len(piece)), without


def _with_text(piece: Piece, column: str) -> tuple[Piece, int]:
    """The rows that have a text, and how many have none."""
    some = np.array([bool(text.strip()) for text in texts_of(piece, column)], dtype=bool)
    return piece.take(np.flatnonzero(some)), int((~some).sum())


def _file_names(parts: Parts) -> dict[int, str]:
    return {
        row: name
        for piece in parts.pieces.values()
        if FILE in piece.frame.columns and PART in piece.frame.columns
        for row, name in zip(piece.rows.tolist(), piece.frame[FILE].to_list())
    }


def _told(tokens: Tokenizer, why: str, length: int, rows: dict[str, Any], cut: int) -> dict[str, Any]:
    """What the card says of the texts. unknown: share of the tokens of each part that the vocabulary lacks."""
    lengths = rows["train"].lengths.float()
    unknown = {name: round(float((part.values == tokens.unknown).float().mean()), 4) for name, part in rows.items()}
    return {
        "tokenizer": tokens.name,
        "why": why,
        "vocabulary": tokens.size,
        "length": length,
        "median": float(lengths.median()),
        "longest": int(lengths.max()),
        "cut": cut,
        "unknown": unknown,
    }


def _notes(study: Study, parts: Parts, data: "Data", without: int) -> list[str]:
    notes = []
    if data.task == "auto":
        notes.append(f"task {study.answer.task.kind}: {study.answer.why}")
    if without:
        notes.append(f"{without} rows have no text and are left out")
    if study.unanswered:
        notes.append(f"{study.unanswered} rows have no value in the target and are left out")
    return notes + list(parts.notes)


def _uneven(card: dict[str, Any]) -> list[str]:
    notes = []
    if card["imbalance"] is not None and card["imbalance"] > UNEVEN:
        notes.append(f"classes are uneven, {card['imbalance']:g} to 1: read balanced_accuracy")
    missing = [name for name, counts in card["classes"].items() if 0 in counts.values()]
    if missing and card["task"]["kind"] == "classify":
        notes.append(f"too few rows for every part: class {', '.join(map(repr, missing[:6]))}")
    return notes
