"""Which pictures train, validate and test: as the source says, the rest by lot; exact copies stay together."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glia.data.images.listing import dropped_card
from glia.data.split import Split, split_rows

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Division:
    """Rows of each part, ascending, how they came there in a line, and what was found of exact copies."""

    split: Split
    how: str
    duplicates: int
    dropped: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()


def divide(
    parts: Sequence[str],
    digests: Sequence[bytes],
    strata: Int64s | None,
    groups: Sequence[str] | None,
    shares: tuple[float, float],
    seed: int,
    things: str = "pictures",
) -> Division:
    """Parts named by the source stay; a missing validation or test part is cut from the rows that may train.

    strata: (N,) class of each row. shares: for validation and test, of the rows that no part is named for.
    A training picture that has an exact copy in a named test or validation part is left out, and likewise a
    validation picture with a copy in test: figures on named parts stay comparable with other people's.
    """
    named, dropped = _without_copies(parts, digests, things)
    pool = np.flatnonzero((named == "train") | (named == ""))
    valid, test = np.flatnonzero(named == "valid"), np.flatnonzero(named == "test")
    valid_share = 0.0 if len(valid) else shares[0]
    test_share = 0.0 if len(test) else shares[1]
    units = _units(digests, groups)
    lot = split_rows(len(pool), seed, valid_share, test_share, None if strata is None else strata[pool], units[pool])
    said = [name for name, rows in (("valid", valid), ("test", test)) if len(rows)]
    cut = [f"{share:.0%} {name}" for name, share in (("valid", valid_share), ("test", test_share)) if share]
    how = [f"{' and '.join(said)} as the source says"] if said else []
    if cut:
        fair = ", the same share of each class" if strata is not None else ""
        how.append(f"{' and '.join(cut)} by lot{fair}, exact copies kept together{', groups whole' if groups else ''}")
    whole = Split(pool[lot.train], valid if len(valid) else pool[lot.valid], test if len(test) else pool[lot.test])
    copies = len(digests) - len(set(digests))
    return Division(whole, "; ".join(how) or "all rows train", copies, dropped)


def conflicting(digests: Sequence[bytes], labels: Sequence[Hashable]) -> int:
    """How many different pictures carry more than one label."""
    return sum(count > 1 for count in Counter(digest for digest, _ in set(zip(digests, labels))).values())


def _without_copies(
    parts: Sequence[str], digests: Sequence[bytes], things: str
) -> tuple[NDArray[Any], tuple[dict[str, Any], ...]]:
    """The parts as an array, "copy" for rows that must go, and the card's lines about them."""
    named = np.array(parts, dtype=object)
    dropped = []
    for held, losing in (("test", ("valid", "train", "")), ("valid", ("train", ""))):
        shown = {digest for digest, part in zip(digests, named) if part == held}
        gone = [i for i, digest in enumerate(digests) if named[i] in losing and digest in shown]
        named[gone] = "copy"
        if gone:
            dropped.append(dropped_card(things, f"exact copies of {things} in the {held} part", len(gone)))
    return named, tuple(dropped)


def _units(digests: Sequence[bytes], groups: Sequence[str] | None) -> Int64s:
    """(N,) a number for each set of rows that must stay together: joined by equal pixels, or by an equal group."""
    parent = list(range(len(digests)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for keys in (digests, groups or ()):
        first: dict[Hashable, int] = {}
        for i, key in enumerate(keys):
            parent[root(i)] = root(first.setdefault(key, i))
    return np.array([root(i) for i in range(len(parent))], dtype=np.int64)
