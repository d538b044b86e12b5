"""Tables of JSON: one object a line, or one list of objects."""

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from glia import limits
from glia.data.tables.source import Opened, Piece, ReadOptions, tidy
from glia.data.tables.textfile import TextFile, complain, look
from glia.errors import GliaError

Record = dict[str, Any]
_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # UTF-16 spells rare signs in two halves, each of which is no sign
_DEEPER = limits.raising("depth", 100)


def open_jsonlines(path: Path, options: ReadOptions) -> Opened:
    """Look at a JSON table. Columns are all keys of all rows, in order of first sight; a row without one misses it."""
    file = look(path, options.encoding, options.limits, "json_chars")
    names: dict[str, None] = {}
    for _, record in _records(file, options.limits):
        names |= dict.fromkeys(record)
        limits.check("columns", len(names), path, options.limits)
    decimal = options.decimal or "."
    return Opened(
        name=str(path),
        decimal=decimal,
        columns=tuple(names),
        format={"format": "JSON lines", "encoding": file.encoding, "gzip": file.packed},
        pieces=lambda rows: _pieces(file, tuple(names), decimal, rows, options.limits),
        notes=(f"{path} is not UTF-8: read as {file.encoding}",) if file.guessed else (),
    )


def _pieces(file: TextFile, names: tuple[str, ...], decimal: str, rows: int, raised: limits.Raised) -> Iterator[Piece]:
    records, done = _records(file, raised), 0
    while taken := list(islice(records, rows)):
        columns = {name: [_text(record.get(name)) for _, record in taken] for name in names}
        frame = pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String))
        lines = np.array([line for line, _ in taken])
        yield Piece(str(file.path), decimal, tidy(frame), np.arange(done, done + len(taken)), lines)
        done += len(taken)


def _records(file: TextFile, raised: limits.Raised) -> Iterator[tuple[int, Record]]:
    """Line and object. Errors: a line that is no JSON object."""
    depth = limits.most("depth", raised)
    with complain(file.path):
        if next((line for line in file.lines() if line.strip()), "").lstrip("\ufeff ").startswith("["):
            yield from enumerate(_listed(file, depth, raised), 1)
            return
        for number, line in enumerate(file.lines(), 1):
            if line.strip():
                place = f"{file.path}, line {number}"
                yield number, _object(_parse(line, place, depth), place)


def _listed(file: TextFile, depth: int, raised: limits.Raised) -> list[Record]:
    limits.check("json_chars", file.size, file.path, raised)
    whole = _parse("".join(file.lines()), f"{file.path}", depth)
    if not isinstance(whole, list):
        raise GliaError(f"{file.path}: not a list of JSON objects")
    return [_object(item, f"{file.path}, item {index}") for index, item in enumerate(whole)]


def _parse(text: str, place: str, depth: int) -> Any:
    deep = GliaError(f"{place}: JSON within JSON within JSON", expected=f"at most {depth} levels", hint=_DEEPER)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as fault:
        line = f", line {fault.lineno}" if "\n" in text.strip() else ""
        raise GliaError(f"{place}{line}, column {fault.colno}: not JSON", got=fault.msg) from None
    except ValueError as fault:  # a number of more digits than Python turns into one
        raise GliaError(f"{place}: not JSON", got=fault) from None
    except RecursionError:
        raise deep from None
    if not limits.depth_within(value, depth):
        raise deep
    if _HALF.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise GliaError(f"{place}: half of a character, such as \\ud800", expected="both halves") from None
    return value


def _object(item: Any, place: str) -> Record:
    if not isinstance(item, dict):
        raise GliaError(f"{place}: not a JSON object", got=json.dumps(item)[:40], expected='such as {"age": 3}')
    return item


def _text(value: Any) -> str | None:
    """Cells as text, like those of a CSV file, so that one column may mix types."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
