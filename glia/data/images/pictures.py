"""Pictures of any origin in one shape: what is known of each, before they are divided and their pixels settled."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glia import limits
from glia.data.images.arrayfiles import Arrays, Part
from glia.data.images.arrays import Array, channels_first, finite, label_columns, to_uint8, value_range, with_channels
from glia.data.images.decode import Header, fit_array
from glia.data.images.labels import Answers
from glia.data.images.listing import Listing, dropped_card
from glia.data.images.pixels import FileRows, chosen_size, headers, mean_std, moments, scan
from glia.data.mapped import MappedRows
from glia.errors import GliaError

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Pixels:
    """The pictures (N, C, H, W) uint8, and the sums and sums of squares of their channels (N, C).

    low, high: what black and white were in the source.
    """

    inputs: Tensor | FileRows | MappedRows
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]
    low: float = 0.0
    high: float = 255.0

    def statistics(self, rows: Int64s, size: tuple[int, int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and std of each channel over `rows`, in 0..1."""
        return mean_std(self.sums[rows], self.squares[rows], size[0] * size[1])

    def only(self, rows: Int64s) -> Tensor | FileRows | MappedRows:
        """The pictures `rows`; a view where they follow one another."""
        if isinstance(self.inputs, FileRows):
            return self.inputs.only(rows.tolist())
        if isinstance(self.inputs, MappedRows):
            return self.inputs.only(rows)
        if len(rows) and rows[-1] - rows[0] + 1 == len(rows) and (np.diff(rows) == 1).all():
            return self.inputs[int(rows[0]) : int(rows[-1]) + 1]
        return self.inputs.index_select(0, torch.from_numpy(rows))


@dataclass(frozen=True)
class Pictures:
    """All lists have one item a picture.

    parts: "train", "valid", "test", or "" where the source does not say. rows: its number in the source. digests: of
    what it shows; equal for exact copies. contents: of what is stored. develop: pixels, given the training rows.
    """

    answers: Answers
    parts: list[str]
    names: list[str]
    rows: list[int]
    groups: list[str] | None
    digests: list[bytes]
    contents: list[bytes]
    channels: int
    size: tuple[int, int]
    develop: Callable[[Int64s], Pixels]
    format: dict[str, Any]
    dropped: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()


def from_files(listing: Listing, size: int | None, bad_limit: float, raised: limits.Raised = limits.USUAL) -> Pictures:
    """Read every file of a listing once. More than `bad_limit` of them unreadable is a GliaError."""
    known = headers(listing.paths, raised)
    good = [header for header in known if isinstance(header, Header)]
    within_limit(
        listing.names, {i: why for i, why in enumerate(known) if isinstance(why, str)}, bad_limit, listing.root
    )
    channels = 1 if all(header.grey for header in good) else 3
    target = chosen_size(good, size)
    seen = scan(listing.paths, known, channels, target, raised)
    within_limit(listing.names, seen.broken, bad_limit, listing.root)
    kept = listing.only(seen.kept)
    dropped = tuple(
        dropped_card(listing.names[i], f"unreadable: {why}", 1) for i, why in list(seen.broken.items())[:100]
    )
    if len(seen.broken) > len(dropped):
        dropped += (dropped_card("more pictures", "unreadable", len(seen.broken) - len(dropped)),)
    notes = listing.notes
    if seen.broken:
        notes += (f"{_count(len(seen.broken), 'picture')} could not be read: {named(listing.names, seen.broken)}.",)
    if isinstance(seen.inputs, FileRows):
        notes += ("The pictures do not fit in free memory: each is decoded again when it is needed.",)
    if isinstance(seen.inputs, MappedRows):
        notes += ("The pictures do not fit in free memory: they lie decoded on the disk while the run lasts.",)
    pixels = Pixels(seen.inputs, seen.sums, seen.squares)
    return Pictures(
        kept.answers,
        kept.parts,
        kept.names,
        kept.rows or seen.kept,
        kept.groups,
        seen.digests,
        seen.contents,
        channels,
        target,
        lambda train: pixels,
        {"format": listing.layout, **_sizes(good, target, channels)},
        (*listing.dropped, *dropped),
        notes,
    )


def from_arrays(found: Arrays, size: int | None, target: Sequence[str], asked: str, bad_limit: float) -> Pictures:
    """Check and label arrays. Pictures with NaN or infinite values count as unreadable; rows without label go."""
    parts = [replace(p, pictures=channels_first(p.pictures, found.channels_first)) for p in found.parts]
    answers: Answers = {}
    for part in parts:
        for name, cells in label_columns(_labels(part), target or (found.target,), asked).items():
            answers.setdefault(name, []).extend(cells)
    sound = np.concatenate([finite(part.pictures) for part in parts])
    answered = np.array([all(cells) for cells in zip(*answers.values())])
    names = [f"{part.name} {i}".strip() for part in parts for i in range(len(part.pictures))]
    broken = {int(i): "NaN or infinite values" for i in np.flatnonzero(~sound)}
    within_limit(names, broken, bad_limit, found.called)
    keep = np.flatnonzero(sound & answered).tolist()
    channels = 1 if all(part.pictures.shape[1] == 1 for part in parts) else 3
    known = [header for part in parts for header in [_header(part.pictures)] * len(part.pictures)]
    shape = chosen_size(known, size)
    digests = [sha256(np.ascontiguousarray(row).tobytes()).digest() for part in parts for row in part.pictures]
    dropped = [dropped_card("pictures", "NaN or infinite values", len(broken))] if broken else []
    if not answered.all():
        dropped.append(dropped_card("pictures", "no label", int((~answered).sum())))
    origin = [part.name for part in parts for _ in part.pictures]
    numbers = [i for part in parts for i in range(len(part.pictures))]
    texts = {name: renamed([cells[i] for i in keep], found.class_names) for name, cells in answers.items()}
    kept_digests = [digests[i] for i in keep]
    return Pictures(
        texts,
        [origin[i] for i in keep],
        [names[i] for i in keep],
        [numbers[i] for i in keep],
        None,
        kept_digests,
        kept_digests,
        channels,
        shape,
        lambda train: _develop(parts, np.array(keep, np.int64), train, channels, shape),
        {"format": "arrays", "dtype": str(parts[0].pictures.dtype), **_sizes(known, shape, channels)},
        tuple(dropped),
        found.notes,
        found.class_names,
    )


def array_rows(pictures: Array, low: float, high: float, channels: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Pictures (N, C, H, W) of any range, colours and size as the network takes them."""
    plain = with_channels(to_uint8(pictures, low, high), channels)
    if plain.shape[2:] == size:
        return plain
    return np.stack([fit_array(row, size) for row in plain]) if len(plain) else np.empty((0, channels, *size), np.uint8)


def _develop(parts: list[Part], keep: Int64s, train: Int64s, channels: int, size: tuple[int, int]) -> Pixels:
    """Arrays to uint8; the range comes from training rows alone where it has to be measured."""
    low, high = _train_range(parts, keep[train])
    whole = np.concatenate([array_rows(part.pictures, low, high, channels, size) for part in parts])
    if len(keep) < len(whole):
        whole = whole[keep]
    return Pixels(torch.from_numpy(whole), *moments(whole), low, high)


def _train_range(parts: list[Part], train: Int64s) -> tuple[float, float]:
    """`value_range` of the rows `train`, counted through all parts."""
    if all(part.pictures.dtype == np.uint8 for part in parts):
        return 0.0, 255.0
    seen, start = [], 0
    for part in parts:
        mine = train[(train >= start) & (train < start + len(part.pictures))] - start
        if len(mine):
            seen.append(part.pictures[mine])
        start += len(part.pictures)
    return value_range(seen)


def _header(pictures: Array) -> Header:
    return Header(pictures.shape[2], pictures.shape[3], pictures.shape[1] == 1)


def _labels(part: Part) -> Array:
    if part.labels is None:
        raise GliaError("pictures without labels cannot be learnt", expected="(x, y)")
    return part.labels


def renamed(cells: list[str], names: Sequence[str]) -> list[str]:
    """Class numbers as names, where the source names its classes."""
    numbered = {str(i): name for i, name in enumerate(names)}
    return [numbered[cell] for cell in cells] if names and set(cells) <= set(numbered) else cells


def within_limit(
    names: Sequence[str], broken: dict[int, str], limit: float, where: object, things: str = "pictures"
) -> None:
    """Raises GliaError where more than the share `limit` of the files is broken, or all are, or there is none."""
    if not names:
        raise GliaError(f"there are no {things} in {where}", expected="some of each class")
    if len(broken) > limit * len(names) or len(broken) == len(names):
        what = f"{len(broken)} of {len(names)} {things} in {where} cannot be read: {named(names, broken)}"
        raise GliaError(what, expected=f"at most {limit:.0%}", hint="repair or remove them, or a higher bad_limit")


def named(names: Sequence[str], broken: dict[int, str]) -> str:
    """The first few, each with its reason."""
    first = ", ".join(f"{names[i]} ({why})" for i, why in list(broken.items())[:3])
    return first + (", ..." if len(broken) > 3 else "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _sizes(known: Sequence[Header], size: tuple[int, int], channels: int) -> dict[str, Any]:
    """What the card says of sizes: width x height, as people do."""
    seen = Counter(f"{header.width}x{header.height}" for header in known)
    same = set(seen) == {f"{size[1]}x{size[0]}"}
    return {
        "channels": channels,
        "height": size[0],
        "width": size[1],
        "sizes": dict(seen.most_common(10)),
        "distinct_sizes": len(seen),
        "resize": "none" if same else "the middle, cut to shape, then bilinear with antialiasing",
    }
