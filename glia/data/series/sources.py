"""Sources of labelled series: `.ts` files, long and wide tables, class folders of tables, arrays."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from glia.data.series.folders import holds_series, open_folders
from glia.data.series.found import Asked, SeriesSet, joined, made
from glia.data.series.tabular import open_long, open_wide
from glia.data.series.tsfile import TsFile, is_ts, partner, read_ts, train_file
from glia.data.tables.source import Piece
from glia.errors import GliaError


def form_of(source: Any, series: str | None, *, kind_asked: bool) -> str | None:
    """The form of a source that holds series; None where nothing says that it does."""
    if series is not None:
        return "long"
    if isinstance(source, str | Path):
        path = Path(source)
        if path.is_dir():
            if any(is_ts(one) for one in path.iterdir()):
                return "ts"
            return "folders" if holds_series(path) else None
        if is_ts(path):
            return "ts"
    if not kind_asked:
        return None
    return "arrays" if is_arrays(source) else "wide"


def open_series(source: Any, asked: Asked, *, labelled: bool = True) -> SeriesSet:
    """All series of a source. labelled: targets are wanted, and an error where there are none."""
    found = OPENERS[asked.form](source, asked, labelled)
    if asked.channels and len(found.channels) != len(asked.channels):
        raise GliaError(f"{found.name}: channels", got=len(found.channels), expected=f"{len(asked.channels)}")
    return found


def _ts(source: Any, asked: Asked, labelled: bool) -> SeriesSet:
    """A file, with the official test part where it lies beside it; or a folder with both."""
    path = Path(source)
    if path.is_dir():
        found = train_file(path)
        if found is None:
            raise GliaError(f"{path} holds no file X_TRAIN.ts, or several", hint="name one file")
        path = found
    opened = read_ts(path, asked.options.limits)
    if labelled and opened.labels is None:
        raise GliaError(f"{path} has no labels", expected="@classLabel true and its classes, or @targetLabel true")
    name = asked.targets[0] if asked.targets else opened.labelled or "class"
    whole = _of_ts(path, opened, name)
    other = partner(path)
    if other is None or not labelled:
        return whole
    test = _of_ts(other, read_ts(other, asked.options.limits), name)
    if not test.targets:
        raise GliaError(f"{other} has no labels", hint="take it away to divide the training rows instead")
    return joined(replace(whole, parts=["train"] * len(whole)), replace(test, parts=["test"] * len(test)))


def _of_ts(path: Path, opened: TsFile, target: str) -> SeriesSet:
    cells = {target: pl.Series(opened.labels, dtype=pl.String)} if opened.labels is not None else {}
    count = len(opened.rows)
    frame = pl.DataFrame(cells) if cells else pl.DataFrame({"series": range(count)})
    table = Piece(str(path), ".", frame, np.arange(count), np.array(opened.lines))
    channels = opened.rows[0].shape[1]
    return made(
        path.name, opened.rows, table, [str(i) for i in range(count)],
        channels=tuple(f"channel {i + 1}" for i in range(channels)), targets=(target,) if cells else (),
        form={"format": "ts"} | ({"task": "classify" if opened.labelled == "class" else "regress"} if cells else {}),
    )  # fmt: skip


def is_arrays(source: Any) -> bool:
    inputs = source[0] if isinstance(source, tuple | list) and len(source) == 2 else source
    return getattr(inputs, "ndim", 0) in (2, 3) and not hasattr(inputs, "columns")


def _arrays(source: Any, asked: Asked, labelled: bool) -> SeriesSet:
    """(x, y) or x alone: x (N, L) or (N, L, C), NaN past the end of shorter rows; y (N,) or (N, targets)."""
    inputs, answers = source if isinstance(source, tuple | list) else (source, None)
    x = np.asarray(inputs, dtype=np.float32)
    x = x[:, :, None] if x.ndim == 2 else x
    if labelled and answers is None:
        raise GliaError("these series have no answers", expected="(x, y)")
    lengths = (~np.isnan(x).all(2) * np.arange(1, x.shape[1] + 1)).max(1)
    if not len(x) or (lengths == 0).any():
        raise GliaError("arrays of series", got="no rows" if not len(x) else f"row {lengths.argmin()} has no steps")
    frame = pl.DataFrame({"series": range(len(x))})
    if answers is not None:
        y = np.asarray(answers)
        y = y[:, None] if y.ndim == 1 else y
        if len(y) != len(x):
            raise GliaError("answers of the series", got=len(y), expected=len(x))
        names = asked.targets or (
            ("class",) if y.shape[1] == 1 else tuple(f"target {i + 1}" for i in range(y.shape[1]))
        )
        frame = pl.DataFrame({name: y[:, i] for i, name in enumerate(names)})
    rows = [x[i, :end] for i, end in enumerate(lengths.tolist())]
    return made(
        "arrays", rows, Piece("arrays", ".", frame, np.arange(len(x))), [str(i) for i in range(len(x))],
        channels=tuple(f"channel {i + 1}" for i in range(x.shape[2])),
        targets=tuple(frame.columns) if answers is not None else (), form={"format": "arrays"},
    )  # fmt: skip


OPENERS: dict[str, Callable[[Any, Asked, bool], SeriesSet]] = {
    "ts": _ts,
    "long": open_long,
    "wide": open_wide,
    "folders": open_folders,
    "arrays": _arrays,
}
