"""Text files: packed or plain, in the encodings people use, as lines."""

import gzip
import io
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder, lookup
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from glia import limits
from glia.errors import GliaError

BLOCK_BYTES = 1 << 20
SAMPLE_LINES = 500
SAMPLE_CHARS = 1 << 20
HARMLESS_BYTES = 100_000_000  # whatever unpacks to less needs no limit on its ratio
WORTH_KEEPING = 1 << 24  # bytes of a file that is not looked at again while it does not change
BLANK = b"\0 \t\r\n\f\v"


@dataclass(frozen=True)
class TextFile:
    """A text file whose packing and encoding are known."""

    path: Path
    encoding: str
    packed: bool
    guessed: bool  # the file is not valid in the encoding that was expected
    size: int  # bytes, unpacked
    most_lines: int  # it has at most so many

    def lines(self) -> Iterator[str]:
        """Lines with their ends as they stand, so that a quoted cell may hold a line end."""
        with (
            complain(self.path),
            open_bytes(self.path) as raw,
            io.TextIOWrapper(raw, encoding=self.encoding, newline="") as text,
        ):
            yield from text

    def sample(self) -> list[str]:
        """The first lines: enough to see how the file is written."""
        taken, chars = [], 0
        for line in islice(self.lines(), SAMPLE_LINES):
            taken.append(line)
            chars += len(line)
            if chars > SAMPLE_CHARS:
                break
        return taken


def look(path: Path, encoding: str | None, raised: limits.Raised, line: str = "line_chars") -> TextFile:
    """Work out packing and encoding. Reads the whole file, and holds a block of it at a time.

    raised: what of glia.limits the user raised. line: the limit that holds between two line ends.
    Errors: empty, not text at all, zeros in the text, a line without end, a small file that unpacks to a huge one.
    """
    with complain(path):
        about = path.stat()
    if about.st_size < WORTH_KEEPING:
        return _look(path, encoding, raised, line)
    return _looked(path, (about.st_size, about.st_mtime_ns, about.st_ino), encoding, tuple(raised.items()), line)


@lru_cache(maxsize=8)
def _looked(
    path: Path, state: tuple[int, ...], encoding: str | None, raised: tuple[tuple[str, int], ...], line: str
) -> TextFile:
    """What was found of a file in this state: several kinds of data look at it before one takes it."""
    return _look(path, encoding, dict(raised), line)


def _look(path: Path, encoding: str | None, raised: limits.Raised, line: str) -> TextFile:
    with complain(path), open_bytes(path) as raw:
        start = raw.read(BLOCK_BYTES)
    if not start.strip(BLANK):
        raise GliaError(f"{path} is empty", expected="a table")
    packed = is_packed(path)
    expected = _from_first_bytes(start, path) if encoding is None else _known(encoding)
    size, lines = _within_limits(path, packed, expected, raised, line)
    if encoding is not None or _decodes(path, expected):
        return TextFile(path, expected, packed, False, size, lines)
    return TextFile(path, "cp1252" if _decodes(path, "cp1252") else "latin-1", packed, True, size, lines)


def _within_limits(path: Path, packed: bool, encoding: str, raised: limits.Raised, line: str) -> tuple[int, int]:
    """Bytes, unpacked, of a text file in which nothing is beyond the limits, and how many lines it has at most."""
    wide = encoding.startswith(("utf-16", "utf-32"))
    allowed = limits.most(line, raised)
    burst = max(limits.most("zip_ratio", raised) * path.stat().st_size, HARMLESS_BYTES) if packed else None
    size = since_end = ends = returns = 0
    with complain(path), open_bytes(path) as raw:
        while block := raw.read(min(BLOCK_BYTES, allowed)):
            if not wide and b"\0" in block:
                place = ends + 1 + block[: block.index(0)].count(b"\n")
                raise GliaError(f"{path}, line {place}: a zero byte within the text", hint="the file is damaged")
            first, last = _line_ends(block)
            if since_end + (len(block) if first < 0 else first) > allowed:
                raise limits.exceeded(line, None, f"{path}, line {ends + 1}", raised)
            size += len(block)
            if burst is not None and size > burst:
                raise limits.exceeded("zip_ratio", None, path, raised)
            since_end = since_end + len(block) if last < 0 else len(block) - last - 1
            ends += block.count(b"\n")
            returns += block.count(b"\r") if b"\r" in block else 0
    return size, max(ends, returns) + 1


def _line_ends(block: bytes) -> tuple[int, int]:
    """Where the first and the last end of a line stand, of any kind; -1 where there is none."""
    firsts = [place for sign in (b"\n", b"\r") if (place := block.find(sign)) >= 0]
    return min(firsts, default=-1), max(block.rfind(b"\n"), block.rfind(b"\r"))


def is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def open_bytes(path: Path) -> BinaryIO:
    """The unpacked bytes of a file."""
    return cast(BinaryIO, gzip.open(path, "rb")) if is_packed(path) else path.open("rb")


@contextmanager
def complain(path: Path) -> Iterator[None]:
    """Faults of the file become one line that names it."""
    try:
        yield
    except UnicodeError as fault:
        raise GliaError(f"{path} is not written in that encoding", got=fault, hint="encoding=cp1252") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise GliaError(f"{path} is a damaged gzip file", got=fault, hint="fetch or pack it again") from None
    except OSError as fault:
        raise GliaError(f"cannot read {path}", got=fault.strerror or fault) from None


def _known(encoding: str) -> str:
    try:
        return lookup(encoding).name
    except LookupError:
        raise GliaError(f"unknown encoding {encoding!r}", expected="such as utf-8, utf-16, cp1252, latin-1") from None


def _from_first_bytes(start: bytes, path: Path) -> str:
    """The encoding that the first bytes promise."""
    if start.startswith(BOM_UTF8):
        return "utf-8-sig"
    if start.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return "utf-16"
    head = start[:4096]
    if b"\0" in head:
        for encoding, zeros, others in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
            if zeros.count(0) > 0.8 * len(zeros) and others.count(0) == 0:
                return encoding
    odd = sum(byte < 32 and byte not in b"\t\n\r\f\x1a" for byte in head)
    if b"\0" in head or odd > 0.02 * len(head):
        hint = "check the file; a table is CSV, TSV, JSON lines, Parquet or Arrow"
        raise GliaError(f"{path} is not text", got=f"bytes such as {head[:8]!r}", expected="a table", hint=hint)
    return "utf-8"


def _decodes(path: Path, encoding: str) -> bool:
    decoder = getincrementaldecoder(encoding)()
    with complain(path), open_bytes(path) as raw:
        while block := raw.read(BLOCK_BYTES):
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                return False
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
