"""Corpora: text read in pieces, cut into parts, made tokens in memory or in a file, and cut into windows."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

import glia
from glia.data.corpus import source as corpus_source
from glia.data.corpus import store as corpus_store
from glia.data.corpus.prepare import prepare_corpus
from glia.data.corpus.reader import CorpusReader
from glia.data.corpus.source import between, is_corpus_source, read_pieces
from glia.data.corpus.store import Encoder
from glia.data.corpus.windows import Part, Shifted
from glia.data.prepared import Prepared
from glia.data.texts.tokens import train_tokenizer
from glia.recipe import Data

PLAY = "".join(f"Line {i}: the {'quick brown fox jumps over'.split()[i % 5]} and so on, été.\n" for i in range(400))


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLIA_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "play.txt"
    path.write_text(PLAY, newline="\n")
    return path


def told(data: Prepared, part: str) -> str:
    """The text of a part, from its tokens."""
    read = getattr(data, part).inputs
    reader = data.reader
    assert isinstance(reader, CorpusReader)
    return reader.tokens.decode([read.values[read.first : read.first + read.tokens].tolist()])[0]


def test_parts_are_the_beginning_the_middle_and_the_end(play: Path) -> None:
    data = glia.prepare(str(play), valid_share=0.1, test_share=0.2, context=16)
    assert told(data, "train") + told(data, "valid") + told(data, "test") == PLAY
    assert len(told(data, "test")) == round(0.2 * len(PLAY))
    assert len(told(data, "valid")) == round(0.1 * (len(PLAY) - len(told(data, "test"))))


@pytest.mark.parametrize("tokenizer", ["characters", "bpe"])
def test_the_vocabulary_comes_from_the_training_part(play: Path, tokenizer: str) -> None:
    play.write_text(PLAY + "\u20ac" * 3 + "\n" + PLAY[:999] + "\n")
    data = glia.prepare(str(play), valid_share=0, test_share=0.1, context=16, tokenizer=tokenizer)
    unknown = data.card["corpus"]["unknown"]
    if tokenizer == "bpe":  # its bytes are known
        assert (
            told(data, "test") == (PLAY + "\u20ac" * 3 + "\n" + PLAY[:999] + "\n")[-round(0.1 * (len(PLAY) + 1004)) :]
        )
        assert unknown["test"] == 0
    else:
        assert "\u20ac" not in data.task.classes and unknown == {"train": 0, "test": pytest.approx(3 / 1800, abs=1e-3)}
        assert any("training never saw" in note for note in data.notes)


def test_a_file_of_tokens_holds_what_memory_would(play: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pieces, a mapped file: the same tokens; the second time nothing is written, a damaged file is."""
    whole = glia.prepare(str(play), context=16)
    monkeypatch.setattr(corpus_store, "SMALL", 0)
    monkeypatch.setattr(corpus_source, "PIECE", 300)
    mapped = glia.prepare(str(play), context=16)
    values = mapped.train.inputs.values
    assert isinstance(values, np.memmap) and values.dtype == np.uint16
    assert np.array_equal(values, whole.train.inputs.values)
    assert torch.equal(next(mapped.train.epoch(0, 3, 8)).inputs, next(whole.train.epoch(0, 3, 8)).inputs)
    (path,) = (play.parent / "cache" / "corpora").glob("*.tokens")
    before = path.stat().st_mtime_ns
    glia.prepare(str(play), context=16)
    assert path.stat().st_mtime_ns == before
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    again = glia.prepare(str(play), context=16)
    assert np.array_equal(again.train.inputs.values, whole.train.inputs.values)


def test_pieces_are_the_text_however_it_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_source, "PIECE", 100)
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree")
    with gzip.open(tmp_path / "b.txt.gz", "wt", encoding="utf-8") as file:
        file.write(PLAY)
    (tmp_path / "c.md").write_bytes(b"x" * 1000)
    pieces = list(read_pieces(corpus_source.corpus_files(tmp_path)))
    text = "one\ntwo\nthree\n" + PLAY + "x" * 1000 + "\n"
    assert "".join(pieces) == text and len(pieces) > 3
    for low, high in ((0, 5), (3, 900), (len(text) - 7, len(text)), (50, 50)):
        assert "".join(between(pieces, low, high)) == text[low:high]


def test_characters_by_table_are_those_of_the_library() -> None:
    tokens = train_tokenizer("characters", [PLAY])
    text = PLAY[:500] + "never: \u4e2d\U0001f600\ud800"
    assert Encoder.of(tokens)(text).tolist() == tokens.encode([text])[0]


def test_the_epochs_of_a_long_text_show_all_of_it() -> None:
    """Each epoch every third window; three epochs show each window once, and each begins at an offset of its own."""
    part = Part(np.arange(1000), 100, 1000, 900)
    read, want, every = part.windows(10, most=300, shifting=True)
    assert every == 3 and len(read) == 29
    shifted = Shifted(read, want, every, 9)
    index = torch.arange(len(read))
    seen = set()
    for epoch in range(3):
        inputs, targets = shifted(read.take(index), want.take(index), 5, epoch, index)
        assert torch.equal(inputs + 1, targets) and int(inputs.min()) >= 100 and int(targets.max()) < 1000
        seen |= {(place - 100) // 10 for place in inputs[:, 0].tolist()}
    assert len(seen) == 87
    firsts = {int(shifted(read.take(index), want.take(index), 5, epoch, index)[0][0, 0]) % 10 for epoch in range(12)}
    assert len(firsts) > 4


def test_validation_tells_each_token_once() -> None:
    read, want, _ = Part(np.arange(101), 0, 101, 101).windows(10, most=1000)
    assert want.take(torch.arange(len(want))).flatten().tolist() == list(range(1, 101))
    assert torch.equal(read.take(torch.tensor([0, 9]))[:, 0], torch.tensor([0, 90]))


def test_workers_and_going_on_give_the_same_batches(play: Path) -> None:
    first, second = (glia.prepare(str(play), context=16, workers=workers).train for workers in (0, 2))
    whole = [batch.inputs for batch in first.epoch(1, 2, 16)]
    later = [batch.inputs for batch in second.epoch(1, 2, 16, start=5)]
    assert len(later) == len(whole) - 5
    assert all(torch.equal(one, other) for one, other in zip(whole[5:], later, strict=True))
    assert not torch.equal(whole[0], next(first.epoch(1, 3, 16)).inputs)


def test_what_is_a_corpus(tmp_path: Path) -> None:
    play, table = tmp_path / "play.txt", tmp_path / "table.txt"
    play.write_text(PLAY)
    table.write_text("a\tb\n1\t2\n3\t4\n")
    assert is_corpus_source(Data(source=str(play)))
    assert not is_corpus_source(Data(source=str(table)))
    assert not is_corpus_source(Data(source=str(play), target="x"))
    assert not is_corpus_source(Data(source=str(tmp_path)))
    assert not is_corpus_source(Data(source="iris"))


@pytest.mark.parametrize(
    ("content", "settings", "said"),
    [
        (b"good text\n" * 300 + b"bad \xff\xfe byte\n", {}, "byte 3004: not UTF-8"),
        (b"good text\n" * 300 + b"\0\0", {}, "a zero byte at byte 3000"),
        (b"one line only\n", {}, "part is too short"),
        (b"", {}, "holds no text"),
        (b"good text\n" * 300, {"context": 1000}, "a smaller --context"),
        (b"good text\n" * 300, {"tokenizer": "words"}, "forgets the spaces"),
        (b"good text\n" * 300, {"group": "g"}, "a corpus has no group"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, content: bytes, settings: dict[str, str], said: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(glia.GliaError, match=said) as caught:
        prepare_corpus(Data(source=str(path), **settings), 0)
    assert "\n" not in str(caught.value)
