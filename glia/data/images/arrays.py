"""Arrays as pictures: which axis is which, what black and white are, how many colours; and arrays as labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glia.errors import GliaError

Array = NDArray[Any]
_RANGES = ((0, 1), (-1, 1), (0, 16), (0, 255), (0, 65535))  # of values, as people store pictures


def channels_first(pictures: Array, prefer: bool) -> Array:
    """(N, C, H, W) view of pictures in any of the layouts of `Part`; C is 1, 3 or 4."""
    if pictures.dtype.kind not in "buif":
        raise GliaError("this array holds no pictures", got=f"values of type {pictures.dtype}", expected="numbers")
    if pictures.ndim == 3 and 0 not in pictures.shape[1:]:
        return pictures[:, None]
    if pictures.ndim == 4 and 0 not in pictures.shape[1:]:
        first, last = pictures.shape[1] in (1, 3, 4), pictures.shape[3] in (1, 3, 4)
        if first and (prefer or not last):
            return pictures
        if last:
            return np.moveaxis(pictures, 3, 1)
    raise GliaError(
        "this array holds no pictures",
        got=f"shape {tuple(pictures.shape)}",
        expected="(N, H, W), (N, H, W, C) or (N, C, H, W) with 1, 3 or 4 channels",
    )


def value_range(parts: Sequence[Array]) -> tuple[float, float]:
    """What black and white are: 0..255 for uint8, the tightest usual range that holds the values, else their own."""
    if all(part.dtype == np.uint8 for part in parts):
        return 0.0, 255.0
    low = min(float(part.min()) for part in parts)
    high = max(float(part.max()) for part in parts)
    for bottom, top in _RANGES:
        if bottom <= low and high <= top:
            return float(bottom), float(top)
    return low, high


def to_uint8(pictures: Array, low: float, high: float) -> NDArray[np.uint8]:
    """Values scaled so that `low` is 0 and `high` 255, NaN is `low`; what lies outside is cut. Any shape."""
    if pictures.dtype == np.uint8 and (low, high) == (0.0, 255.0):
        return np.require(pictures, requirements=["C", "W"])  # torch wants to be able to write
    out = np.empty(pictures.shape, np.uint8)
    for start in range(0, len(pictures), 1024):  # in pieces: the floats of all at once may not fit
        piece = pictures[start : start + 1024].astype(np.float32)
        scaled = (np.nan_to_num(piece, nan=low, posinf=high, neginf=low) - low) * (255.0 / ((high - low) or 1.0))
        out[start : start + 1024] = np.rint(scaled).clip(0, 255)
    return out


def with_channels(pictures: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """(N, C, H, W) with 1 or 3 channels: transparency laid on white, colour to luma as Pillow has it, grey repeated."""
    if pictures.shape[1] == 4:
        alpha = pictures[:, 3:].astype(np.uint32)
        mixed = pictures[:, :3] * alpha + 255 * (255 - alpha)
        pictures = ((mixed + 127) // 255).astype(np.uint8)
    if pictures.shape[1] == channels:
        return pictures
    if channels == 3:
        return np.repeat(pictures, 3, axis=1)
    red, green, blue = (pictures[:, i].astype(np.uint32) for i in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)[:, None]


def finite(pictures: Array) -> NDArray[np.bool_]:
    """(N,) which pictures hold numbers only."""
    if pictures.dtype.kind in "ub":
        return np.ones(len(pictures), bool)
    return np.asarray(np.isfinite(pictures).all(axis=tuple(range(1, pictures.ndim))))


def label_columns(labels: Array, target: Sequence[str], asked: str) -> dict[str, list[str]]:
    """Labels as texts: (N,) or (N, 1) one column; (N, K) one-hot rows the class number; other (N, K) K columns."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if (
        labels.ndim == 2
        and asked in ("auto", "classify")
        and np.isin(labels, (0, 1)).all()
        and (labels.sum(1) == 1).all()
    ):
        labels = labels.argmax(1)
    if labels.ndim == 1:
        return {(target[0] if target else "label"): _texts(labels)}
    if labels.ndim != 2 or (len(target) not in (0, labels.shape[1])):
        raise GliaError("labels of an unknown shape", got=tuple(labels.shape), expected="(N,) or (N, targets)")
    names = target or [f"target_{i + 1}" for i in range(labels.shape[1])]
    return {name: _texts(labels[:, i]) for i, name in enumerate(names)}


def _texts(values: Array) -> list[str]:
    """Whole numbers without a point; missing values as empty texts."""
    if values.dtype.kind == "f":
        whole = bool((values[np.isfinite(values)] % 1 == 0).all())
        return ["" if v != v else str(int(v)) if whole and np.isfinite(v) else repr(v) for v in values.tolist()]
    if values.dtype.kind == "S":
        return [v.decode("utf-8", "replace") for v in values.tolist()]
    return [str(v) for v in values.tolist()]
