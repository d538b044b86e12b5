"""Where texts come from: a column of a table, a folder of class folders, a file with a text a line, a list."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from glia import limits
from glia.data.tables.columns import plan_column
from glia.data.tables.read import open_table
from glia.data.tables.source import Int64s, Opened, Piece, ReadOptions, no_column
from glia.data.tables.textfile import open_bytes
from glia.data.texts.folders import is_text_folder, open_folder
from glia.data.texts.tokens import unspaced, whole
from glia.errors import GliaError

TEXT, CLASS, FILE, PART = "text", "class", "file", "part"
"""Columns of sources that have no names of their own."""
_LOOK = 400  # rows that show whether a column holds free text
_SIGNS = 8  # on average in a cell, of a script without spaces, that make it free text


def open_texts(source: Any, options: ReadOptions, column: str = TEXT) -> Opened:
    """Look at a source of texts; they stand in `column` where the source has no names for its columns.

    A str that names nothing on disk and holds a space is a text itself. Errors: bytes that are no UTF-8, with their
    place, unless an encoding was named.
    """
    if isinstance(source, (list, tuple)) and source and all(isinstance(text, str) for text in source):
        return _listed([whole(text) for text in source], column)
    if isinstance(source, str | Path):
        path = Path(source)
        if isinstance(source, str) and any(map(str.isspace, source.strip())) and not _exists(path):
            return _listed([whole(source)], column)
        if path.is_dir():
            return open_folder(path, column, options)
        if path.suffix.lower() == ".txt" and path.is_file():
            return _lines(path, options, column)
    opened = open_table(source, options)
    if options.encoding is None and opened.format.get("encoding") in ("cp1252", "latin-1"):
        raise misspelled(Path(source))
    return opened


def misspelled(path: Path) -> GliaError:
    """The error for the first bytes of a file that are not UTF-8."""
    start = 0
    with open_bytes(path) as raw:
        for number, line in enumerate(raw, 1):
            try:
                line.decode()
            except UnicodeDecodeError as fault:
                got, place = line[fault.start : fault.start + 4], start + fault.start
                what = f"{path}, line {number}, byte {place} of the file: not UTF-8"
                return GliaError(what, got=repr(got), hint="mend it, or encoding=cp1252 if the file is written so")
            start += len(line)
    return GliaError(f"{path} is not UTF-8", hint="encoding=cp1252")


def is_text_source(data: Any) -> bool:
    """Whether the settings (glia.recipe.Data) mean texts: a text column is named, a folder holds .txt files in class
    folders, or free text is the only input that a table has beside its target."""
    if data.text is not None:
        return True
    source = data.source
    if isinstance(source, str | Path) and Path(source).is_dir():
        return is_text_folder(Path(source))
    if not data.target or data.kinds:
        return False
    options = ReadOptions(data.header, data.separator, data.decimal, data.encoding, limits=data.limits)
    try:
        opened = open_table(source, options)
        columns = inputs_of(opened.columns, data)
        if len(columns) != 1:
            return False
        piece = next(opened.pieces(_LOOK), None)
    except GliaError:  # no table either; whoever reads it as one says why
        return False
    return piece is not None and is_free_text(piece, columns[0])


def inputs_of(columns: tuple[str, ...], data: Any) -> list[str]:
    """The columns that are no target, no group, no time and not left out."""
    used = {_name(asked, columns) for asked in (*data.target, *data.drop, data.group, data.time) if asked}
    return [name for name in columns if name not in used]


def text_column(piece: Piece, data: Any) -> str:
    """The column that holds the texts: the one that was named, or the only one that can."""
    columns = tuple(piece.frame.columns)
    if data.text is not None:
        name = _name(data.text, columns)
        if name not in columns:
            raise no_column(data.text, columns, piece.name)
        return name
    candidates = [name for name in inputs_of(columns, data) if piece.frame.schema[name] == pl.String]
    free = [name for name in candidates if is_free_text(piece, name)]
    if len(found := free or candidates) != 1:
        shown = ", ".join(columns)
        raise GliaError(
            f"which column of {piece.name} holds the texts?", expected=f"one of {shown}", hint="text=COLUMN"
        )
    return found[0]


def is_free_text(piece: Piece, name: str) -> bool:
    """Words with spaces between them that hardly ever come back as a whole; or signs of a script without spaces."""
    cells = piece.frame[name]
    if cells.dtype != pl.String:
        return False
    plan = plan_column(piece, name)
    present = cells.drop_nulls().head(_LOOK)
    if plan.kind == "text":
        return True
    return plan.kind == "identifier" and len("".join(present)) > _SIGNS * len(present) and unspaced(present) > 0.3


def texts_of(piece: Piece, column: str) -> list[str]:
    """The texts of some rows; "" where there is none."""
    cells = piece.column(column)
    return cells.cast(pl.String).fill_null("").to_list() if cells.dtype != pl.String else cells.fill_null("").to_list()


def _listed(texts: list[str], column: str) -> Opened:
    def pieces(rows: int) -> Iterator[Piece]:
        for start in range(0, len(texts), rows):
            frame = pl.DataFrame({column: texts[start : start + rows]}, schema={column: pl.String})
            yield Piece("the texts", ".", frame, np.arange(start, start + frame.height))

    return Opened("the texts", ".", (column,), {"format": "texts"}, pieces)


def _lines(path: Path, options: ReadOptions, column: str) -> Opened:
    """A text a line, empty ones too, so that line and answer go together."""
    encoding = options.encoding or "utf-8-sig"
    allowed = limits.most("cell_chars", options.limits)

    def pieces(rows: int) -> Iterator[Piece]:
        with path.open(encoding=encoding, newline=None) as file:
            done, held = 0, list[str]()
            for line in _whole_lines(file, path, allowed, options.limits):
                held.append(line)
                if len(held) == rows:
                    yield _piece(path, column, held, done)
                    done, held = done + len(held), []
            if held:
                yield _piece(path, column, held, done)

    def checked(rows: int) -> Iterator[Piece]:
        try:
            yield from pieces(rows)
        except UnicodeDecodeError:
            raise misspelled(path) from None
        except (OSError, LookupError) as fault:
            raise GliaError(f"cannot read {path}", got=fault) from None

    return Opened(str(path), ".", (column,), {"format": "a text a line"}, checked)


def _whole_lines(file: Any, path: Path, allowed: int, raised: Mapping[str, int]) -> Iterator[str]:
    while line := file.readline(allowed + 2):
        if len(line) > allowed + 1:
            raise limits.exceeded("cell_chars", None, path, raised)
        yield line.rstrip("\n")


def _piece(path: Path, column: str, texts: list[str], start: int) -> Piece:
    rows: Int64s = np.arange(start, start + len(texts))
    return Piece(str(path), ".", pl.DataFrame({column: texts}, schema={column: pl.String}), rows, rows + 1)


def _name(asked: str, columns: tuple[str, ...]) -> str:
    """The column of that name or, where none has it, at that place."""
    if asked in columns:
        return asked
    try:
        return columns[int(asked)]
    except (ValueError, IndexError):
        return asked


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a text may be too long for a name
        return False
