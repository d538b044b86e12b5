"""Likeness: which rows stand in both parts of a split, exactly or nearly, and what chance alone would give."""

import math
from collections import Counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

SIDE = 12  # small grey pictures that are compared
ALIKE = 0.995  # correlation of two of them from which the pictures count as one
PAIRS = 2**22  # pairs of pictures that are compared
DIGITS = 3  # significant digits to which rows of numbers are compared
SHINGLE, HASHES, BAND = 4, 32, 4  # tokens in a shingle; least hashes kept of a text; and how many make a key
SAME_HASHES = 0.7  # share of equal least hashes (about the Jaccard index) from which texts count as one
FEWEST_SHINGLES = 4
PRIME = (1 << 31) - 1


def plain(x: Tensor) -> NDArray[np.generic]:
    """The rows as an array (N, F); -0 becomes 0, so that equal numbers have equal bytes."""
    x = x.detach().reshape(len(x), -1).cpu()
    if x.dtype == torch.bool:
        return x.numpy()
    if x.is_floating_point() and x.dtype not in (torch.float32, torch.float64):
        x = x.float()
    return np.ascontiguousarray((x + 0).numpy())


def keys(rows: NDArray[np.generic]) -> list[int]:
    """A number for each row, equal for equal bytes."""
    return [hash(row.tobytes()) for row in rows]


def shared(train: list[int], valid: list[int]) -> float:
    """Share of the held-out rows that are training rows, by their keys."""
    known = set(train)
    return sum(key in known for key in valid) / max(1, len(valid))


def repeated(rows: list[int]) -> float:
    """Share of rows that stand there more than once, by their keys."""
    counts = Counter(rows)
    return sum(counts[key] > 1 for key in rows) / max(1, len(rows))


def mixed(rows: NDArray[np.generic]) -> NDArray[np.generic]:
    """Rows with the same columns, each in an order of its own: what equals a training row now does so by chance."""
    generator = np.random.default_rng(0)
    return generator.permuted(rows, axis=0)


def near(train: Tensor, valid: Tensor) -> tuple[float, float]:
    """Share of held-out rows that nearly are a training row, and share of training rows that nearly are another one.

    Rows that are exactly equal do not count here.
    """
    if not train.is_floating_point() and train.ndim == 2:
        return _near_texts(train, valid)
    if train.ndim == 4 and min(train.shape[-2:]) >= SIDE:
        return _near_pictures(train, valid)
    if train.ndim == 2 and train.is_floating_point():
        return _near_numbers(plain(train), plain(valid))
    return 0.0, 0.0


def _near_pictures(train: Tensor, valid: Tensor) -> tuple[float, float]:
    """By the correlation of small grey pictures, so that noise, size, brightness and contrast do not matter."""
    valid = valid[:: math.ceil(len(valid) * min(len(train), 4000) / PAIRS)]
    across = _nearest_picture(_small(valid), _small(train))
    within = train[:: math.ceil(len(train) / 1000)]
    alike = _nearest_picture(_small(within), _small(train))
    return across, alike


def _nearest_picture(some: Tensor, others: Tensor) -> float:
    """Share of `some` that are much like one of the others, and not it."""
    if not len(some) or not len(others):
        return 0.0
    found = torch.zeros(len(some), dtype=torch.bool)
    for start in range(0, len(others), 2048):
        likeness = some @ others[start : start + 2048].T
        found |= ((likeness >= ALIKE) & (likeness < 1 - 1e-6)).any(1)
    return found.float().mean().item()


def _small(pictures: Tensor) -> Tensor:
    """Grey, small, mean 0 and length 1; pictures that are of one grey are all 0, so like nothing."""
    grey = torch.nan_to_num(pictures.detach().float()).mean(1, keepdim=True).cpu()
    flat = functional.adaptive_avg_pool2d(grey, SIDE).flatten(1)
    return functional.normalize(flat - flat.mean(1, keepdim=True), eps=1e-4)


def _near_numbers(train: NDArray[np.generic], valid: NDArray[np.generic]) -> tuple[float, float]:
    """By their first few digits."""
    ours, theirs = (np.nan_to_num(rows, posinf=0.0, neginf=0.0) for rows in (train, valid))
    widest = np.abs(ours).max(0, initial=0.0)
    # The third digit of the largest number of each column: what is small beside it is noise.
    unit = 10.0 ** (np.floor(np.log10(np.where(widest > 1e-30, widest, 1.0))) - DIGITS + 1)
    with np.errstate(over="ignore"):
        rounded, others = (keys(np.rint(rows / unit).astype(np.float32) + 0) for rows in (ours, theirs))
    exact, known = set(keys(train)), set(rounded)
    across = [key in known and row not in exact for key, row in zip(others, keys(valid), strict=True)]
    versions: dict[int, set[int]] = {}
    for key, row in zip(rounded, keys(train), strict=True):
        versions.setdefault(key, set()).add(row)
    within = [len(versions[key]) > 1 for key in rounded]
    return sum(across) / max(1, len(across)), sum(within) / max(1, len(within))


def _near_texts(train: Tensor, valid: Tensor) -> tuple[float, float]:
    """By shared runs of tokens: MinHash (Broder 1997), with bands to find candidates."""
    if train.shape[1] < SHINGLE + FEWEST_SHINGLES or valid.shape[1] < SHINGLE + FEWEST_SHINGLES:
        return 0.0, 0.0
    ours, theirs = plain(train), plain(valid)[:: math.ceil(len(valid) / 500)]
    signs, signs_valid = _signatures(ours), _signatures(theirs)
    table: dict[tuple[int, ...], list[int]] = {}
    for number, sign in enumerate(signs):
        for key in _bands(sign):
            table.setdefault(key, []).append(number)
    rows = keys(ours)
    across = [_has_twin(sign, row, table, signs, rows) for sign, row in zip(signs_valid, keys(theirs), strict=True)]
    step = math.ceil(len(rows) / 500)
    within = [_has_twin(signs[i], rows[i], table, signs, rows) for i in range(0, len(rows), step)]
    return sum(across) / max(1, len(across)), sum(within) / max(1, len(within))


def _signatures(rows: NDArray[np.generic]) -> NDArray[np.int64]:
    """The least of each of some hashes over the shingles of a text; -1 where a text is too short to say."""
    tokens = rows.astype(np.int64)
    values, counts = np.unique(tokens[:, -1], return_counts=True)
    padding = values[counts.argmax()] if len(values) else 0
    runs = np.lib.stride_tricks.sliding_window_view(tokens, SHINGLE, axis=1)
    weights = np.random.default_rng(1).integers(1, PRIME, SHINGLE)
    hashed = (runs % PRIME * weights % PRIME).sum(-1) % PRIME
    real = ~(runs == padding).all(-1)
    signs = np.empty((len(rows), HASHES), np.int64)
    for number, factor in enumerate(np.random.default_rng(2).integers(1, PRIME, HASHES)):
        signs[:, number] = np.where(real, hashed * factor % PRIME, PRIME).min(1)
    signs[real.sum(1) < FEWEST_SHINGLES] = -1
    return signs


def _bands(sign: NDArray[np.int64]) -> list[tuple[int, ...]]:
    if sign[0] < 0:
        return []
    return [(start, *sign[start : start + BAND].tolist()) for start in range(0, HASHES, BAND)]


def _has_twin(
    sign: NDArray[np.int64],
    row: int,
    table: dict[tuple[int, ...], list[int]],
    signs: NDArray[np.int64],
    rows: list[int],
) -> bool:
    """Is there a text much like this one, which is not this one?"""
    found = {number for key in _bands(sign) for number in table.get(key, [])[:50] if rows[number] != row}
    return any((signs[number] == sign).mean() >= SAME_HASHES for number in found)
