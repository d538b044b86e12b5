"""Names of weights in other libraries, and which library's a file has."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

Shape = tuple[int, ...]
OURS = "glia"

# What libraries put before the names of a body; a file of the bare body lacks it.
_BODIES = ("resnet", "vit", "bert", "roberta", "distilbert", "transformer", "encoder", "model", "backbone", "network")
_HALF = 0.5


class Rename(NamedTuple):
    """A rule from a key of another library to one of ours: `re.sub(pattern, replacement, key)`.

    transpose: the matrix is stored there the other way round, as in GPT-2's (inputs, outputs).
    """

    pattern: str
    replacement: str
    transpose: bool = False


class Name(NamedTuple):
    """A key of a file and what it is called here."""

    key: str
    ours: str
    transpose: bool

    def shape(self, theirs: Shape) -> Shape:
        """Of the tensor as it would stand here."""
        return theirs[::-1] if self.transpose and len(theirs) == 2 else theirs


@dataclass(frozen=True)
class Names:
    """A way from the keys of a file to ours: words taken off, a word put before, renames in order, the body's place."""

    source: str
    renames: tuple[Rename, ...] = ()
    place: str = ""
    off: tuple[str, ...] = ()
    before: str = ""

    def of(self, keys: Iterable[str]) -> Iterator[Name]:
        """Each key with its name here."""
        return map(self.one, keys)

    def one(self, key: str) -> Name:
        """The name of one key."""
        name, transpose = key, False
        for word in self.off:
            name = name.removeprefix(word + ".")
        name = self.before + name
        for rename in self.renames:
            name, times = re.subn(rename.pattern, rename.replacement, name)
            transpose = transpose or (rename.transpose and times > 0)
        return Name(key, self.place + name, transpose)


def best_names(model: nn.Module, theirs: Mapping[str, Shape], ours: Mapping[str, Shape]) -> Names:
    """The way under which most tensors of the file fit; the plainest of those that fit equally many."""
    tables = list(_tables(model))
    offs = _leading(theirs)
    best = max((_with(table, off) for off in offs for table in tables), key=lambda names: _score(names, theirs, ours))
    if _score(best, theirs, ours)[0] >= _HALF * len(ours):
        return best
    words = [word for word in _BODIES if any(f"{word}." in text for text in _texts(tables, ours))]
    more = [_with(table, off, f"{word}.") for table in tables for off in offs for word in words]
    return max([best, *more], key=lambda names: _score(names, theirs, ours))


def _tables(model: nn.Module) -> Iterator[Names]:
    """Our own names first, then those that the bodies in the model publish, then our own of a body that is wrapped."""
    yield Names(OURS)
    places = [""]
    for path, module in model.named_modules():
        place = f"{path}." if path else ""
        published: Mapping[str, tuple[Rename, ...]] = getattr(type(module), "published_keys", {})
        for source, renames in published.items():
            yield Names(source, tuple(renames), place)
        if place and place.count(".") == 1 and any(True for _ in module.parameters()):
            places.append(place)
    yield from (Names(OURS, (), place) for place in places[1:])


def _with(names: Names, off: tuple[str, ...], before: str = "") -> Names:
    return Names(names.source, names.renames, names.place, off, before)


def _leading(keys: Iterable[str]) -> list[tuple[str, ...]]:
    """Words with which at least half of the keys begin: none, the first, the first two, the first three."""
    keys = list(keys)
    words: list[str] = []
    offs: list[tuple[str, ...]] = [()]
    for _ in range(3):
        start = ".".join(words) + "." if words else ""
        firsts = [key.removeprefix(start).partition(".")[0] for key in keys if key.startswith(start)]
        word = max(set(firsts), key=firsts.count, default=None)
        if word is None or firsts.count(word) < _HALF * len(keys):
            break
        words.append(word)
        offs.append(tuple(words))
    return offs


def _texts(tables: Iterable[Names], ours: Iterable[str]) -> list[str]:
    """All that names a word in front: our own names, and the patterns of renames without their escapes."""
    return [*ours, *(rename.pattern.replace("\\", "") for table in tables for rename in table.renames)]


def _score(names: Names, theirs: Mapping[str, Shape], ours: Mapping[str, Shape]) -> tuple[int, int]:
    """(Tensors that fit, tensors that have a name here)."""
    named = [name for name in names.of(theirs) if name.ours in ours]
    return sum(name.shape(theirs[name.key]) == ours[name.ours] for name in named), len(named)
