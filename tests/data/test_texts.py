"""Texts from tables, folders and lists to tokens: what is found, what is refused, where."""

import json
from pathlib import Path

import polars as pl
import pytest
import torch

import glia
from glia.data.ragged import Ragged
from glia.data.texts.choice import augmented, read_synonyms
from glia.data.texts.reader import TextReader
from glia.data.texts.tokens import train_tokenizer
from glia.errors import GliaError
from glia.workbench.prepare import prepare

GOOD, BAD = "a great film with wonderful actors", "a dull story and awful music"


def texts(count: int) -> list[tuple[str, str]]:
    """Texts and classes, no two alike."""
    return [(f"{GOOD if i % 2 else BAD} number {i} of them", "good" if i % 2 else "bad") for i in range(count)]


def table(path: Path, rows: list[tuple[str, str]], names: tuple[str, str] = ("review", "label")) -> Path:
    pl.DataFrame(rows, schema=list(names), orient="row").write_csv(path)
    return path


def folder(root: Path, rows: list[tuple[str, str]]) -> Path:
    for i, (text, label) in enumerate(rows):
        (root / label).mkdir(parents=True, exist_ok=True)
        (root / label / f"{i}.txt").write_text(text, "utf-8")
    return root


def test_free_text_alone_is_found(tmp_path: Path) -> None:
    data = prepare(table(tmp_path / "t.csv", texts(60)), target="label")
    assert data.reader.kind == "text" and data.task.classes == ("bad", "good")
    assert isinstance(data.train.inputs, Ragged) and data.train.lengths is not None
    assert data.card["texts"]["tokenizer"] == "words"
    first = data.train.at(torch.tensor([0]))
    row = int(data.train.rows[0])
    assert data.reader.tokens.decode(first.inputs.tolist()) == [texts(60)[row][0]]
    assert first.targets.item() == row % 2


@pytest.mark.parametrize("ending", [".tsv", ".parquet", ".jsonl", "frame"])
def test_every_kind_of_table(tmp_path: Path, ending: str) -> None:
    frame = pl.DataFrame(texts(40), schema=["review", "label"], orient="row")
    path = tmp_path / f"t{ending}"
    if ending == ".tsv":
        frame.write_csv(path, separator="\t")
    elif ending == ".parquet":
        frame.write_parquet(path)
    elif ending == ".jsonl":
        frame.write_ndjson(path)
    data = prepare(frame if ending == "frame" else path, target="label")
    assert data.reader.kind == "text" and len(data.train) == 29


def test_other_columns_keep_it_a_table_unless_asked(tmp_path: Path) -> None:
    rows = [(text, label, str(i % 7)) for i, (text, label) in enumerate(texts(60))]
    path = tmp_path / "t.csv"
    pl.DataFrame(rows, schema=["review", "label", "age"], orient="row").write_csv(path)
    assert prepare(path, target="label").reader.kind == "table"
    for asked in ({"text": "review"}, {"kind": "text"}):
        assert prepare(path, target="label", **asked).reader.kind == "text"


def test_folder_of_classes_and_of_parts(tmp_path: Path) -> None:
    plain = prepare(folder(tmp_path / "plain", texts(40)))
    assert plain.reader.kind == "text" and plain.task.classes == ("bad", "good")
    for part, count in (("train", 30), ("valid", 8), ("test", 12)):
        folder(tmp_path / "parts" / part, [(f"{part} {text}", label) for text, label in texts(count)])
    data = prepare(tmp_path / "parts")
    assert [len(one) for one in (data.train, data.valid, data.test) if one is not None] == [30, 8, 12]
    assert data.reader.name_of(int(data.test.rows[0])).startswith("test/")
    raw = list(data.reader.stream(tmp_path / "parts", targets=True))
    assert sum(len(one.inputs) for one in raw) == 12 and all(name.startswith("test/") for name in raw[0].names)


def test_copies_and_empty_texts(tmp_path: Path) -> None:
    rows = [*texts(40), *texts(40), ("", "good"), ("  ", "bad")]
    data = prepare(table(tmp_path / "t.csv", rows), target="label", text="review")
    assert any("2 rows have no text" in note for note in data.notes)
    parts = [{row % 40 for row in part.rows.tolist()} for part in (data.train, data.valid, data.test) if part]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_only_training_texts_make_the_vocabulary(tmp_path: Path) -> None:
    data = prepare(table(tmp_path / "t.csv", texts(60)), target="label")
    held = {f"{row}" for part in (data.valid, data.test) if part for row in part.rows.tolist()}
    assert not held & set(data.reader.tokens.vocabulary()) - {str(row) for row in data.train.rows.tolist()}


def test_the_reader_comes_back_from_json(tmp_path: Path) -> None:
    data = prepare(table(tmp_path / "t.csv", texts(40)), target="label")
    again = TextReader.from_dict(json.loads(json.dumps(data.reader.to_dict())))
    new = ["a great new film", "", "zzz \ud800", "none"]
    assert torch.equal(again.encode(new), data.reader.encode(new))
    assert again.encode([""]).tolist() == [[again.tokens.unknown]]
    raw = next(again.stream(new))
    assert raw.names == ["0", "1", "2", "3"] and len(raw.inputs) == 4


def test_long_texts_are_cut(tmp_path: Path) -> None:
    data = prepare(table(tmp_path / "t.csv", texts(40)), target="label", text_length=5)
    assert data.facts.length == 5 and int(data.train.lengths.max()) == 5
    assert any("more than 5 tokens" in note for note in data.notes)


def test_lines_of_a_file_keep_their_places(tmp_path: Path) -> None:
    data = prepare(table(tmp_path / "t.csv", texts(40)), target="label")
    (tmp_path / "new.txt").write_text("a great film\n\nan awful one\n", "utf-8")
    raw = next(data.reader.stream(tmp_path / "new.txt"))
    assert raw.names == ["0", "1", "2"] and raw.cells["review"].to_list() == ["a great film", "", "an awful one"]
    assert len(next(data.reader.stream("one sentence alone")).inputs) == 1


def test_what_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", texts(40))
    for settings, said in (
        ({"text": "reviw"}, "no column 'reviw'.*'review'"),
        ({"text": "label"}, "the target and the text at once"),
        ({"tokenizer": "wrds"}, "unknown tokeniser"),
        ({"augment": "replace"}, "needs synonyms"),
    ):
        with pytest.raises(GliaError, match=said):
            prepare(path, target="label", **settings)
    with pytest.raises(GliaError, match="one class only"):
        prepare(table(tmp_path / "one.csv", texts(1)), target="label", text="review")
    with pytest.raises(GliaError, match="one class only"):
        prepare(table(tmp_path / "c.csv", [(f"{GOOD} {i}", "good") for i in range(9)]), target="label", text="review")


def test_bytes_that_are_no_utf8_are_named_with_their_place(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", texts(40))
    whole = path.read_bytes()
    place = whole.index(b"wonderful", 500)
    path.write_bytes(whole[:place] + b"\xe9\xff" + whole[place:])
    line = whole[:place].count(b"\n") + 1
    with pytest.raises(GliaError, match=f"line {line}, byte {place} of the file: not UTF-8"):
        prepare(path, target="label", text="review")
    assert prepare(path, target="label", text="review", encoding="latin-1").reader.kind == "text"
    (tmp_path / "new.txt").write_bytes(b"fine\nbad \xff\n")
    reader = prepare(table(tmp_path / "ok.csv", texts(40)), target="label").reader
    with pytest.raises(GliaError, match="line 2, byte 9"):
        list(reader.stream(tmp_path / "new.txt"))


def test_a_bad_file_in_many_is_left_out(tmp_path: Path) -> None:
    root = folder(tmp_path / "f", texts(40))
    (root / "good" / "broken.txt").write_bytes(b"great \xff film")
    data = prepare(root)
    assert any("1 of 41 files cannot be read" in note and "broken.txt, byte 6" in note for note in data.notes)
    with pytest.raises(GliaError, match="1 of 41 files cannot be read"):
        prepare(root, bad_limit=0.01)


def test_augmentation_by_name(tmp_path: Path) -> None:
    tokens = train_tokenizer("words", [GOOD, BAD])
    (tmp_path / "same.txt").write_text("great, wonderful, marvellous\ndull, awful\n", "utf-8")
    found = read_synonyms(tmp_path / "same.txt", tokens)
    great, wonderful, dull, awful = (tokens.vocabulary()[word] for word in ("great", "wonderful", "dull", "awful"))
    assert found == {great: [wonderful], wonderful: [great], dull: [awful], awful: [dull]}
    made = augmented(f"replace,delete,synonyms={tmp_path / 'same.txt'}", tokens)
    assert made is not None and (made.replace, made.delete, made.insert, made.swap) == (0.1, 0.1, 0.0, 0.0)
    assert augmented("auto", tokens) is None
    with pytest.raises(GliaError, match="unknown augmentation"):
        augmented("flip", tokens)
    data = glia.prepare(table(tmp_path / "t.csv", texts(40)), target="label", augment="delete,swap", batch_size=8)
    assert data.train.augment is not None and data.valid.augment is None
