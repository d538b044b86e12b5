"""Tokenisers: texts to numbers and back. Characters, words, byte-level BPE, WordPiece, or a file that somebody trained.

BPE: Sennrich et al. 2016, arXiv 1508.07909, on bytes as in Radford et al. 2019. WordPiece: Schuster, Nakajima 2012, by
the longest match first, as in Devlin et al. 2018. The library `tokenizers` does the work; its JSON is what is stored.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from glia import limits
from glia.errors import GliaError, unknown

SPECIALS = ("<pad>", "<unk>", "<s>", "</s>")
"""Filling, unknown, begin and end: tokens 0 to 3 of every tokeniser that is trained here."""
USUAL_SIZES = {"characters": 5_000, "words": 30_000, "bpe": 8_000, "wordpiece": 8_000}
_WORD = r"\w+(?:['’]\w+)*|[^\w\s]"
_CALLED = {  # what files call their special tokens, the usual names first
    "pad": ("<pad>", "[PAD]", "<|pad|>", "<|endoftext|>"),
    "unknown": ("<unk>", "[UNK]", "<|endoftext|>", "</s>", "<pad>"),
    "begin": ("<s>", "[CLS]", "<bos>", "<|startoftext|>", "<|endoftext|>", "<pad>"),
    "end": ("</s>", "[SEP]", "<eos>", "<|endoftext|>"),
}


@dataclass(frozen=True)
class Tokenizer:
    """A fitted tokeniser.

    name: "characters", "words", "bpe", "wordpiece", or "file". json: the whole of it, as the library `tokenizers`
    writes it. pad, unknown, begin, end: special tokens. A special token that a text spells out is text like any other.
    """

    name: str
    json: str
    pad: int = 0
    unknown: int = 1
    begin: int = 2
    end: int = 3

    @cached_property
    def _inner(self) -> Any:
        return _opened(self.json, f"the tokeniser {self.name}")

    @property
    def size(self) -> int:
        """How many tokens there are: they are 0 to size - 1."""
        return int(self._inner.get_vocab_size())

    def encode(self, texts: Sequence[str], *, ends: bool = False) -> list[list[int]]:
        """Tokens of each text. ends: with begin and end around them, or what the file of a trained one puts there.

        What is no character (half a surrogate pair) is read as U+FFFD.
        """
        if not len(texts):
            return []
        clean = [whole(text) for text in texts]
        return [one.ids for one in self._inner.encode_batch_fast(clean, add_special_tokens=ends)]

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The texts again, without special tokens. Of words and WordPiece the spacing is the usual one, not the
        text's own."""
        texts: list[str] = self._inner.decode_batch([list(row) for row in rows], skip_special_tokens=True)
        return texts

    def spelled(self, tokens: Sequence[int]) -> list[str]:
        """Each token as the vocabulary spells it, for people."""
        return [str(self._inner.id_to_token(token)) for token in tokens]

    def vocabulary(self) -> dict[str, int]:
        """The number of each token."""
        found: dict[str, int] = self._inner.get_vocab()
        return found

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        return {key: getattr(self, key) for key in ("name", "json", "pad", "unknown", "begin", "end")}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Tokenizer":
        return cls(**data)


def tokenizer_for(
    asked: str,
    texts: Sequence[str],
    size: int | None = None,
    *,
    lower: bool = False,
    raised: limits.Raised | None = None,
) -> tuple[Tokenizer, str]:
    """The tokeniser that was asked for, and why. asked: "auto", a name in `USUAL_SIZES`, or a tokenizer.json file.

    texts: the training texts; nothing else is looked at. size: tokens at most. lower: capitals do not count.
    """
    if asked == "auto":
        name, why = choose(texts)
        return train_tokenizer(name, texts, size, lower=lower), why
    if asked in USUAL_SIZES:
        return train_tokenizer(asked, texts, size, lower=lower), "you said so"
    if Path(asked).is_file():
        return read_tokenizer(Path(asked), raised or limits.USUAL), f"read from {asked}"
    if "/" in asked or asked.endswith(".json"):
        raise GliaError(f"no such file: {asked}", expected=f"a tokenizer.json, or one of {', '.join(USUAL_SIZES)}")
    raise unknown("tokeniser", asked, ("auto", *USUAL_SIZES))


def train_tokenizer(name: str, texts: Iterable[str], size: int | None = None, *, lower: bool = False) -> Tokenizer:
    """A tokeniser learnt from `texts`; the same texts give the same one.

    size: tokens at most, special ones with them. lower: capitals do not count; texts come back in small letters.
    """
    if name not in USUAL_SIZES:
        raise unknown("tokeniser", name, USUAL_SIZES)
    least = len(SPECIALS) + (257 if name == "bpe" else 1)
    if size is not None and size < least:
        raise GliaError(f"vocabulary of the tokeniser {name}", got=size, expected=f"at least {least}")
    inner = _MAKERS[name]((whole(text) for text in texts), size or USUAL_SIZES[name], lower)
    if inner.get_vocab_size() <= len(SPECIALS):
        raise GliaError("the training texts hold nothing to make tokens of", expected="texts with words in them")
    from tokenizers import processors

    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", SPECIALS.index("<s>")), ("</s>", SPECIALS.index("</s>"))]
    )
    return Tokenizer(name, inner.to_str())


def read_tokenizer(path: Path, raised: limits.Raised = limits.USUAL) -> Tokenizer:
    """A tokenizer.json as Hugging Face's libraries write it. Errors: no such JSON, no token that can fill rows up."""
    try:
        limits.check("tokenizer_bytes", path.stat().st_size, path, raised)
        text = path.read_text("utf-8")
    except OSError as fault:
        raise GliaError(f"cannot read {path}", got=fault.strerror or fault) from None
    except UnicodeDecodeError as fault:
        raise GliaError(f"{path} is no tokenizer.json", got=fault, expected="JSON, which is UTF-8") from None
    inner = _opened(text, str(path))
    tokens = inner.get_vocab()
    roles = {role: next((tokens[n] for n in names if n in tokens), None) for role, names in _CALLED.items()}
    end = roles["end"] if roles["end"] is not None else roles["pad"]
    if end is None:
        raise GliaError(f"{path} has no token that fills rows up", expected=f"one of {', '.join(_CALLED['pad'])}")
    found = {role: end if token is None else token for role, token in roles.items()}
    return Tokenizer("file", inner.to_str(), **found)


def choose(texts: Sequence[str]) -> tuple[str, str]:
    """Which tokeniser fits, and why: words, unless the texts are written without spaces or new words never end."""
    sample = [text for text in texts[:: max(1, len(texts) // 20_000)] if text.strip()]
    share = unspaced(sample)
    if share > 0.3:
        return "characters", f"{share:.0%} of the signs are of a script without spaces between words: characters"
    words = [text.lower().split() for text in sample]
    count, signs = sum(map(len, words)), sum(len(word) for row in words for word in row)
    if count and signs / count > 15:
        return "bpe", f"what spaces divide is {signs / count:.0f} signs long: pieces of words, by byte-level BPE"
    new = _new_words(words)
    if new > 0.25:
        return "bpe", f"{new:.0%} of the words of a tenth of the texts are not in the others: pieces, by byte-level BPE"
    return "words", f"words divided by spaces, {1 - new:.0%} of which come back in other texts"


def whole(text: str) -> str:
    """The text with what is no character (half a surrogate pair) as U+FFFD; two halves make their one character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _new_words(rows: list[list[str]]) -> float:
    """Share of the words of every tenth text that the other texts lack. Few texts say little: 0 of under 200."""
    if len(rows) < 200:
        return 0.0
    known = {word for place, row in enumerate(rows) if place % 10 for word in row}
    held = [word for row in rows[::10] for word in row]
    return sum(word not in known for word in held) / max(len(held), 1)


def unspaced(texts: Iterable[str]) -> float:
    """Share of the signs that belong to a script without spaces between words."""
    letters = Counter("".join(texts))
    total = sum(count for sign, count in letters.items() if not sign.isspace())
    return sum(count for sign, count in letters.items() if _is_unspaced(sign)) / max(total, 1)


def _is_unspaced(sign: str) -> bool:
    """Of a script that puts no spaces between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese."""
    code = ord(sign)
    ranges = (
        (0x0E00, 0x0EFF),
        (0x1000, 0x109F),
        (0x1780, 0x17FF),
        (0x3040, 0x30FF),
        (0x3400, 0x9FFF),
        (0x20000, 0x3FFFF),
    )
    return any(low <= code <= high for low, high in ranges)


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise GliaError("tokenisers need the library tokenizers", hint="pip install 'glia[text]'") from None
    return tokenizers


def _opened(text: str, name: str) -> Any:
    """The library's object, without filling up or cutting off, which are done elsewhere."""
    library = _library()
    try:
        inner = library.Tokenizer.from_str(text)
    except Exception as fault:  # the library raises plain Exception
        raise GliaError(f"{name} is no tokenizer.json", got=str(fault)[:200]) from None
    inner.no_padding()
    inner.no_truncation()
    inner.encode_special_tokens = True  # "</s>" in a text is four signs, not the end of it
    return inner


def _characters(texts: Iterable[str], size: int, lower: bool) -> Any:
    library = _library()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text.lower() if lower else text)
    signs = sorted(counts, key=lambda sign: (-counts[sign], sign))[: size - len(SPECIALS)]
    inner = library.Tokenizer(
        library.models.WordLevel({sign: i for i, sign in enumerate([*SPECIALS, *signs])}, unk_token="<unk>")
    )
    inner.pre_tokenizer = library.pre_tokenizers.Split(library.Regex(r"[\s\S]"), behavior="isolated")
    inner.decoder = library.decoders.Fuse()
    inner.add_special_tokens(list(SPECIALS))
    if lower:
        inner.normalizer = library.normalizers.Lowercase()
    return inner


def _words(texts: Iterable[str], size: int, lower: bool) -> Any:
    library = _library()
    inner = library.Tokenizer(library.models.WordLevel(unk_token="<unk>"))
    inner.pre_tokenizer = library.pre_tokenizers.Split(library.Regex(_WORD), behavior="removed", invert=True)
    if lower:
        inner.normalizer = library.normalizers.Sequence([library.normalizers.NFC(), library.normalizers.Lowercase()])
    return _trained(inner, library.trainers.WordLevelTrainer, texts, size)


def _bpe(texts: Iterable[str], size: int, lower: bool) -> Any:
    library = _library()
    inner = library.Tokenizer(library.models.BPE())
    inner.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = library.decoders.ByteLevel()
    if lower:
        inner.normalizer = library.normalizers.Lowercase()
    alphabet = library.pre_tokenizers.ByteLevel.alphabet()
    return _trained(inner, library.trainers.BpeTrainer, texts, size, min_frequency=2, initial_alphabet=alphabet)


def _wordpiece(texts: Iterable[str], size: int, lower: bool) -> Any:
    """The library numbers the signs within words as it meets them, which is another order in every process, and
    breaks ties by number. Called special at first they have an order; then the tokeniser is made anew without that.
    """
    library = _library()
    normalizer = library.normalizers.BertNormalizer(lowercase=lower, strip_accents=False)
    clean = [normalizer.normalize_str(text) for text in texts]
    counts = Counter("".join(clean))
    signs = sorted((sign for sign in counts if not sign.isspace()), key=lambda sign: (-counts[sign], sign))
    kept, rare = signs[: max(size // 4, 1)], signs[max(size // 4, 1) :]
    clean = [text.translate(dict.fromkeys(map(ord, rare), " ")) for text in clean] if rare else clean
    inner = library.Tokenizer(library.models.WordPiece(unk_token="<unk>"))
    inner.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    first = [*SPECIALS, *kept, *(f"##{sign}" for sign in kept)]
    trainer = library.trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=first, min_frequency=2, show_progress=False
    )
    inner.train_from_iterator(clean, trainer)
    made = library.Tokenizer(library.models.WordPiece(inner.get_vocab(), unk_token="<unk>"))
    made.normalizer, made.pre_tokenizer, made.decoder = normalizer, inner.pre_tokenizer, library.decoders.WordPiece()
    made.add_special_tokens(list(SPECIALS))
    return made


_MAKERS: dict[str, Callable[[Iterable[str], int, bool], Any]] = {
    "characters": _characters,
    "words": _words,
    "bpe": _bpe,
    "wordpiece": _wordpiece,
}


def _trained(inner: Any, trainer: Any, texts: Iterable[str], size: int, **options: Any) -> Any:
    settings = {"vocab_size": size, "special_tokens": list(SPECIALS), "show_progress": False, **options}
    inner.train_from_iterator(texts, trainer(**settings))
    return inner
