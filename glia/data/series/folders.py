"""Series in files of their own: a folder a class, a table a series."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from glia.data.forecast.panel import read_times
from glia.data.images.listing import PARTS, natural
from glia.data.series.found import Asked, SeriesSet, Values, made
from glia.data.tables.columns import Plan, plan_column, read_plan
from glia.data.tables.read import open_table, read
from glia.data.tables.source import Piece
from glia.errors import GliaError

TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


def holds_series(root: Path) -> bool:
    """Do folders below hold tables, the first that are looked at?"""
    for folder in sorted(one for one in root.iterdir() if one.is_dir() and not one.name.startswith(".")):
        inside = sorted(folder.iterdir())[:50]
        if any(one.is_file() and one.name.lower().endswith(TABLES) for one in inside):
            return True
        deeper = [one for one in inside if one.is_dir()][:3] if folder.name.lower() in PARTS else []
        if any(file.name.lower().endswith(TABLES) for one in deeper for file in sorted(one.iterdir())[:50]):
            return True
    return False


def _tables(folder: Path) -> list[Path]:
    files = (one for one in folder.iterdir() if one.is_file() and one.name.lower().endswith(TABLES))
    return sorted(files, key=lambda one: natural(one.name))


def _inner(folder: Path) -> list[Path]:
    found = (one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))
    return sorted(found, key=lambda one: natural(one.name))


def open_folders(source: Any, asked: Asked, labelled: bool) -> SeriesSet:
    """A file a series, in a folder a class; folders train, valid and test above them are the parts."""
    root = Path(source)
    if root.is_file():
        listed = [(root, "", "")]
    else:
        tops = {PARTS[one.name.lower()]: one for one in _inner(root) if one.name.lower() in PARTS}
        tops = tops if "train" in tops else {"": root}
        listed = [(f, c.name, part) for part, top in tops.items() for c in _inner(top) for f in _tables(c)]
        if not listed and not labelled:
            listed = [(file, "", "") for file in _tables(root)]
    if not listed or (labelled and not all(kind for _, kind, _ in listed)):
        raise GliaError(f"no class folders with tables in {root}", expected="a folder for each class, a file a series")
    rows, kept, broken, channels = [], [], [], asked.channels
    for file, kind, part in listed:
        try:
            channels, values = _one_table(file, asked, channels)
        except GliaError as error:
            broken.append((file, error))
            continue
        rows.append(values)
        kept.append((file, kind, part))
    if len(broken) > asked.bad_limit * len(listed):
        raise broken[0][1]
    target = asked.targets[0] if asked.targets else "class"
    frame = pl.DataFrame({target: [kind for _, kind, _ in kept]}, schema={target: pl.String})
    names = [file.relative_to(root).as_posix() if file != root else file.name for file, _, _ in kept]
    dropped = tuple({"what": file.name, "why": str(why)[:200], "count": 1} for file, why in broken[:20])
    said = (f"{len(broken)} of {len(listed)} files cannot be read and are left out: {broken[0][1]}",) if broken else ()
    return made(
        str(root), rows, Piece(str(root), ".", frame, np.arange(len(kept))), names,
        parts=[part for _, _, part in kept], channels=channels, targets=(target,) if labelled else (),
        form={"format": "class folders of tables"}, dropped=dropped, notes=said,
    )  # fmt: skip


def _one_table(file: Path, asked: Asked, channels: tuple[str, ...]) -> tuple[tuple[str, ...], Values]:
    piece = read(open_table(file, asked.options), asked.options.limits)
    apart = {asked.time, *asked.drop}
    names = channels or tuple(name for name in piece.frame.columns if name not in apart)
    extra = [name for name in piece.frame.columns if name not in names and name not in apart]
    if extra or any(name not in piece.frame.columns for name in names):
        raise GliaError(f"{file}: channels", got=", ".join(piece.frame.columns[:12]), expected=", ".join(names[:12]))
    columns = [read_plan(piece, Plan(name, "number", "a channel")).cast(pl.Float64).to_numpy() for name in names]
    values = np.stack(columns, axis=1)
    if asked.time:
        values = values[np.argsort(read_times(piece, plan_column(piece, asked.time))[0], kind="stable")]
    if not np.isfinite(values).any():
        raise GliaError(f"{file}: a series of no steps", expected="at least one value")
    return names, values
