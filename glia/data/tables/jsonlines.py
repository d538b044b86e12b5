"""Tables of JSON: one object a line, or one list of objects."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from glia.data.tables.source import Opened, Piece, ReadOptions, tidy
from glia.data.tables.textfile import TextFile, complain, look
from glia.errors import GliaError

Record = dict[str, Any]


def open_jsonlines(path: Path, options: ReadOptions) -> Opened:
    """Look at a JSON table. Columns are all keys of all rows, in order of first sight; a row without one misses it."""
    file = look(path, options.encoding)
    names = tuple(dict.fromkeys(key for _, record in _records(file) for key in record))
    decimal = options.decimal or "."
    return Opened(
        name=str(path),
        decimal=decimal,
        columns=names,
        format={"format": "JSON lines", "encoding": file.encoding, "gzip": file.packed},
        pieces=lambda rows: _pieces(file, names, decimal, rows),
        notes=(f"{path} is not UTF-8: read as {file.encoding}",) if file.guessed else (),
    )


def _pieces(file: TextFile, names: tuple[str, ...], decimal: str, rows: int) -> Iterator[Piece]:
    records, done = _records(file), 0
    while taken := list(islice(records, rows)):
        columns = {name: [_text(record.get(name)) for _, record in taken] for name in names}
        frame = pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String))
        lines = np.array([line for line, _ in taken])
        yield Piece(str(file.path), decimal, tidy(frame), np.arange(done, done + len(taken)), lines)
        done += len(taken)


def _records(file: TextFile) -> Iterator[tuple[int, Record]]:
    """Line and object. Errors: a line that is no JSON object."""
    with complain(file.path):
        if next((line for line in file.lines() if line.strip()), "").lstrip("\ufeff ").startswith("["):
            yield from enumerate(_listed(file), 1)
            return
        for number, line in enumerate(file.lines(), 1):
            if line.strip():
                yield number, _object(_parse(line, f"{file.path}, line {number}"), f"{file.path}, line {number}")


def _listed(file: TextFile) -> list[Record]:
    whole = _parse("".join(file.lines()), str(file.path))
    return [_object(item, f"{file.path}, item {index}") for index, item in enumerate(whole)]


def _parse(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as fault:
        raise GliaError(f"{place}: not JSON", got=fault) from None


def _object(item: Any, place: str) -> Record:
    if not isinstance(item, dict):
        raise GliaError(f"{place}: not a JSON object", got=json.dumps(item)[:40], expected='such as {"age": 3}')
    return item


def _text(value: Any) -> str | None:
    """Cells as text, like those of a CSV file, so that one column may mix types."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
