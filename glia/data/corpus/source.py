"""Where a corpus comes from: files of plain text, read piece by piece, so that no size is too large."""

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from glia import limits
from glia.data.tables.textfile import complain, open_bytes
from glia.errors import GliaError

ENDINGS = (".txt", ".md", ".txt.gz", ".md.gz")
PIECE = 1 << 20  # characters that are read and made tokens at a time
_LOOK = 1 << 16  # bytes that show whether a file is a table
_SEPARATORS = "\t;|,"

Texts = Iterator[str]


def is_corpus_source(data: Any) -> bool:
    """Whether the settings (glia.recipe.Data) mean a corpus: a file of plain text that is no table, and no target."""
    source, other = data.source, (data.target, data.time, data.separator, data.decimal, data.header, data.kinds)
    if not isinstance(source, str | Path) or any(one not in (None, (), {}) for one in other):
        return False
    if data.task != "auto" or getattr(data, "text", None) is not None or data.horizon is not None:
        return False
    path = Path(source)
    return path.name.lower().endswith(ENDINGS) and path.is_file() and not _like_a_table(path)


def _like_a_table(path: Path) -> bool:
    """Do all lines hold the same number of some separator? A comma before a space is one of prose."""
    with complain(path), open_bytes(path) as file:
        lines = [line for line in file.read(_LOOK).split(b"\n")[:-1] if line.strip()][:200]
    counts = [Counter(line.decode("utf-8", "replace").replace(", ", " ")) for line in lines]
    return len(counts) > 1 and any(
        len({count[sign] for count in counts}) == 1 and counts[0][sign] for sign in _SEPARATORS
    )


def corpus_files(source: Any) -> list[Path]:
    """The files of a source: the file itself, or those of a folder in the order of their names. Raises GliaError."""
    if not isinstance(source, str | Path):
        raise GliaError("a corpus is read from files", got=type(source).__name__, expected="a .txt file, or a folder")
    path = Path(source)
    if path.is_dir():
        found = sorted(one for one in path.rglob("*") if one.name.lower().endswith(ENDINGS) and one.is_file())
        if not found:
            raise GliaError(f"no text in {path}", expected=f"files that end in {', '.join(ENDINGS)}")
        return found
    if not path.is_file():
        raise GliaError(f"no such file: {path}", expected="a file of text, or a folder of .txt files")
    return [path]


def read_pieces(files: Iterable[Path], encoding: str | None = None, raised: limits.Raised = limits.USUAL) -> Texts:
    """The text of the files, one after the other, in pieces that end with a line where lines are not endless.

    Line ends are made "\\n"; each file ends with one. Raises GliaError with the byte of what is no text.
    """
    for path in files:
        held: list[str] = []
        length, end = 0, "\n"
        for text in _decoded(path, encoding, raised):
            held.append(text)
            length, end = length + len(text), text[-1:] or end
            if length >= PIECE:
                whole = "".join(held)
                cut = whole.rfind("\n") + 1 or len(whole)
                yield whole[:cut]
                held, length = [whole[cut:]], len(whole) - cut
        rest = "".join(held) + ("" if end == "\n" else "\n")
        if rest:
            yield rest


def between(pieces: Iterable[str], low: int, high: int) -> Texts:
    """Of texts one after the other, the characters from `low` to before `high`."""
    at = 0
    for piece in pieces:
        some = piece[max(low - at, 0) : max(high - at, 0)]
        if some:
            yield some
        at += len(piece)
        if at >= high:
            return


def _decoded(path: Path, encoding: str | None, raised: limits.Raised) -> Texts:
    """Pieces of at most 1 MiB of a file, decoded, every line end a "\\n"."""
    try:
        decoder = codecs.getincrementaldecoder(encoding or "utf-8-sig")()
    except LookupError:
        raise GliaError(f"unknown encoding {encoding!r}", expected="such as utf-8, utf-16, cp1252, latin-1") from None
    packed, at, waiting = path.stat().st_size, 0, ""
    with complain(path), open_bytes(path) as file:
        while True:
            raw = file.read(1 << 20)
            if b"\0" in raw and not (encoding or "").lower().startswith(("utf-16", "utf-32", "utf_16", "utf_32")):
                place = at + raw.index(b"\0")
                raise GliaError(f"{path} is not text", got=f"a zero byte at byte {place}", expected="a file of text")
            before = len(decoder.getstate()[0])
            try:
                text = waiting + decoder.decode(raw, final=not raw)
            except UnicodeDecodeError as fault:
                place, got = at - before + fault.start, fault.object[fault.start : fault.start + 4]
                what = f"{path}, byte {place}: not {encoding or 'UTF-8'}"
                raise GliaError(what, got=repr(got), hint="mend it, or encoding=cp1252 if it is written so") from None
            at += len(raw)
            if at > packed * limits.most("zip_ratio", raised) and at > 1 << 24:
                raise limits.exceeded("zip_ratio", at // max(packed, 1), path, raised)
            waiting = "\r" if raw and text.endswith("\r") else ""  # its "\n" may come next
            yield (text[:-1] if waiting else text).replace("\r\n", "\n").replace("\r", "\n")
            if not raw:
                return
