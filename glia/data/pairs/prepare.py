"""Pairs of texts to Prepared: equal texts stay in one part, tokenisers learn from the training part alone."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from glia.data.batches import Batches
from glia.data.facts import PairFacts
from glia.data.pairs.reader import PairReader, Sentences
from glia.data.pairs.source import Pairs, columns_of, is_pair_source, read_pairs
from glia.data.prepared import Prepared
from glia.data.split import split_rows
from glia.data.tables.read import open_table
from glia.data.tables.reader import options_like
from glia.data.tables.source import ReadOptions
from glia.data.task import Task
from glia.data.texts.tokens import Tokenizer, tokenizer_for
from glia.errors import GliaError

if TYPE_CHECKING:
    from glia.recipe import Data

__all__ = ["is_pair_source", "prepare_pairs"]

LEAST, MOST = 64, 512  # tokens of a text that are read, where nothing is said
COMMON = 0.5  # share of the letters of one side that the other has too, from which one tokeniser serves both
_WHOLE = 1 << 40  # no text is longer
SHOWN = 5  # places of left out pairs that are told


def prepare_pairs(data: "Data", seed: int) -> Prepared:
    """Everything between pairs of texts and training, as the settings `data` (glia.recipe.Data) ask."""
    if find_spec("sacrebleu") is None:
        raise GliaError("translations are measured by the library sacrebleu", hint="pip install 'glia[text]'")
    for name in ("group", "time"):
        if getattr(data, name):
            raise GliaError(f"pairs of texts are not divided by {name}")
    if data.augment not in ("auto", "none"):
        raise GliaError("pairs of texts are not augmented", got=data.augment, expected="none")
    options = ReadOptions(data.header, data.separator, data.decimal, data.encoding, limits=data.limits)
    columns = columns_of(data, options)
    notes: list[str] = []
    whole = _usable(read_pairs(data.source, columns, options), data, notes)
    if columns is not None:
        options = options_like(open_table(data.source, options), options)
    if data.limit_rows and len(whole) > data.limit_rows:
        whole = whole.take(np.arange(data.limit_rows))
        notes.append(f"only the first {data.limit_rows} pairs are used, as limit_rows says")
    given = {
        name: _usable(read_pairs(other, columns, options), data, notes)
        for name in ("valid", "test")
        if (other := getattr(data, name)) is not None
    }
    parts, split = _divided(whole, given, data, seed, notes)
    reader, told, whys = _reader(parts["train"], whole.columns, columns is not None, data, options)
    notes += whys
    parts["train"], told = _within(parts["train"], told, reader, notes)
    batches = {
        name: _batches(part, *(told if name == "train" else _told(part, reader)), data.workers or 0)
        for name, part in parts.items()
    }
    one = reader.written
    facts = PairFacts(
        reader.tokens.size, reader.length, reader.tokens.pad, len(parts["train"]), one.size, reader.into is None,
        one.begin, one.end,
    )  # fmt: skip
    card = _card(data, whole, parts, batches, reader) | {"split": split, "notes": notes}
    task = Task("translate", (whole.columns[1],))
    return Prepared(
        batches["train"], batches.get("valid"), batches.get("test"), task, facts, reader, card, tuple(notes)
    )


def _usable(pairs: Pairs, data: "Data", notes: list[str]) -> Pairs:
    """The pairs that have both sides. Errors: none has, or more are empty than is tolerated."""
    there = np.array([bool(a and b) for a, b in zip(pairs.sources, pairs.targets)], dtype=bool)
    empty = np.flatnonzero(~there)
    if not there.any():
        raise GliaError(f"no row of {pairs.name} has a text and a translation")
    if len(empty):
        places = ", ".join(str(pairs.rows[i] + pairs.first) for i in empty[:SHOWN])
        more = f" and {len(empty) - SHOWN} more" if len(empty) > SHOWN else ""
        what = f"{len(empty)} of {len(there)} pairs of {pairs.name} have an empty side (rows {places}{more})"
        if len(empty) > data.bad_limit * len(there):
            raise GliaError(what, expected=f"at most {data.bad_limit:.0%}", hint="--bad-limit")
        notes.append(f"{what}; they are left out")
    return pairs.take(np.flatnonzero(there))


def _key(text: str) -> str:
    """Texts that differ in case and spaces alone are the same."""
    return " ".join(text.casefold().split())


def _divided(
    whole: Pairs, given: dict[str, Pairs], data: "Data", seed: int, notes: list[str]
) -> tuple[dict[str, Pairs], str]:
    """The parts by name, and how they were made in words. Pairs of one source text stay in one part."""
    keys = [_key(text) for text in whole.sources]
    shares = [(0.0 if name in given else getattr(data, f"{name}_share")) for name in ("valid", "test")]
    least = 1 + sum(share > 0 for share in shares)
    if len(set(keys)) < least:
        raise GliaError(f"{whole.name} has {len(set(keys))} different texts", expected=f"at least {least}")
    groups = np.unique(np.array(keys, dtype=object).astype(str), return_inverse=True)[1]
    split = split_rows(len(whole), seed, shares[0], shares[1], groups=groups)
    parts = {name: whole.take(rows) for name, rows in split._asdict().items() if len(rows)} | given
    held = {_key(text) for part in given.values() for text in part.sources}
    known = np.array([keys[row] in held for row in split.train], dtype=bool)
    if known.all():
        raise GliaError("every training text is in the files of valid or test pairs too", hint="other files")
    if known.any():
        parts["train"] = whole.take(split.train[~known])
        notes.append(f"{int(known.sum())} training pairs whose text is in a held-out file too are left out")
    repeats = len(keys) - len(set(keys))
    if repeats:
        notes.append(f"{repeats} pairs repeat the text of an earlier one; they stay in one part")
    said = [f"{share:.0%} {name}" for name, share in zip(("valid", "test"), shares) if share]
    said += [f"{name} pairs from {part.name}" for name, part in given.items()]
    return {name: parts[name] for name in ("train", "valid", "test") if name in parts}, (
        f"{', '.join(said) or 'all pairs train'}; shuffled, seed {seed}, equal texts in one part"
    )


def _reader(
    train: Pairs, names: tuple[str, str], tables: bool, data: "Data", options: ReadOptions
) -> tuple[PairReader, tuple[Sentences, Sentences], list[str]]:
    """With tokenisers learnt from the training pairs; the tokens of those, whole; and what to say of it."""
    asked = "bpe" if data.tokenizer == "auto" else data.tokenizer
    common = _common(train.sources, train.targets)
    into: Tokenizer | None = None
    whys = []
    if asked.endswith(".json") or common >= COMMON:
        both = [text for pair in zip(train.sources, train.targets) for text in pair]
        tokens, _ = tokenizer_for(asked, both, data.vocabulary, raised=data.limits)
        whys.append(f"tokeniser {tokens.name}, {tokens.size:,} tokens for both sides")
    else:
        tokens, _ = tokenizer_for(asked, train.sources, data.vocabulary, raised=data.limits)
        into, _ = tokenizer_for(asked, train.targets, data.vocabulary, raised=data.limits)
        whys.append(
            f"tokenisers {tokens.name}, {tokens.size:,} and {into.size:,} tokens: the scripts have {common:.0%} of "
            "their letters in common"
        )
    reader = PairReader(names, tables, tokens, into, _WHOLE, options)
    told = _told(train, reader)
    longest = max(int(side.lengths.max()) for side in told)
    return replace(reader, length=data.text_length or min(MOST, max(LEAST, 2 * longest))), told, whys


def _told(pairs: Pairs, reader: PairReader) -> tuple[Sentences, Sentences]:
    return reader.sources(pairs.sources), reader.targets(pairs.targets)


def _common(sources: Sequence[str], targets: Sequence[str]) -> float:
    """Share of the letters of the texts that occur in translations too, and the other way round: the smaller one."""
    counts = [Counter(sign for text in side[:5000] for sign in text if sign.isalpha()) for side in (sources, targets)]
    shares = [
        sum(count for sign, count in one.items() if sign in other) / max(one.total(), 1)
        for one, other in (counts, counts[::-1])
    ]
    return min(shares)


def _within(
    train: Pairs, told: tuple[Sentences, Sentences], reader: PairReader, notes: list[str]
) -> tuple[Pairs, tuple[Sentences, Sentences]]:
    """Training pairs that are read whole: half a text is not what its translation says."""
    # The begin of a translation is no token that is told.
    fits = (torch.maximum(told[0].lengths, told[1].lengths - 1) <= reader.length).numpy()
    if fits.all():
        return train, told
    if not fits.any():
        raise GliaError("every training pair is longer than what is read", got=f"{reader.length} tokens")
    notes.append(f"{int((~fits).sum())} training pairs of more than {reader.length} tokens are left out")
    kept = train.take(np.flatnonzero(fits))
    return kept, _told(kept, reader)


def _batches(part: Pairs, sources: Sentences, targets: Sentences, workers: int) -> Batches:
    # Sorted by the longer side, then by the other: half of the padding that sorting by their sum leaves.
    longer, other = torch.maximum(sources.lengths, targets.lengths), torch.minimum(sources.lengths, targets.lengths)
    return Batches(
        sources, targets, torch.from_numpy(part.rows), workers=workers, lengths=longer * int(longer.max() + 1) + other
    )


def _card(
    data: "Data", whole: Pairs, parts: dict[str, Pairs], batches: dict[str, Batches], reader: PairReader
) -> dict[str, Any]:
    digest = hashlib.sha256()
    for name, part in parts.items():
        digest.update(repr((name, part.sources, part.targets)).encode("utf-8", "surrogatepass"))
    used = []
    for role, name, side in (("input", whole.columns[0], "inputs"), ("target", whole.columns[1], "targets")):
        rows = getattr(batches["train"], side)
        lengths = rows.lengths.float()
        why = f"{lengths.mean():.1f} tokens on average, {int(lengths.max())} at most"
        used.append({"name": name, "kind": "text", "role": role, "why": why, "examples": list(rows.texts[:2])})
    return {
        "kind": "pairs", "source": whole.name if not isinstance(data.source, str) else data.source,
        "rows": sum(len(part) for part in parts.values()), "columns": used,
        "parts": {name: len(part) for name, part in parts.items()}, "classes": {}, "imbalance": None, "dropped": [],
        "texts": {"tokenizer": reader.tokens.name, "vocabulary": reader.tokens.size, "length": reader.length},
        "fingerprint": digest.hexdigest(),
    }  # fmt: skip
