"""Raw table to polars frames: files of every usual form, frames in memory, bundled sets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glia import limits
from glia.data.tables.bundled import BUNDLED, open_bundled
from glia.data.tables.columnar import open_columnar
from glia.data.tables.frames import open_frame
from glia.data.tables.jsonlines import open_jsonlines
from glia.data.tables.separated import open_separated
from glia.data.tables.source import Opened, Piece, ReadOptions, join
from glia.errors import GliaError, nearest

READ_ROWS = 1 << 16  # rows that are held as Python strings at a time
_BY_ENDING = {
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".arrow": "Arrow",
    ".feather": "Arrow",
    ".ipc": "Arrow",
    ".jsonl": "JSON",
    ".ndjson": "JSON",
    ".json": "JSON",
}
_NOT_TABLES = {
    b"PK\x03\x04": ("a zip or Excel file", "save the sheet as CSV"),
    b"\xd0\xcf\x11\xe0": ("an old Excel file", "save the sheet as CSV"),
    b"\x89PNG": ("a picture", None),
    b"\xff\xd8\xff": ("a picture", None),
    b"%PDF": ("a PDF", None),
    b"\x93NUM": ("a NumPy file", "np.load it and give the arrays as a dict"),
}


def open_table(source: Any, options: ReadOptions) -> Opened:
    """Look at a source: a path, a bundled name, or a table in memory. Reads little."""
    if not isinstance(source, str | Path):
        return open_frame(source, options)
    path = Path(source)
    if str(source) in BUNDLED and not path.is_file():
        return open_bundled(str(source), options)
    form = _form(path)
    if form in ("Parquet", "Arrow"):
        return open_columnar(path, options, form)
    return open_jsonlines(path, options) if form == "JSON" else open_separated(path, options)


def stream(source: Any, options: ReadOptions | None = None, rows: int = 4096) -> Iterator[Piece]:
    """A source in pieces of at most `rows` rows; memory does not grow with a text file's length."""
    yield from pieces(open_table(source, options or ReadOptions()), rows)


def pieces(opened: Opened, rows: int) -> Iterator[Piece]:
    """The pieces of an opened source. Errors: a source without rows."""
    empty = True
    for piece in opened.pieces(rows):
        empty = False
        yield piece
    if empty:
        raise GliaError(f"{opened.name} has {len(opened.columns)} columns but no rows", expected="at least one row")


def read(opened: Opened, raised: limits.Raised = limits.USUAL) -> Piece:
    """All rows at once. raised: what of glia.limits the user raised."""
    taken, rows = [], 0
    limits.check("cells", (opened.rows or 0) * len(opened.columns), opened.name, raised)
    for piece in pieces(opened, READ_ROWS):
        rows += len(piece)
        limits.check("cells", rows * len(opened.columns), opened.name, raised)
        taken.append(piece)
    return join(taken)


def _form(path: Path) -> str:
    """Parquet, Arrow, JSON or text: by the first bytes, then by the name."""
    if path.is_dir():
        raise GliaError(f"{path} is a folder", expected="a table file", hint="name one file in it")
    if not path.exists():
        raise _no_file(path)
    if not path.is_file():  # a pipe gives its bytes once; a table is looked at before it is read
        raise GliaError(f"{path} is no plain file", got="a pipe or a device", hint="write the rows to a file first")
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as fault:
        raise GliaError(f"cannot read {path}", got=fault.strerror) from None
    for magic, (what, hint) in _NOT_TABLES.items():
        if start.startswith(magic):
            raise GliaError(f"{path} is {what}", expected="CSV, TSV, JSON lines, Parquet or Arrow", hint=hint)
    if start.startswith(b"PAR1"):
        return "Parquet"
    if start.startswith(b"ARROW1"):
        return "Arrow"
    endings = [ending.lower() for ending in path.suffixes]
    if endings[-1:] == [".gz"]:
        endings.pop()
    form = _BY_ENDING.get(endings[-1], "text") if endings else "text"
    if start and (form == "Parquet" or (form == "Arrow" and not start.startswith(b"\xff\xff\xff\xff"))):
        raise GliaError(f"{path} is not {form} inside", got=f"first bytes {start!r}", hint="check how it was written")
    return form


def _no_file(path: Path) -> GliaError:
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    close = nearest(path.name, [*beside, *BUNDLED])
    hint = None
    if close:
        hint = repr(close if close in BUNDLED and close not in beside else str(path.with_name(close)))
    return GliaError(f"no such file: {path}", expected=f"a file, or one of {', '.join(BUNDLED)}", hint=hint)
