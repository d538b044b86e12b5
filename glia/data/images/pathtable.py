"""Tables that name picture (or sound) files: a column of paths, columns of labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from glia.data.images.decode import SUFFIXES
from glia.data.images.listing import PARTS, Listing, Wanted, dropped_card
from glia.data.tables.read import open_table, read
from glia.data.tables.source import ReadOptions, no_column
from glia.errors import GliaError

_PART_COLUMNS = frozenset({"split", "part", "set", "subset"})
_LOOK = 50  # rows that show whether a column holds paths


@dataclass(frozen=True)
class PathTable:
    """How a table of paths is read. suffixes, things: how the files that it names end, and what people call them.

    wanted: what its paths lead to, where that is no file with one of those suffixes.
    """

    options: ReadOptions = field(default_factory=ReadOptions)
    target: tuple[str, ...] = ()
    group: str | None = None
    drop: tuple[str, ...] = ()
    suffixes: frozenset[str] = SUFFIXES
    things: str = "picture"
    wanted: Wanted | None = None


def names_pictures(source: Any, options: ReadOptions, suffixes: frozenset[str] = SUFFIXES) -> bool:
    """Whether a table (a file, or a frame in memory) names picture files that are there. Reads its beginning."""
    opened = open_table(source, options)
    for piece in opened.pieces(_LOOK):
        frame = piece.frame.head(_LOOK)
        column = _path_column(source, frame, PathTable(options, suffixes=suffixes))
        return column is not None and any(path.is_file() for path in _paths(source, frame[column]))
    return False


def by_table(source: Any, how: PathTable, labelled: bool = True) -> Listing:
    """The pictures that a table names, by paths relative to it; `labelled=False` reads the paths alone."""
    opened = open_table(source, how.options)
    piece = read(opened, how.options.limits)
    frame, rows = piece.frame, piece.rows.tolist()
    where = _path_column(source, frame, how)
    if where is None:
        raise GliaError(
            f"no column of {opened.name} names {how.things} {'folders' if how.wanted else 'files'}",
            got=", ".join(frame.columns),
        )
    root = _root(source)
    paths = _paths(source, frame[where])
    if not labelled:
        return Listing(root, paths, {}, [""] * len(paths), rows=rows, layout="table of paths")
    for name in (*how.target, *([how.group] if how.group else [])):
        if name not in frame.columns:
            raise no_column(name, frame.columns, opened.name)
    used = {where, how.group, *how.target, *how.drop}
    part = next((c for c in frame.columns if c not in used and _says_parts(c, frame[c])), None)
    target = how.target or _only_other(opened.name, [c for c in frame.columns if c not in used and c != part])
    cells = {name: _texts(frame[name]) for name in (*target, *(c for c in (part, how.group) if c))}
    keep = [i for i in range(len(paths)) if all(cells[name][i] for name in target) and frame[where][i] is not None]
    lost = len(paths) - len(keep)
    return Listing(
        root,
        [paths[i] for i in keep],
        {name: [cells[name][i] for i in keep] for name in target},
        [PARTS[cells[part][i].lower()] if part else "" for i in keep],
        [cells[how.group][i] for i in keep] if how.group else None,
        [rows[i] for i in keep],
        "table of paths",
        (dropped_card("rows", "no label or no path", lost),) if lost else (),
        (*opened.notes, *([f"Column {part!r} says which part each {how.things} belongs to."] if part else [])),
    )


def _path_column(source: Any, frame: pl.DataFrame, how: PathTable) -> str | None:
    wanted = how.wanted or (lambda path: path.suffix.lower() in how.suffixes)
    for name in frame.columns:
        seen = [cell for cell in _texts(frame[name].head(_LOOK)) if cell]
        if seen and 2 * sum(wanted(_root(source) / cell) for cell in seen) > len(seen):
            return name
    return None


def _root(source: Any) -> Path:
    return Path(source).parent if isinstance(source, (str, Path)) else Path()


def _paths(source: Any, cells: pl.Series) -> list[Path]:
    return [_root(source) / cell for cell in _texts(cells)]


def _texts(series: pl.Series) -> list[str]:
    """Cells as texts; whole numbers without a point, missing ones empty."""
    if series.dtype.is_nested():
        return [""] * len(series)
    if series.dtype.is_float() and (series.drop_nulls() % 1 == 0).all():
        series = series.cast(pl.Int64, strict=False)
    return ["" if cell is None else str(cell) for cell in series.to_list()]


def _says_parts(name: str, cells: pl.Series) -> bool:
    return name.lower() in _PART_COLUMNS and all(cell.lower() in PARTS for cell in _texts(cells))


def _only_other(name: str, others: Sequence[str]) -> tuple[str, ...]:
    if len(others) == 1:
        return (others[0],)
    what = f"{name} does not say which column is the label"
    raise GliaError(what, expected=f"target= one of {', '.join(others[:12]) or '(there is no other column)'}")
