"""Pairs of texts as they are written down: two files aligned by line, or two columns of a table."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from glia import limits
from glia.data.tables.read import open_table, read
from glia.data.tables.source import Int64s, ReadOptions
from glia.data.tables.textfile import complain, look, open_bytes
from glia.errors import GliaError

if TYPE_CHECKING:
    from glia.recipe import Data

LOOKED_AT = 1 << 16  # bytes of a file that tell whether its columns are texts
LOOKED_ROWS = 200
_TABLES = {".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json"}
_COLUMNAR = {".parquet", ".pq", ".arrow", ".feather", ".ipc"}


@dataclass(frozen=True)
class Pairs:
    """Texts and their translations, stripped; "" where there is none. rows: (N,) place of each in its source, from 0.

    name: what messages call the source. columns: names of the two sides. first: number that people give the first row.
    """

    name: str
    columns: tuple[str, str]
    sources: list[str]
    targets: list[str]
    rows: Int64s
    first: int = 1

    def __len__(self) -> int:
        return len(self.sources)

    def take(self, index: Int64s) -> "Pairs":
        chosen = index.tolist()
        return replace(
            self, sources=[self.sources[i] for i in chosen], targets=[self.targets[i] for i in chosen],
            rows=self.rows[index],
        )  # fmt: skip


def two_files(source: Any) -> tuple[Path, Path] | None:
    """The files of ``"train.en,train.de"``; None where that is no pair of paths."""
    if not isinstance(source, str | Path):
        return None
    first, comma, second = str(source).partition(",")
    if not comma or not first.strip() or not second.strip() or _is_file(source):
        return None
    files = Path(first.strip()), Path(second.strip())
    return files if any(_is_file(one) for one in files) else None


def _is_file(path: str | Path) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long a name, a zero in it
        return False


def is_table(source: Any) -> bool:
    """Is it a table by its name, or in memory? Any other file is one text a line."""
    if not isinstance(source, str | Path):
        return not isinstance(source, list)
    endings = [ending.lower() for ending in Path(source).suffixes]
    if endings[-1:] == [".gz"]:
        endings.pop()
    return bool(endings) and endings[-1] in _TABLES | _COLUMNAR


def is_pair_source(data: "Data") -> bool:
    """Are these two texts a row? Two files; or a table of just two columns of free text, or whose target is free text
    that stands beside one more such column. Reads the beginning of a file at most.
    """
    if data.task == "translate" or (data.task == "auto" and two_files(data.source) is not None):
        return True
    if data.task != "auto" or len(data.target) > 1 or data.horizon is not None or not is_table(data.source):
        return False
    columns = _beginning(data.source, data)
    free = [name for name, cells in columns.items() if _is_free(cells)]
    if not data.target:
        return len(columns) == 2 and len(free) == 2 and data.text in (None, *free)
    target = data.target[0]
    others = [name for name in free if name != target]
    return target in free and (data.text in others if data.text else len(others) == 1)


def _beginning(source: Any, data: "Data") -> dict[str, list[str]]:
    """The first cells of each column; nothing for what is no simple table of texts."""
    if isinstance(source, pl.DataFrame):
        head = source.head(LOOKED_ROWS)
        return {name: [str(cell) for cell in head[name] if cell is not None] for name in head.columns}
    if not isinstance(source, str | Path) or not _is_file(source) or Path(source).suffix.lower() in _COLUMNAR:
        return {}
    try:
        with complain(Path(source)), open_bytes(Path(source)) as raw:
            text = raw.read(LOOKED_AT).decode("utf-8", "replace")
    except GliaError:  # whoever reads it in earnest says what is wrong
        return {}
    lines = text.split("\n")
    lines = lines[: min(LOOKED_ROWS, max(len(lines) - 1, 1))]
    if lines[0].lstrip().startswith("{"):
        return _of_json(lines)
    separator = data.separator or ("\t" if "\t" in lines[0] else ",")
    try:
        rows = list(islice(csv.reader(lines, delimiter=separator), LOOKED_ROWS))
    except csv.Error:
        return {}
    rows = [row for row in rows if row]
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        return {}
    return {name: [row[i] for row in rows[1:]] for i, name in enumerate(rows[0])}


def _of_json(lines: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return {}
        if not isinstance(row, dict):
            return {}
        for name, cell in row.items():
            found.setdefault(name, []).append(cell if isinstance(cell, str) else "")
    return found


def _is_free(cells: Sequence[str]) -> bool:
    """Sentences: three words or more, made of letters, hardly two alike."""
    some = [cell for cell in cells if cell.strip()]
    if len(some) < 2 or len(set(some)) < 0.8 * len(some):
        return False
    signs = "".join(some)
    letters = sum(sign.isalpha() for sign in signs) / max(sum(not sign.isspace() for sign in signs), 1)
    words = sum(len(cell.split()) for cell in some) / len(some)
    return letters > 0.7 and words >= 3


def read_lines(path: Path, encoding: str | None, raised: limits.Raised) -> list[str]:
    """The lines of a text file, stripped. Only a line feed ends a line, so that two files stay aligned.

    Errors, one line each: no such file, no text, bytes that are not in the encoding (where they stand).
    """
    if not _is_file(path):
        raise GliaError(f"no such file: {path}")
    file = look(path, encoding, raised)
    expected = "utf-8" if file.guessed else file.encoding
    with complain(path), open_bytes(path) as raw:
        content = raw.read()
    try:
        text = content.decode(expected)
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        byte = fault.start - content.rfind(b"\n", 0, fault.start)
        raise GliaError(
            f"{path}, line {line}, byte {byte}: not {expected}", got=f"byte {content[fault.start]:#04x}",
            hint=f"--encoding {file.encoding}" if file.guessed else "--encoding utf-8",
        ) from None  # fmt: skip
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.strip() for line in lines]


def read_pairs(source: Any, columns: tuple[str, str] | None, options: ReadOptions) -> Pairs:
    """All pairs of a source. columns: of a table the one with the texts and that with their translations.

    Errors: files of unequal lengths (the first line that has no partner), columns that are not there.
    """
    files = two_files(source)
    if files is not None:
        texts, said = (read_lines(path, options.encoding, options.limits) for path in files)
        if len(texts) != len(said):
            shorter, longer = sorted(zip((len(texts), len(said)), files), key=lambda one: one[0])
            raise GliaError(
                f"{longer[1]}, line {shorter[0] + 1} has no partner", got=f"{len(texts)} and {len(said)} lines",
                expected=f"as many lines in {shorter[1]}",
            )  # fmt: skip
        names = _endings(files)
        return Pairs(", ".join(str(one) for one in files), names, texts, said, np.arange(len(texts)))
    if isinstance(source, str | Path) and not is_table(source) and _is_file(source) and columns is None:
        raise GliaError(
            f"{source} is one file of texts", expected="texts and their translations",
            hint=f"two files, such as {Path(source).name},OTHER, or a table with two columns",
        )  # fmt: skip
    piece = read(open_table(source, options), options.limits)
    if columns is None:
        raise GliaError(f"which columns of {piece.name} are pairs is not said", hint="--text COLUMN --target COLUMN")
    texts, said = (piece.column(name).cast(pl.String).fill_null("").to_list() for name in columns)
    return Pairs(piece.name, columns, texts, said, piece.rows, first=0)


def read_texts(source: Any, column: str, options: ReadOptions) -> tuple[list[str], int]:
    """Texts to translate: lines of a file, a list, or a column of a table; and the number of the first one."""
    files = two_files(source)
    if files is not None:
        return read_lines(files[0], options.encoding, options.limits), 1
    if isinstance(source, list):
        if not all(isinstance(one, str) for one in source):
            raise GliaError("texts to translate", got="a list of other things", expected="a list of texts")
        return [one.strip() for one in source], 1
    if not is_table(source):
        return read_lines(Path(source), options.encoding, options.limits), 1
    piece = read(open_table(source, options), options.limits)
    return piece.column(column).cast(pl.String).fill_null("").to_list(), 0


def columns_of(data: "Data", options: ReadOptions) -> tuple[str, str] | None:
    """The columns with the texts and with their translations; None for files."""
    if two_files(data.source) is not None or not is_table(data.source):
        return None
    names = open_table(data.source, options).columns
    if len(data.target) > 1:
        raise GliaError("a translation has one target", got=", ".join(data.target))
    target = data.target[0] if data.target else None
    if target is not None and target not in names and target.isdigit() and int(target) < len(names):
        target = names[int(target)]
    head = _beginning(data.source, data)
    free = [name for name in names if _is_free(head.get(name, []))] or list(names)
    free = free if len(names) > 2 else list(names)
    text = data.text or next((name for name in free if name != target), None)
    target = target or next((name for name in free if name != text), None)
    if text is None or target is None or text == target or len({*free, text, target}) > 2 and not data.target:
        raise GliaError(
            "which columns are texts and translations is not clear", got=f"columns {', '.join(names[:8])}",
            hint="--text COLUMN --target COLUMN",
        )  # fmt: skip
    return text, target


def _endings(files: tuple[Path, Path]) -> tuple[str, str]:
    """``train.en`` is called "en"; "source" and "target" where the ends say nothing."""
    ends = []
    for path in files:
        name = path.name.removesuffix(".gz")
        ends.append(name.rpartition(".")[2] if "." in name else "")
    return (ends[0], ends[1]) if all(ends) and ends[0] != ends[1] else ("source", "target")
