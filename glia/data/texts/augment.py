"""Augmentation of training texts: words replaced, inserted, deleted, swapped, or the text translated there and back.

What happens to row i in epoch e is a function of (seed, e, i) alone, as it is with pictures.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from glia.errors import GliaError
from glia.seed import mix

Word = TypeVar("Word", bound=Hashable)
Translate = Callable[[list[str]], list[str]]
"""Texts to the same texts in other words, as many and in the same order: two translations, one after the other."""


@dataclass(frozen=True)
class TextAugment:
    """Easy data augmentation (Wei and Zou 2019, arXiv 1901.11196): one operation for each row that is changed.

    Numbers are shares of a row's words (at least one word), 0 turns an operation off; `delete` is the probability of
    each word. Words are strings, or tokens where a token is a word. Labels are kept; where the order of words or a
    single word makes the label (grammar, translation), leave it off. In the paper every operation has 0.1.
    """

    synonyms: Mapping[str, Sequence[str]] | Mapping[int, Sequence[int]]  # what may stand for a word
    replace: float = 0.1
    insert: float = 0.1
    delete: float = 0.1
    swap: float = 0.1
    rows: float = 0.8  # share of the rows that are changed, each time anew
    pad: int = 0  # token past the end of a row

    def __call__(self, inputs: Tensor, targets: Tensor, seed: int, epoch: int, index: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (N, L), `pad` past the end, as epoch `epoch` shows the rows `index`; what grows past L is cut off."""
        changed = torch.full_like(inputs, self.pad)
        for place, (row, number) in enumerate(zip(inputs.tolist(), index.tolist(), strict=True)):
            words = row[: max((i + 1 for i, token in enumerate(row) if token != self.pad), default=0)]
            words = self.words(words, seed, epoch, number)[: inputs.shape[1]]
            changed[place, : len(words)] = torch.tensor(words, dtype=inputs.dtype)
        return changed, targets

    def texts(self, texts: Sequence[str], seed: int, epoch: int, index: Sequence[int]) -> list[str]:
        """Texts as epoch `epoch` shows the rows `index`; words are what white space divides."""
        return [" ".join(self.words(text.split(), seed, epoch, row)) for text, row in zip(texts, index, strict=True)]

    def words(self, words: Sequence[Word], seed: int, epoch: int, row: int) -> list[Word]:
        """The words of one row, changed or not."""
        made, dice = list(words), np.random.default_rng(mix(seed, "augment", epoch, "text", row))
        on = [name for name in ("replace", "insert", "delete", "swap") if getattr(self, name)]
        if not made or not on or dice.random() >= self.rows:
            return made
        name = on[int(dice.integers(len(on)))]
        share: float = getattr(self, name)
        if name == "delete":
            return _deleted(made, share, dice)
        count = max(round(share * len(made)), 1)
        if name == "swap":
            return _swapped(made, count, dice)
        known: Mapping[Word, Sequence[Word]] = self.synonyms  # type: ignore[assignment]  # the words' kind
        return (_replaced if name == "replace" else _inserted)(made, known, count, dice)


def back_translation(
    texts: Sequence[str], translate: Translate, seed: int, epoch: int, index: Sequence[int], share: float = 0.5
) -> list[str]:
    """A share of the texts, drawn anew for each row and epoch, in the words of a translation there and back.

    Sennrich et al. 2016 (arXiv 1511.06709) translate back for translation; Xie et al. 2020 (arXiv 1904.12848) to
    augment. `translate` is called once, with the chosen texts, or not at all.
    """
    drawn = [np.random.default_rng(mix(seed, "augment", epoch, "back", int(row))).random() for row in index]
    chosen = [place for place, value in enumerate(drawn) if value < share]
    if not chosen:
        return list(texts)
    made = translate([texts[place] for place in chosen])
    if len(made) != len(chosen):
        raise GliaError("the translation of back_translation", got=f"{len(made)} texts", expected=f"{len(chosen)}")
    changed = list(texts)
    for place, text in zip(chosen, made, strict=True):
        changed[place] = text
    return changed


def _replaced(
    words: list[Word], synonyms: Mapping[Word, Sequence[Word]], count: int, dice: np.random.Generator
) -> list[Word]:
    """`count` different words by one of their synonyms, wherever they stand, as in the authors' code."""
    known = sorted({word for word in words if synonyms.get(word)}, key=words.index)
    for number in dice.permutation(len(known))[:count]:
        word, choices = known[number], synonyms[known[number]]
        other = choices[int(dice.integers(len(choices)))]
        words = [other if old == word else old for old in words]
    return words


def _inserted(
    words: list[Word], synonyms: Mapping[Word, Sequence[Word]], count: int, dice: np.random.Generator
) -> list[Word]:
    """`count` times a synonym of a word of the text, anywhere."""
    known = [word for word in words if synonyms.get(word)]
    for _ in range(count if known else 0):
        choices = synonyms[known[int(dice.integers(len(known)))]]
        words.insert(int(dice.integers(len(words) + 1)), choices[int(dice.integers(len(choices)))])
    return words


def _deleted(words: list[Word], share: float, dice: np.random.Generator) -> list[Word]:
    """Each word with that probability; one is left at least."""
    draws = dice.random(len(words))
    left = [word for word, draw in zip(words, draws, strict=True) if draw >= share]
    return left or [words[int(draws.argmax())]]


def _swapped(words: list[Word], count: int, dice: np.random.Generator) -> list[Word]:
    """`count` times two words change places."""
    for _ in range(count if len(words) > 1 else 0):
        one, other = dice.choice(len(words), 2, replace=False)
        words[one], words[other] = words[other], words[one]
    return words
