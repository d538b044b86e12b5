"""Which rows train, validate and test: pure functions of row counts, classes, groups, times and one seed."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from glia.data.tables.source import Int64s
from glia.errors import GliaError
from glia.seed import mix

Bools = np.ndarray[Any, np.dtype[np.bool_]]
RARE_STRATUM = 10


class Split(NamedTuple):
    """Row numbers of each part, ascending."""

    train: Int64s
    valid: Int64s
    test: Int64s


def split_rows(
    rows: int,
    seed: int,
    valid_share: float,
    test_share: float,
    classes: Int64s | None = None,
    groups: Int64s | None = None,
) -> Split:
    """Shuffled parts: `test_share` of all rows, then `valid_share` of the rest.

    classes: (N,) stratum of each row: every part gets its share of each, and train gets at least one row of each.
    groups: (N,) rows of one group stay in one part.
    """
    strata = np.zeros(rows, dtype=np.int64) if classes is None else classes
    units = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1]
    everything = np.arange(rows)
    test = _part(everything, strata, units, test_share, mix(seed, "split", "test"))
    rest = everything[~test]
    valid = rest[_part(rest, strata[rest], units[rest], valid_share, mix(seed, "split", "valid"))]
    train = np.setdiff1d(rest, valid, assume_unique=True)
    return _with_every_class(Split(train, valid, everything[test]), strata, units)


def split_by_time(times: Int64s, valid_share: float, test_share: float) -> Split:
    """The latest rows test, those before them validate; rows of one time stay together. times: (N,) any order."""
    order = np.argsort(times, kind="stable")
    ordered = times[order]

    def cut(end: int, share: float) -> int:
        """Where the last `share` of the first `end` rows begins, moved so that no time is on both sides."""
        start = end - _count(end, share)
        if start == end:
            return end
        early = int(np.searchsorted(ordered[:end], ordered[start], side="left"))
        late = int(np.searchsorted(ordered[:end], ordered[start], side="right"))
        return early if early > 0 and (start - early <= late - start or late == end) else late

    test_at = cut(len(times), test_share)
    valid_at = cut(test_at, valid_share)
    parts = (order[:valid_at], order[valid_at:test_at], order[test_at:])
    for part, share, name in zip(parts, (1.0, valid_share, test_share), ("train", "valid", "test")):
        if share and not len(part):
            what = f"too few different times to cut a {name} part off"
            raise GliaError(what, got=f"{len(np.unique(times))} different times", expected="at least one for each part")
    return Split(*(np.sort(part) for part in parts))


def folds(targets: Tensor, k: int, seed: int, groups: Tensor | None = None) -> Tensor:
    """(N,) int64 fold of each row, 0 to k - 1, even to one row.

    targets: (N,) int64 classes, dealt out evenly; or float (N,) or (N, T): rows are dealt out along the sorted first
    target, so that every fold has small and large ones. groups: (N,) rows of one group stay in one fold.
    """
    rows = len(targets)
    if not 2 <= k <= rows:
        raise GliaError("bad number of folds", got=k, expected=f"2 to {rows}, the number of rows")
    generator = torch.Generator().manual_seed(mix(seed, "folds", k))
    key = targets if targets.ndim == 1 else targets[:, 0]
    shuffled = torch.randperm(rows, generator=generator)
    if groups is not None:
        return _group_folds(key, k, shuffled, groups)
    order = shuffled[torch.argsort(key[shuffled], stable=True)]
    if key.is_floating_point():  # blocks of k neighbours, each in its own random order of folds
        deal = torch.rand(-(-rows // k), k, generator=generator).argsort(1).flatten()[:rows]
    else:  # one order for all, so that a class's share of two folds differs by one row at most
        deal = torch.randperm(k, generator=generator).repeat(-(-rows // k))[:rows]
    result = torch.empty(rows, dtype=torch.int64)
    result[order] = deal
    return result


def _group_folds(key: Tensor, k: int, shuffled: Tensor, groups: Tensor) -> Tensor:
    """Large groups first, each to the fold that has least of its classes so far."""
    units = torch.unique(groups, return_inverse=True)[1]
    count = int(units.max()) + 1
    if count < k:
        raise GliaError("too few groups for the folds", got=f"{count} groups", expected=f"at least {k}")
    strata = key if not key.is_floating_point() else torch.zeros_like(key, dtype=torch.int64)
    strata = torch.unique(strata, return_inverse=True)[1]
    table = torch.zeros(count, int(strata.max()) + 1, dtype=torch.float64)
    table.index_put_((units, strata), torch.ones(len(units), dtype=torch.float64), accumulate=True)
    # The place of a group's first row in the shuffle breaks ties between groups of one size.
    place = torch.full((count,), len(units)).scatter_reduce(0, units[shuffled], torch.arange(len(units)), "amin")
    sizes = table.sum(1)
    order = place.argsort()
    order = order[torch.argsort(-sizes[order], stable=True)]
    weight = 1 / table.sum(0)
    filled = torch.zeros(k, table.shape[1], dtype=torch.float64)
    of_unit = torch.empty(count, dtype=torch.int64)
    rows = np.zeros(k)
    for unit in order.tolist():
        cost = (filled * weight) @ table[unit]
        fold = min(range(k), key=lambda f: (round(float(cost[f]), 9), rows[f], f))
        of_unit[unit] = fold
        filled[fold] += table[unit]
        rows[fold] += float(sizes[unit])
    return of_unit[units]


def rare_together(strata: Int64s) -> Int64s:
    """Strata of fewer than 10 rows made one, so that combinations of labels do not all end up in train."""
    names, inverse, counts = np.unique(strata, return_inverse=True, return_counts=True)
    return np.where(counts < RARE_STRATUM, len(names), np.arange(len(names)))[inverse]


def _count(rows: int, share: float) -> int:
    """How many of `rows` rows a part gets: at least one, and one is left."""
    return 0 if share <= 0 else min(max(1, round(rows * share)), rows - 1)


def _part(rows: Int64s, strata: Int64s, units: Int64s, share: float, seed: int) -> Bools:
    """Which rows go into the part. Units stay whole, and each stratum gives its share.

    Within a stratum, units stand in random order at (rows before + half their own) / rows of the stratum; the part
    takes the lowest places of all strata. A class of one row stands at 1/2, so it stays out of a small part.
    """
    wanted = _count(len(rows), share)
    if wanted < 1:
        return np.zeros(len(rows), dtype=bool)
    _, unit, sizes = np.unique(units, return_inverse=True, return_counts=True)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(sizes), generator=generator).numpy()
    of_unit = _main_stratum(unit, strata, len(sizes))
    order = order[np.argsort(of_unit[order], kind="stable")]
    ordered, ordered_sizes = of_unit[order], sizes[order].astype(np.float64)
    ends = np.cumsum(ordered_sizes)
    starts_at = np.searchsorted(ordered, ordered, side="left")
    before = np.where(starts_at > 0, ends[starts_at - 1], 0.0)
    total = np.bincount(ordered, weights=ordered_sizes)[ordered]
    place = (ends - before - ordered_sizes / 2) / total
    # Equal places are drawn in random order, not by class number.
    ties = torch.randperm(len(sizes), generator=generator).numpy()
    ranked = order[np.lexsort((ties, np.round(place, 12)))]
    taken, inside = 0, np.zeros(len(sizes), dtype=bool)
    for index in ranked.tolist():
        if taken >= wanted:
            break
        if taken + sizes[index] <= wanted:
            inside[index] = True
            taken += int(sizes[index])
    if not taken and len(sizes) > 1:  # every unit is larger than the part
        inside[ranked[np.argmin(sizes[ranked])]] = True
    return inside[unit]


def _main_stratum(unit: Int64s, strata: Int64s, units: int) -> Int64s:
    """The stratum most rows of each unit are in, by its rank; the lower of equals."""
    _, ranks = np.unique(strata, return_inverse=True)
    pairs, counts = np.unique(unit * (int(ranks.max()) + 1) + ranks, return_counts=True)
    of, rank = np.divmod(pairs, int(ranks.max()) + 1)
    order = np.lexsort((rank, -counts, of))
    result = np.empty(units, dtype=np.int64)
    result[of[order][::-1]] = rank[order][::-1]  # the last write of each unit is its most frequent stratum
    return result


def _with_every_class(split: Split, strata: Int64s, units: Int64s) -> Split:
    """Move units of a class that train lacks into train: the smallest one of each such class."""
    part = np.zeros(len(strata), dtype=np.int64)
    part[split.valid], part[split.test] = 1, 2
    for stratum in np.setdiff1d(strata, strata[part == 0]):
        candidates, counts = np.unique(units[strata == stratum], return_counts=True)
        part[units == candidates[np.argmin(counts)]] = 0
    train, valid, test = (np.flatnonzero(part == number) for number in range(3))
    return Split(train, valid, test)
