"""n-grams: how likely a token is after the one or two before it, by counting. What a language model must beat."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NAMES = ("uniform", "unigram", "bigram", "trigram")
MOST_COUNTED = 10_000_000  # training tokens that are counted


@dataclass(frozen=True)
class _Counts:
    """Of stretches of n tokens, as sorted numbers, how often each came."""

    keys: Ints
    counts: Ints

    @classmethod
    def of(cls, keys: Ints) -> "_Counts":
        return cls(*np.unique(keys, return_counts=True))

    def __call__(self, keys: Ints) -> Floats:
        if not len(self.keys):
            return np.zeros(len(keys))
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.counts[at], 0).astype(np.float64)


class Ngrams:
    """Counts of training tokens, mixed from the longest history to none by Witten and Bell's rule.

    p(w | h) = (c(h w) + k(h) p(w | h')) / (c(h) + k(h)), where k(h) is the number of different tokens that came after
    h, and h' is h without its first token; below all stands the uniform share. Witten, Bell 1991, method C, as in Chen,
    Goodman 1999, section 2.5.
    """

    def __init__(self, tokens: Any, vocabulary: int, order: int = 3):
        train = np.asarray(tokens[:MOST_COUNTED], dtype=np.int64)
        self.vocabulary, self.order = vocabulary, order
        self.full: list[_Counts] = []  # of n tokens
        self.history: list[_Counts] = []  # how often their first n - 1 came before another
        self.kinds: list[_Counts] = []  # how many different tokens came after those
        for n in range(1, order + 1):
            keys = self._keys(train, n)
            full = _Counts.of(keys)
            self.full.append(full)
            self.history.append(_Counts.of(keys // vocabulary))
            self.kinds.append(_Counts.of(full.keys // vocabulary))

    def _keys(self, tokens: Ints, n: int) -> Ints:
        """One number for each stretch of n tokens. int64 holds three tokens of two million kinds."""
        keys = np.zeros(max(len(tokens) - n + 1, 0), dtype=np.int64)
        for place in range(n):
            keys = keys * self.vocabulary + tokens[place : place + len(keys)]
        return keys

    def shares(self, tokens: Any) -> list[Floats]:
        """For each length of history, from none at all: the shares (L - order + 1,) given to the tokens that came, from
        the `order`-th token on."""
        text = np.asarray(tokens, dtype=np.int64)
        count = max(len(text) - self.order + 1, 0)
        found = [np.full(count, 1.0 / self.vocabulary)]
        for n, (full, history, kinds) in enumerate(zip(self.full, self.history, self.kinds, strict=True), 1):
            keys = self._keys(text[self.order - n :], n)
            seen, ways = history(keys // self.vocabulary), kinds(keys // self.vocabulary)
            mixed = (full(keys) + ways * found[-1]) / np.maximum(seen + ways, 1)
            found.append(np.where(seen > 0, mixed, found[-1]))
        return found
