"""Parquet and Arrow (Feather, IPC) files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl

from glia import limits
from glia.data.tables.source import Opened, Piece, ReadOptions, check_names, tidy
from glia.data.unsaid import held_back
from glia.errors import GliaError

CELL_BYTES = 8  # of most numbers
FETCH_ROWS = 1 << 16  # a small slice would unpack the same block of the file again and again


def open_columnar(path: Path, options: ReadOptions, form: str) -> Opened:
    """Look at a "Parquet" or "Arrow" file."""
    with _complain(path, form):
        if form == "Parquet":
            scan = pl.scan_parquet(path, glob=False)
        elif _first_bytes(path, 6) == b"ARROW1":
            scan = pl.scan_ipc(path)
        else:
            scan = pl.read_ipc_stream(path).lazy()
        schema = scan.collect_schema()
        promised = int(scan.select(pl.len()).collect().item())
    limits.check("columns", len(schema), path, options.limits)
    names = check_names(schema.names(), str(path))
    decimal = options.decimal or "."
    return Opened(
        name=str(path),
        decimal=decimal,
        columns=names,
        format={"format": form},
        pieces=lambda rows: _pieces(scan, path, form, decimal, rows),
        rows=promised,
        most_rows=promised,
        size=CELL_BYTES * promised * len(names),
    )


def _first_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


def _pieces(scan: pl.LazyFrame, path: Path, form: str, decimal: str, rows: int) -> Iterator[Piece]:
    fetch, done = max(rows, FETCH_ROWS // rows * rows), 0
    while True:
        with _complain(path, form):
            frame = scan.slice(done, fetch).collect()
        yield from frame_pieces(frame, str(path), decimal, rows, done)
        done += frame.height
        if frame.height < fetch:
            return


def frame_pieces(frame: pl.DataFrame, name: str, decimal: str, rows: int, first: int = 0) -> Iterator[Piece]:
    """Pieces of a frame in memory, whose first row has the number `first` in its source."""
    for start in range(0, frame.height, rows):
        part = frame.slice(start, rows)
        yield Piece(name, decimal, tidy(part), np.arange(first + start, first + start + part.height))


@contextmanager
def _complain(path: Path, form: str) -> Iterator[None]:
    try:
        with held_back() as forget:
            try:
                yield
            except pl.exceptions.PanicException:
                forget()
                raise
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, MemoryError) as fault:
        first_line = str(fault).strip().split("\n")[0][:160]
        hint = "the file may be cut short: fetch or write it again"
        raise GliaError(f"{path} cannot be read as {form}", got=first_line, hint=hint) from None
