"""Frames of predictions to one file, piece by piece: CSV, Parquet or JSON lines."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

import polars as pl
from polars.io.plugins import register_io_source

from glia import disk
from glia.data.formulas import disarmed
from glia.errors import GliaError

_AHEAD = 2  # frames that may wait for the disk


def write_rows(
    frames: Iterator[pl.DataFrame], path: Path, *, source: Any = None, overwrite: bool = False, text: str | None = None
) -> int:
    """Write every frame (at least one; all with the same columns) and return how many rows that were.

    The suffix says how: .csv, .tsv, .parquet, .jsonl, .ndjson. text: a column of texts without line ends, which alone
    goes into files of any other suffix, a line each. The file appears when it is whole. A file that is
    there already is a GliaError unless `overwrite`; the `source` itself is never overwritten.
    """
    writers = {".csv": _csv, ".tsv": _tsv, ".parquet": _parquet, ".jsonl": _lines, ".ndjson": _lines}
    write = writers.get(path.suffix.lower()) or (partial(_texts, text) if text is not None else None)
    if write is None:
        raise GliaError(
            f"cannot write predictions to {path}", got=path.suffix or "no suffix", expected=_one_of(writers)
        )
    if isinstance(source, str | Path) and path.exists() and Path(source).exists() and path.samefile(source):
        raise GliaError(f"{path} is the file that is read", hint="another name for the predictions")
    if path.exists() and not overwrite:
        raise GliaError(f"{path} exists already", hint="another name, or overwrite=true")
    first = next(frames)  # what is wrong with the source shows here, before anything is written
    counted = _Counted(chain([first], frames), source)
    with disk.open_rows(path, overwrite=overwrite) as file:
        write(iter(counted), file, first.schema)
    return counted.rows


def _one_of(writers: dict[str, Any]) -> str:
    return "one of " + ", ".join(writers)


class _Counted:
    """Frames as they pass, counted. What the system says of reading is not to be taken for trouble with writing."""

    def __init__(self, frames: Iterator[pl.DataFrame], source: Any):
        self.frames, self.source, self.rows = frames, source, 0

    def __iter__(self) -> Iterator[pl.DataFrame]:
        try:
            for frame in self.frames:
                self.rows += frame.height
                yield frame
        except OSError as error:
            what = str(self.source) if isinstance(self.source, str | Path) else "the source"
            raise GliaError(f"cannot read {what}: {error.strerror or error}") from error


def _csv(frames: Iterator[pl.DataFrame], file: IO[bytes], schema: pl.Schema, separator: str = ",") -> None:
    for number, frame in enumerate(frames):
        safe = frame.select(_harmless(frame[name], kind) for name, kind in frame.schema.items())
        safe.columns = disarmed(pl.Series(safe.columns, dtype=pl.String)).to_list()
        # Microseconds are written where there are some.
        safe.write_csv(file, include_header=number == 0, separator=separator, datetime_format="%Y-%m-%d %H:%M:%S%.f")


def _tsv(frames: Iterator[pl.DataFrame], file: IO[bytes], schema: pl.Schema) -> None:
    _csv(frames, file, schema, "\t")


def _harmless(cells: pl.Series, kind: pl.DataType) -> pl.Series:
    """Text that a spreadsheet would run as a formula gets an apostrophe before it; plain numbers do not."""
    if kind.is_nested():
        cells = pl.Series(
            cells.name, [None if cell is None else str(cell) for cell in cells.to_list()], dtype=pl.String
        )
    elif kind in (pl.Categorical, pl.Enum, pl.Object, pl.Null):
        cells = cells.cast(pl.String)
    elif kind == pl.Binary:
        cells = cells.bin.encode("hex")
    return disarmed(cells) if cells.dtype == pl.String else cells


def _lines(frames: Iterator[pl.DataFrame], file: IO[bytes], schema: pl.Schema) -> None:
    for frame in frames:
        frame.write_ndjson(file)


def _texts(name: str, frames: Iterator[pl.DataFrame], file: IO[bytes], schema: pl.Schema) -> None:
    for frame in frames:
        file.write("".join(f"{line}\n" for line in frame[name]).encode())


def _parquet(frames: Iterator[pl.DataFrame], file: IO[bytes], schema: pl.Schema) -> None:
    """polars pulls the frames it writes from a thread of its own; the network stays on this one, where torch's
    settings (threads among them) are the ones that were chosen."""
    waiting: SimpleQueue[pl.DataFrame | None] = SimpleQueue()

    def pull(*_: Any) -> Iterator[pl.DataFrame]:
        while (frame := waiting.get()) is not None:
            yield frame

    def write() -> None:
        register_io_source(pull, schema=schema).sink_parquet(file)

    with ThreadPoolExecutor(1, thread_name_prefix="glia-parquet") as pool:
        written = pool.submit(write)
        try:
            for frame in frames:
                waiting.put(_like(frame, schema))
                while waiting.qsize() >= _AHEAD and not written.done():
                    time.sleep(0.002)
                if written.done():
                    break
        finally:
            waiting.put(None)
        written.result()


def _like(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The frame with the types of the first one: a Parquet file has one type a column."""
    if frame.schema == schema:
        return frame
    try:
        return frame.cast(schema)
    except pl.exceptions.PolarsError as error:
        what = "a column changes its type within the source, which Parquet cannot hold"
        raise GliaError(what, got=error, hint="a .csv or .jsonl file") from None
