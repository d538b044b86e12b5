"""Tables of separated text: CSV, TSV and their kin. What is not said is worked out from the first lines."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from glia import limits
from glia.data.formulas import all_armed, armed
from glia.data.tables.blocks import blocks
from glia.data.tables.source import MISSING_WORDS, Int64s, Opened, Piece, ReadOptions, check_names, no_column, tidy
from glia.data.tables.textfile import TextFile, look
from glia.errors import GliaError

if TYPE_CHECKING:
    from _csv import Reader

SEPARATORS = ("\t", ";", "|", ",")  # in order of trust: decimal commas look like separators too
SPELLED = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "space": " ", "pipe": "|"}
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_COMMA_DECIMAL = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?|[+-]?\d{1,3}(\.\d{3})+,\d+")
_POINT_DECIMAL = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?|[+-]?\d{1,3}(,\d{3})+\.\d+")
_COMMA_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")
_POINT_THOUSANDS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+")

Row = list[str]


def open_separated(path: Path, options: ReadOptions) -> Opened:
    """Look at a text table: encoding, separator, header, decimal sign."""
    file = look(path, options.encoding, options.limits)
    # The limit is the process's: set on purpose before any cell is read, where Python's own would be an accident.
    most = limits.most("cell_chars", options.limits)
    csv.field_size_limit(most)
    lines = file.sample()
    separator = _separator(lines, options.separator)
    sample = [row for row, _ in _rows(lines, separator, path, whole=False) if not _blank(row)]
    if not sample:
        raise GliaError(f"{path} is empty", expected="a table")
    limits.check("columns", len(sample[0]), path, options.limits)
    header = _has_header(sample) if options.header is None else options.header
    names = _named(sample[0], str(path)) if header else _numbered(sample[0], options, str(path))
    decimal = options.decimal or _decimal(sample[header:], separator) or options.likely_decimal
    if decimal not in (".", ","):
        raise GliaError("unknown decimal sign", got=repr(decimal), expected="'.' or ','")
    notes = []
    if file.guessed:
        notes.append(f"{path} is not UTF-8: read as {file.encoding}")
    if not header and options.header is None:
        notes.append(f"{path} has no header line: columns are called 0 to {len(names) - 1} by position")
    return Opened(
        name=str(path),
        decimal=decimal,
        columns=names,
        format={"format": "separated text", "separator": separator, "decimal": decimal, "header": header}
        | {"encoding": file.encoding, "gzip": file.packed},
        pieces=_Layout(file, names, separator, decimal, header, most).pieces,
        notes=tuple(notes),
        most_rows=file.most_lines,
        size=file.size,
    )


def _rows(
    lines: Iterable[str], separator: str, path: Path, before: int = 0, *, whole: bool = True
) -> Iterator[tuple[Row, int]]:
    """Each row with the line that it ends on. before: lines of the file before these. whole: these go on to its end.

    Errors: what the csv module refuses, and what it takes in silence, a quote that the end of the file leaves open;
    both with the line that the row begins on.
    """
    record: list[str] = []  # the lines of the row at hand

    def noted() -> Iterator[str]:
        for line in lines:
            record.append(line)
            yield line

    reader, begins, began = _reader(noted(), separator), before + 1, before + 1
    last: list[str] = []
    while True:
        record.clear()
        try:
            row = next(reader, None)
        except csv.Error as fault:
            raise _torn(path, begins, fault) from None
        if row is None:
            break
        ends = before + reader.line_num
        yield row, ends
        began, begins, last = begins, ends + 1, record.copy()
    if whole and (left := _left_open(last, separator)):
        raise _torn(path, began, left)


def _torn(path: Path, line: int, fault: object) -> GliaError:
    what = f"{path}, line {line}: cells cannot be told apart"
    hint = "look for a quote that is never closed"
    if "field limit" in str(fault):
        hint += f", or {limits.raising('cell_chars', 10 * csv.field_size_limit())}"
    return GliaError(what, got=fault, hint=hint)


def _left_open(lines: list[str], separator: str) -> str | None:
    """What a strict reader says of a row in which a quote is open at its end."""
    try:
        list(_reader(lines, separator, strict=True))
    except csv.Error as fault:
        return str(fault) if "unexpected end" in str(fault) else None
    return None


def _reader(lines: Iterable[str], separator: str, *, strict: bool = False) -> "Reader":
    return csv.reader(lines, delimiter=separator, skipinitialspace=separator != " ", strict=strict)


@dataclass(frozen=True)
class _Layout:
    """What was worked out of a file, so that its rows can be read."""

    file: TextFile
    names: tuple[str, ...]
    separator: str
    decimal: str
    header: bool
    most: int  # characters of a cell

    def pieces(self, rows: int) -> Iterator[Piece]:
        """Pieces of at most `rows` rows. Errors: a row that is longer or shorter than the first."""
        done = 0
        frames: list[pl.DataFrame] = []
        where: list[Int64s] = []
        for frame, lines in self._frames():
            frames.append(frame)
            where.append(lines)
            while sum(map(len, where)) >= rows:
                frame, lines = pl.concat(frames, rechunk=True), np.concatenate(where)
                yield self._piece(frame[:rows], lines[:rows], done)
                frames, where, done = [frame[rows:]], [lines[rows:]], done + rows
        if sum(map(len, where)):
            yield self._piece(pl.concat(frames, rechunk=True), np.concatenate(where), done)

    def _piece(self, frame: pl.DataFrame, lines: Int64s, done: int) -> Piece:
        rows = np.arange(done, done + len(lines))
        return Piece(str(self.file.path), self.decimal, tidy(all_armed(frame)), rows, lines)

    def _frames(self) -> Iterator[tuple[pl.DataFrame, Int64s]]:
        """Cells of some rows, and the lines that the rows end on."""
        header = self.header

        def strict(lines: Iterable[str], before: int) -> Iterator[tuple[Row, int]]:
            nonlocal header
            for row, line in _rows(lines, self.separator, self.file.path, before):
                if _blank(row):
                    continue
                if header:
                    header = False
                    continue
                if len(row) != len(self.names):
                    what = f"{self.file.path}, line {line}: {len(row)} cells"
                    expected = f"{len(self.names)}, as the first line has"
                    raise GliaError(what, expected=expected, hint="mend or delete that line")
                yield row, line

        for cells, lines in blocks(self.file, self.names, self.separator, self.most, strict):
            if isinstance(cells, list):
                schema = dict.fromkeys(self.names, pl.String)
                frame = pl.DataFrame(dict(zip(self.names, zip(*cells))), schema=schema)
            else:
                frame, lines, header = cells[header:], lines[header:], False
            yield frame, lines


def _blank(row: Row) -> bool:
    return not row or (len(row) == 1 and not row[0].strip(" \t\x1a"))


def _separator(lines: list[str], asked: str | None) -> str:
    """The sign that cuts the lines into equally many cells."""
    if asked is not None:
        sign = SPELLED.get(asked, asked)
        if len(sign) != 1 or sign in '\r\n"':
            raise GliaError("bad separator", got=repr(asked), expected="one character, or tab")
        return sign
    best, best_share = ",", 0.0
    for sign in SEPARATORS:
        try:
            widths = Counter(len(row) for row in _reader(lines, sign) if row)
        except csv.Error:
            continue
        width, count = widths.most_common(1)[0] if widths else (1, 0)
        share = round(count / max(1, widths.total()), 2)
        if width > 1 and share > best_share:
            best, best_share = sign, share
    return best


def _decimal(sample: list[Row], separator: str) -> str | None:
    """The decimal sign that the cells show; None if they show neither."""
    cells = [cell.strip() for row in sample for cell in row]
    commas = [cell for cell in cells if _COMMA_DECIMAL.fullmatch(cell)]
    points = [cell for cell in cells if _POINT_DECIMAL.fullmatch(cell)]
    plain_commas = [cell for cell in commas if not _COMMA_THOUSANDS.fullmatch(cell)]
    plain_points = [cell for cell in points if not _POINT_THOUSANDS.fullmatch(cell)]
    if plain_commas or plain_points:
        return "," if len(plain_commas) > len(plain_points) else "."
    if commas or points:  # only cells such as 1,234: a thousand where the comma also separates, else a fraction
        return "," if len(commas) > len(points) and separator == ";" else "."
    return None


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell.strip()) is not None


def _has_header(sample: list[Row]) -> bool:
    """Is the first line made of names?

    A column of numbers speaks: a text on top of it is a name, a number on top of it is a row. So does a column of
    texts whose first cell occurs again further down. Years or positions (2019, 2020, ...) on top are names.
    """
    first, body = sample[0], [row for row in sample[1:] if len(row) == len(sample[0])]
    if not body:
        return not any(_is_number(cell) for cell in first)
    if _counts_up(first):
        return True
    names = rows = 0
    for index, top in enumerate(first):
        cells = [row[index].strip() for row in body]
        present = [cell for cell in cells if cell not in MISSING_WORDS]
        numbers = sum(map(_is_number, present))
        if _is_number(top):
            rows += 1
        elif present and numbers >= 0.9 * len(present):
            names += top.strip() not in MISSING_WORDS
        elif top.strip() in present:
            rows += 1
    return names > 0 or rows == 0


def _counts_up(cells: Row) -> bool:
    """Numbers in the row run n, n+1, n+2 from 0, 1 or a year."""
    numbers = [int(cell) for cell in cells if cell.strip().isdecimal()]
    if len(numbers) < 3 or sum(map(_is_number, cells)) != len(numbers):
        return False
    start = numbers[0]
    return numbers == list(range(start, start + len(numbers))) and (start <= 1 or 1900 <= start <= 2100)


def _named(first: Row, source: str) -> tuple[str, ...]:
    names = armed(pl.Series([cell.strip() for cell in first], dtype=pl.String))
    return check_names([name or str(index) for index, name in enumerate(names)], source)


def _numbered(first: Row, options: ReadOptions, source: str) -> tuple[str, ...]:
    """Names by position, or the names that were learnt, with or without those that may be left out."""
    if not options.names:
        return tuple(str(index) for index in range(len(first)))
    without = tuple(name for name in options.names if name not in options.optional)
    for names in (options.names, without):
        if len(names) == len(first):
            return names
    if len(first) > len(options.names):
        return options.names + tuple(str(index) for index in range(len(options.names), len(first)))
    raise no_column(options.names[len(first)], options.names[: len(first)], source)
