"""Tokenisers: there and back, the same from a file, nothing of a text mistaken for a special token."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glia.data.texts.tokens import USUAL_SIZES, Tokenizer, choose, read_tokenizer, tokenizer_for, train_tokenizer
from glia.errors import GliaError

TEXTS = [
    "The cat sat on the mat.",
    "A dog didn't sit: it ran!",
    "the mat, the cat and the dog",
    "Größe 東京 \U0001f600 x",
] * 5
BPE = train_tokenizer("bpe", TEXTS, 300)


@pytest.mark.parametrize("name", USUAL_SIZES)
def test_there_and_back(name: str) -> None:
    tokenizer = train_tokenizer(name, TEXTS)
    rows = tokenizer.encode(TEXTS)
    assert max(map(max, rows)) < tokenizer.size
    back = tokenizer.decode(rows)
    if name in ("characters", "bpe"):  # words and pieces of them do not keep the spacing
        assert back == TEXTS
    else:
        assert tokenizer.encode(back) == rows
        assert back[2].replace(" ,", ",") == TEXTS[2]


@pytest.mark.parametrize("name", USUAL_SIZES)
def test_the_same_after_storing_and_training_again(name: str) -> None:
    tokenizer = train_tokenizer(name, TEXTS)
    stored = Tokenizer.from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert stored == tokenizer == train_tokenizer(name, iter(TEXTS))
    strange = ["never seen zzz", "", "\0 \n"]
    assert stored.encode(strange) == tokenizer.encode(strange)


@settings(deadline=None, max_examples=60)
@given(st.text())
def test_bytes_spell_every_text(text: str) -> None:
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert BPE.decode(BPE.encode([text])) == [whole]


@pytest.mark.parametrize("name", USUAL_SIZES)
def test_half_a_pair_and_spelled_specials(name: str) -> None:
    tokenizer = train_tokenizer(name, [*TEXTS, "< / s > pad unk"])
    half, replaced = tokenizer.encode(["cat \ud800 dog", "cat \ufffd dog"])
    assert half == replaced
    special = {tokenizer.pad, tokenizer.begin, tokenizer.end}
    assert not special & set(sum(tokenizer.encode(["cat </s> <s> <pad> dog"]), []))


def test_ends_and_unknown() -> None:
    tokenizer = train_tokenizer("words", TEXTS, lower=True)
    row, empty = tokenizer.encode(["the zebra", ""], ends=True)
    assert row[0] == tokenizer.begin and row[-1] == tokenizer.end and row[2] == tokenizer.unknown
    assert empty == [tokenizer.begin, tokenizer.end]
    assert tokenizer.encode(["THE"]) == tokenizer.encode(["the"])
    assert tokenizer.spelled(tokenizer.encode(["Didn't"])[0]) == ["didn't"]


def test_the_most_frequent_are_kept() -> None:
    tokenizer = train_tokenizer("words", ["a a a b b c"], 6)
    assert tokenizer.size == 6
    assert set(tokenizer.vocabulary()) == {"<pad>", "<unk>", "<s>", "</s>", "a", "b"}


def test_a_file_of_transformers(tmp_path: Path) -> None:
    """The same numbers as transformers gives for a file of BERT's kind, which asks for filling up and cutting off."""
    tokenizers, transformers = pytest.importorskip("tokenizers"), pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "##s", "sat"]
    inner = tokenizers.BertWordPieceTokenizer({word: i for i, word in enumerate(words)}, lowercase=True)
    inner.enable_padding(length=20)
    inner.enable_truncation(4)
    inner.save(str(tmp_path / "tokenizer.json"))
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"), unk_token="[UNK]", pad_token="[PAD]"
    )
    ours = read_tokenizer(tmp_path / "tokenizer.json")
    text = "The cats sat: unheard"
    assert ours.encode([text], ends=True) == theirs([text], padding=False, truncation=False)["input_ids"]
    assert (ours.pad, ours.unknown, ours.begin, ours.end) == (0, 1, 2, 3)
    assert tokenizer_for(str(tmp_path / "tokenizer.json"), [])[0] == ours


def test_the_choice_says_why() -> None:
    assert choose(TEXTS)[0] == "words"
    assert choose(["我们今天去公园散步", "他喜欢读书和写字"])[0] == "characters"
    assert choose(["thisiswrittenwithoutanyspaces", "andthisoneaswellasitseems"])[0] == "bpe"
    tokenizer, why = tokenizer_for("auto", ["我们今天去公园散步", "他喜欢读书和写字"])
    assert tokenizer.name == "characters" and "without spaces" in why


def test_bad_ones(tmp_path: Path) -> None:
    for content in (b"{}", b"\xff\xfe", b"not json", b'{"model": 3}'):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(GliaError, match="no tokenizer.json"):
            tokenizer_for(str(tmp_path / "bad.json"), [])
    for asked, said in (("wrds", "unknown tokeniser"), ("there/is.json", "no such file")):
        with pytest.raises(GliaError, match=said):
            tokenizer_for(asked, TEXTS)
    for name in ("words", "characters"):
        with pytest.raises(GliaError, match="nothing to make tokens of"):
            train_tokenizer(name, ["", ""])
    with pytest.raises(GliaError, match="at least 261"):
        train_tokenizer("bpe", TEXTS, 100)
