"""Which words of a text mattered: how far the answer moves when each is left out (occlusion).

Zeiler, Fergus 2014, arXiv 1311.2901, section 4.2, for pictures; Li et al. 2016, arXiv 1612.08220, for words.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl
import torch
from torch import Tensor, nn

from glia.data.task import Task
from glia.predict.outputs import evaluating, forward

MOST_WORDS = 200  # of a text that are tried; a pass of the network for each
_BATCH = 64
_WORD = re.compile(r"\S+")
_LONG = 40  # signs of a "word" that is no word: a text without spaces, whose signs are tried one by one


class Encodes(Protocol):
    """What turns texts into the network's input: a TextReader."""

    def encode(self, texts: list[str]) -> Tensor: ...


@dataclass(frozen=True)
class Word:
    """text: the word; start: where it begins in its text. effect: how far the answer that is looked at falls without
    it: log-odds of a class or a label, or standard deviations of a number. Below 0 the word spoke against it."""

    text: str
    start: int
    effect: float


def words_that_mattered(
    model: nn.Module, task: Task, reader: Encodes, text: str, answer: int | None = None
) -> list[Word]:
    """Every word of `text` in its order (the first 200), with its effect on one output.

    answer: which output; the most probable class (the first label or number) if not said. A word is what spaces
    divide; of a text without spaces, a sign.
    """
    spans = _spans(text)[:MOST_WORDS]
    if not spans:
        return []
    variants = [text, *(f"{text[:start]}{text[end:]}" for start, end in spans)]
    with evaluating(model):
        outputs = torch.cat(
            [forward(model, reader.encode(variants[i : i + _BATCH]), task) for i in range(0, len(variants), _BATCH)]
        ).double()
    if answer is None:
        answer = int(outputs[0].argmax()) if task.kind == "classify" else 0
    said = outputs[:, answer] / task.scale[answer] if task.kind == "regress" else outputs[:, answer].logit(1e-7)
    effects = (said[0] - said[1:]).tolist()
    return [Word(text[start:end], start, effect) for (start, end), effect in zip(spans, effects, strict=True)]


def strongest(words: list[Word], most: int = 5) -> list[Word]:
    """Those with the largest effect in either direction, the largest first."""
    return sorted((word for word in words if word.effect), key=lambda word: -abs(word.effect))[:most]


def told(words: list[Word]) -> str:
    """``great +2.1, not -0.8``"""
    return ", ".join(f"{word.text} {word.effect:+.2g}" for word in words)


def words_of(model: nn.Module, task: Task, reader: Any, cells: pl.DataFrame) -> list[str]:
    """For each row of a polars frame, the words of its text that moved the answer most, `told`."""
    texts = cells[reader.column].cast(pl.String).fill_null("").to_list()
    return [told(strongest(words_that_mattered(model, task, reader, text))) for text in texts]


def with_words(files: dict[str, bytes], model: nn.Module, task: Task, reader: Any) -> dict[str, bytes]:
    """The files on the worst rows, with the words that spoke for and against what was said: "words" of each entry,
    a list of {"text", "start", "effect"} for the class, label or number that was answered."""
    entries = json.loads(files["worst.json"])
    for entry in entries:
        text = (entry["cells"] or {}).get(reader.column)
        if text:
            found = words_that_mattered(model, task, reader, text)
            entry["text"] = text
            entry["words"] = [{"text": w.text, "start": w.start, "effect": round(w.effect, 4)} for w in found]
    return files | {"worst.json": json.dumps(entries, ensure_ascii=False, indent=1).encode()}


def _spans(text: str) -> list[tuple[int, int]]:
    found = [match.span() for match in _WORD.finditer(text)]
    if any(end - start > _LONG for start, end in found):
        return [(place, place + 1) for place, sign in enumerate(text) if not sign.isspace()]
    return found
