"""Pairs of texts: sources, what is left out, parts, tokens, batches of like lengths."""

import gzip
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import glia
from glia.data.facts import PairFacts
from glia.data.pairs.reader import PairReader
from glia.data.pairs.source import is_pair_source
from glia.data.prepared import Prepared
from glia.errors import GliaError
from glia.recipe import Recipe

WORDS = {"one": "eins", "two": "zwei", "old": "alte", "dog": "Hund", "cat": "Katze", "sees": "sieht", "eats": "frisst"}


def pairs(count: int = 60, seed: int = 0) -> list[tuple[str, str]]:
    rng = np.random.default_rng(seed)
    rows: dict[str, str] = {}
    while len(rows) < count:
        words = rng.choice(list(WORDS), int(rng.integers(3, 9)))
        rows[" ".join(words)] = " ".join(WORDS[word] for word in words)
    return list(rows.items())


def aligned(folder: Path, rows: list[tuple[str, str]], name: str = "train") -> str:
    for place, language in enumerate(("en", "de")):
        (folder / f"{name}.{language}").write_text("".join(f"{row[place]}\n" for row in rows), "utf-8")
    return f"{folder / name}.en,{folder / name}.de"


def texts(data: Prepared, part: str = "train") -> set[tuple[str, str]]:
    rows = getattr(data, part)
    return set(zip(rows.inputs.texts, rows.targets.texts))


def test_all_ways_to_give_pairs_are_the_same_data(tmp_path: Path) -> None:
    rows = pairs()
    table = "en\tde\n" + "".join(f"{a}\t{b}\n" for a, b in rows)
    (tmp_path / "pairs.tsv").write_text(table)
    (tmp_path / "packed.tsv.gz").write_bytes(gzip.compress(table.encode()))
    (tmp_path / "pairs.csv").write_text("id,de,en\n" + "".join(f"{i},{b},{a}\n" for i, (a, b) in enumerate(rows)))
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps({"en": a, "de": b}) + "\n" for a, b in rows))
    first = glia.prepare(aligned(tmp_path, rows))
    assert first.task.kind == "translate" and isinstance(first.facts, PairFacts) and first.facts.shared
    given = [
        glia.prepare(str(tmp_path / "pairs.tsv")),
        glia.prepare(str(tmp_path / "packed.tsv.gz")),
        glia.prepare(str(tmp_path / "pairs.csv"), text="en", target="de"),
        glia.prepare(str(tmp_path / "pairs.csv"), target="de"),
        glia.prepare(str(tmp_path / "pairs.jsonl")),
        glia.prepare(pl.DataFrame(rows, schema=["en", "de"], orient="row"), task="translate"),
    ]
    for data in given:
        assert data.task.kind == "translate" and data.task.targets == ("de",)
        for part in ("train", "valid", "test"):
            assert texts(data, part) == texts(first, part)
        assert data.reader.to_dict()["tokens"] == first.reader.to_dict()["tokens"]


def test_tables_that_are_none_of_pairs_stay_tables(tmp_path: Path) -> None:
    notes, other = [f"some words of row {i}" for i in range(40)], [f"what else is told of {i}" for i in range(40)]
    frame = pl.DataFrame({"note": notes, "other": other, "y": ["a", "b"] * 20, "n": range(40)})
    for columns, settings, is_pairs in [
        (["note", "y"], {"target": "y"}, False),
        (["note", "y"], {}, False),
        (["note", "n"], {"target": "n"}, False),
        (["note", "other", "y"], {"target": "y"}, False),
        (["note", "other", "y"], {}, False),
        (["note", "other"], {}, True),
        (["note", "other", "n"], {"target": "other"}, True),
        (["note", "other", "n"], {"target": "other", "task": "classify"}, False),
    ]:
        frame.select(columns).write_csv(tmp_path / "table.csv")
        for source in (str(tmp_path / "table.csv"), frame.select(columns)):
            assert is_pair_source(Recipe.of(source=source, **settings).data) == is_pairs
    assert glia.prepare("iris").task.kind == "classify"


def test_tokens_come_back_and_are_learnt_from_training_texts_alone(tmp_path: Path) -> None:
    rows = pairs()
    data = glia.prepare(aligned(tmp_path, rows))
    held = aligned(tmp_path, [("Ünique wörds", "Quarz Jux")], "held")
    other = glia.prepare(aligned(tmp_path, rows, "again"), valid=held, test_share=0.0)
    reader = data.reader
    assert isinstance(reader, PairReader) and isinstance(other.reader, PairReader)
    batch = data.train.at(torch.arange(5))
    one = reader.tokens
    assert (batch.targets[:, 0] == one.begin).all() and ((batch.targets == one.end).sum(1) == 1).all()
    assert ((batch.inputs == one.end).sum(1) == 1).all() and not (batch.inputs == one.begin).any()
    assert one.decode(batch.inputs.tolist()) == list(data.train.inputs.texts[:5])  # type: ignore[union-attr]
    assert not {"Qu", "Qua", "rz", "Ju"} & set(other.reader.tokens.vocabulary())
    again = PairReader.from_dict(json.loads(json.dumps(reader.to_dict())))
    assert again == reader


def test_scripts_that_share_no_letters_have_tokenisers_of_their_own(tmp_path: Path) -> None:
    letters = str.maketrans("abcdefghijklmnopqrstuvwxyz", "абвгдежзийклмнопрстуфхцчшщ")
    rows = [(a, b.lower().translate(letters)) for a, b in pairs()]
    data = glia.prepare(aligned(tmp_path, rows), tokenizer="characters")
    assert isinstance(data.facts, PairFacts) and not data.facts.shared
    net = glia.build("transformer-tiny", data)
    batch = data.train.at(torch.arange(3))
    assert net(batch.inputs, batch.targets).shape[2] == data.facts.targets
    with pytest.raises(GliaError, match="one vocabulary"):
        glia.build("t5-tiny", data)


def test_equal_texts_stay_in_one_part_and_out_of_held_out_files(tmp_path: Path) -> None:
    rows = pairs(40)
    doubled = rows + [(a.upper(), b + " !") for a, b in rows]
    data = glia.prepare(aligned(tmp_path, doubled))
    parts = [{a.lower() for a, _ in texts(data, part)} for part in ("train", "valid", "test")]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert any("40 pairs repeat" in note for note in data.notes)
    held = aligned(tmp_path, rows[:7], "test")
    data = glia.prepare(aligned(tmp_path, rows, "other"), test=held)
    assert len(data.test or ()) == 7 and not texts(data) & set(rows[:7])
    assert any("training pairs whose text is in a held-out file" in note for note in data.notes)


def test_bad_files_are_one_line_that_says_where(tmp_path: Path) -> None:
    rows = pairs(60)
    source = aligned(tmp_path, rows)
    (tmp_path / "train.de").write_text("".join(f"{b}\n" for _, b in rows[:-3]))
    with pytest.raises(GliaError, match=r"train\.en, line 58 has no partner.*60 and 57"):
        glia.prepare(source)
    (tmp_path / "train.de").write_bytes(b"gut\n" * 8 + b"schl\xffecht\n" + b"gut\n" * 51)
    with pytest.raises(GliaError, match=r"train\.de, line 9, byte 5: not utf-8"):
        glia.prepare(source)
    with pytest.raises(GliaError, match="no such file"):
        glia.prepare(f"{tmp_path / 'train.en'},{tmp_path / 'nothing.de'}")
    with pytest.raises(GliaError, match="one file of texts"):
        glia.prepare(str(tmp_path / "train.en"), task="translate")
    empty = [(a, "" if i in (3, 5) else b) for i, (a, b) in enumerate(rows)]
    data = glia.prepare(aligned(tmp_path, empty))
    assert any("2 of 60 pairs" in note and "rows 4, 6" in note for note in data.notes)
    with pytest.raises(GliaError, match="empty side"):
        glia.prepare(aligned(tmp_path, [(a, "" if i % 2 else b) for i, (a, b) in enumerate(rows)]))
    # A lone carriage return or a separator of Unicode ends no line.
    odd = [(a.replace(" ", "\u2028", 1), b.replace(" ", "\x85", 1)) for a, b in rows]
    assert len(texts(glia.prepare(aligned(tmp_path, odd), test_share=0.0, valid_share=0.0))) == 60


def test_long_pairs_do_not_train_and_batches_hardly_hold_padding(tmp_path: Path) -> None:
    rows = pairs(400)
    data = glia.prepare(aligned(tmp_path, rows), text_length=7, tokenizer="words")
    assert isinstance(data.train.inputs.lengths, torch.Tensor)  # type: ignore[union-attr]
    assert int(data.train.inputs.lengths.max()) <= 7 and any("more than 7 tokens" in note for note in data.notes)  # type: ignore[union-attr]
    data = glia.prepare(aligned(tmp_path, rows))
    empty = whole = 0
    for batch in data.train.epoch(0, 0, 16):
        for side in (batch.inputs, batch.targets):
            empty, whole = empty + int((side == 0).sum()), whole + side.numel()
    assert empty / whole < 0.1
    assert [b.index.tolist() for b in data.train.epoch(0, 3, 16)] == [
        b.index.tolist() for b in data.train.epoch(0, 3, 16)
    ]
