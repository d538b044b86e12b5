"""Rows of separated text, a block of whole rows at a time: by polars where the quotes are as they should be, otherwise
by Python's csv module, which knows the line of each row and refuses what cannot be read.

Both give the same cells. A block goes to polars only if it can be shown that they do: every quote opens or closes a
cell or is doubled, no line ends in a lone carriage return, and each row has as many cells as there are names.
"""

import io
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glia.data.tables.source import Int64s
from glia.data.tables.textfile import TextFile, complain, open_bytes

BLOCK_BYTES = 1 << 20
_QUOTE, _NEWLINE, _RETURN = b'"', b"\n", b"\r"

Bytes = NDArray[np.uint8]
Strict = Callable[[Iterable[str], int], Iterator[tuple[list[str], int]]]
"""(lines, lines before them) -> each row with the line that it ends on, read by Python's csv module."""


def blocks(
    file: TextFile, names: tuple[str, ...], separator: str, most: int, strict: Strict, size: int = BLOCK_BYTES
) -> Iterator[tuple[pl.DataFrame | list[list[str]], Int64s]]:
    """Cells as they stand, a frame of text or what `strict` gave, with the line that each row ends on.

    most: characters of a cell. strict: raises for what is damaged; may leave rows out. size: bytes of a block.
    """
    text = _Text(file, size)
    with complain(file.path):
        while text.more():
            found = _plain(text.held, separator, len(names), most, ended=text.ended)
            frame = None if found is None else _parsed(found, names, separator)
            if found is None or frame is None:
                yield from _by_hand(text, strict)
                continue
            lines = found.lines + text.before
            text.skip(found.length, found.lines_in_all)
            yield frame, lines


@dataclass
class _Text:
    """The text of a file in UTF-8, of which a block is held. before: lines before it. ended: nothing follows it."""

    file: TextFile
    size: int
    held: bytes = b""
    before: int = 0
    ended: bool = False
    _pieces: Iterator[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._pieces = self._decoded()

    def _decoded(self) -> Iterator[bytes]:
        decoder = getincrementaldecoder(self.file.encoding)()
        with open_bytes(self.file.path) as raw:
            while block := raw.read(self.size):
                yield decoder.decode(block).encode()
        yield decoder.decode(b"", final=True).encode()

    def fill(self) -> bool:
        """Hold a piece more; False where there is none."""
        piece = next(self._pieces, None)
        self.ended = piece is None
        self.held += piece or b""
        return piece is not None

    def more(self) -> bool:
        """Hold at least a block, if there is so much."""
        while not self.ended and len(self.held) < self.size:
            self.fill()
        return bool(self.held)

    def skip(self, length: int, lines: int) -> None:
        self.held, self.before = self.held[length:], self.before + lines


@dataclass(frozen=True)
class _Found:
    """Whole rows at the beginning of a block. data: as polars is to read them. length: their bytes in the block."""

    data: bytes
    quoted: bool
    length: int
    lines: Int64s
    lines_in_all: int


def _plain(held: bytes, separator: str, width: int, most: int, *, ended: bool) -> _Found | None:
    """The rows of a block that polars reads as the csv module does; None where that cannot be shown."""
    if width < 2 or not separator.isascii():
        return None  # in a table of one column an empty line may be an empty cell
    data, added = (held + _NEWLINE, 1) if ended and not held.endswith(_NEWLINE) else (held, 0)
    if _RETURN in data and data.count(_RETURN) != data.count(_RETURN + _NEWLINE):
        return None
    found = (_of_quoted if _QUOTE in data else _of_bare)(data, separator, width, most)
    return None if found is None else _Found(*found[:2], found[2] - added * (found[2] == len(data)), *found[3:])


def _of_bare(data: bytes, separator: str, width: int, most: int) -> tuple[bytes, bool, int, Int64s, int] | None:
    """Without quotes. Rows that are too long are refused by polars, so right counts in all mean right counts a row."""
    length = data.rfind(_NEWLINE) + 1
    data = data[:length]
    rows = data.count(_NEWLINE)
    if not rows or data.count(separator.encode()) != rows * (width - 1):
        return None
    half = max(most // 2, 1)  # a row of more than `most` bytes covers one such stretch wholly
    if any(data.find(_NEWLINE, start, start + half) < 0 for start in range(0, length - half, half)):
        return None
    return data.replace(_RETURN, b""), False, length, np.arange(1, rows + 1), rows


def _of_quoted(data: bytes, separator: str, width: int, most: int) -> tuple[bytes, bool, int, Int64s, int] | None:
    """With quotes, of which every second one closes: doubled ones close and open again."""
    raw = np.frombuffer(data, dtype=np.uint8)
    quotes, newlines = _places(data, _QUOTE), _places(data, _NEWLINE)
    outside = np.searchsorted(quotes, newlines) % 2 == 0
    if not outside.any():
        return None
    length = int(newlines[outside][-1]) + 1
    quotes, inside = quotes[quotes < length], newlines < length
    newlines, outside = newlines[inside], outside[inside]
    opening, closing = quotes[::2], quotes[1::2]
    edges = np.zeros(256, dtype=bool)
    edges[[ord(separator), ord(_NEWLINE)]] = True
    begins = (opening == 0) | edges[raw[opening - 1]]  # of the first, -1 is the last byte: it counts for nothing
    begins[1:] |= opening[1:] == closing[:-1] + 1
    edges[ord(_RETURN)] = True
    ends = edges[raw[closing + 1]]
    ends[:-1] |= opening[1:] == closing[:-1] + 1
    if not begins.all() or not ends.all():
        return None
    returns = _places(data[:length], _RETURN)
    separators = _places(data[:length], separator.encode())
    separators = separators[np.searchsorted(quotes, separators) % 2 == 0]
    rows = newlines[outside]
    cells = np.diff(np.searchsorted(separators, rows), prepend=0)
    if (cells != width - 1).any() or (np.searchsorted(quotes, returns) % 2).any():
        return None
    if length > most and int(np.diff(rows, prepend=-1).max()) > most:
        return None
    return data[:length].replace(_RETURN, b""), True, length, np.flatnonzero(outside) + 1, len(newlines)


def _places(data: bytes, sign: bytes) -> Int64s:
    return np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == sign[0])


def _parsed(found: _Found, names: tuple[str, ...], separator: str) -> pl.DataFrame | None:
    """The cells as polars reads them; None where it does not."""
    try:
        frame = pl.read_csv(
            found.data, has_header=False, separator=separator, quote_char='"' if found.quoted else None,
            schema=dict.fromkeys(names, pl.String)
        )  # fmt: skip
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    return frame if frame.height == len(found.lines) else None


def _by_hand(text: _Text, strict: Strict) -> Iterator[tuple[list[list[str]], Int64s]]:
    """The rows of a block, and as much of what follows as the last of them takes."""
    block, taken, lines = len(text.held), 0, 0

    def one_by_one() -> Iterator[str]:
        nonlocal taken, lines
        while taken < len(text.held) or text.fill():
            for line in io.StringIO(text.held[taken:].decode(), newline=""):
                size = len(line.encode())
                last = taken + size == len(text.held)
                if last and not line.endswith("\n") and text.fill():
                    break  # its end, or the other half of it, may follow
                taken, lines = taken + size, lines + 1
                yield line

    rows: list[list[str]] = []
    where: list[int] = []
    for row, line in strict(one_by_one(), text.before):
        rows.append(row)
        where.append(line)
        if taken >= block and not (text.ended and taken == len(text.held)):
            break  # of the last row of all, the reader is to see that nothing follows
    text.skip(taken, lines)
    if rows:
        yield rows, np.array(where)
