"""A folder of class folders with .txt files, or of train, valid and test folders of such."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from glia import limits
from glia.data.images.listing import PARTS, natural, printable
from glia.data.tables.source import Opened, Piece, ReadOptions
from glia.errors import GliaError

_MOST_TOLD = 5  # files that a message names


def is_text_folder(root: Path) -> bool:
    """Whether class folders hold .txt files."""
    return next(_files(root), None) is not None


def open_folder(root: Path, column: str, options: ReadOptions) -> Opened:
    """Columns: `column`, "class" (the folder), "part" ("train", "valid", "test" or ""), "file" (below `root`).

    format["unread"]: files that are not text, with the reason; they have no row. Rows are numbered by sorted name, over
    all parts. Files that lie directly in `root` have no class; they are read where there are no class folders at all.
    """
    listed = sorted(_files(root), key=lambda path: natural(path.relative_to(root).as_posix()))
    loose = not listed
    listed = listed or sorted(root.glob("*.txt"), key=lambda path: natural(path.name))
    if not listed:
        raise GliaError(f"no .txt files in {root}", expected="a folder for each class, with .txt files in it")
    texts, kept, unread = list[str](), list[Path](), list[str]()
    for path in listed:
        try:
            texts.append(_read(path, options))
            kept.append(path)
        except GliaError as fault:
            unread.append(str(fault))
    if not kept:
        raise GliaError(f"none of the {len(listed)} .txt files in {root} can be read", got=unread[0])
    places = [path.relative_to(root).parts for path in kept]
    parts = [PARTS.get(place[0].lower(), "") if len(place) > 2 else "" for place in places]
    classes = [None if loose else printable(place[1 if part else 0]) for place, part in zip(places, parts)]
    frame = pl.DataFrame(
        {column: texts, "class": classes, "part": parts, "file": [printable("/".join(place)) for place in places]},
        schema={column: pl.String, "class": pl.String, "part": pl.String, "file": pl.String},
    )

    def pieces(rows: int) -> Iterator[Piece]:
        for start in range(0, frame.height, rows):
            some = frame[start : start + rows]
            yield Piece(str(root), ".", some, np.arange(start, start + some.height))

    form = {"format": "folder of texts", "files": len(listed), "unread": unread}
    return Opened(str(root), ".", tuple(frame.columns), form, pieces, targets=("class",))


def check_unread(opened: Opened, share: float) -> tuple[str, ...]:
    """What people should hear of files that could not be read. Errors: more than `share` of all."""
    unread = opened.format.get("unread", [])
    if not unread:
        return ()
    files = opened.format["files"]
    told = "; ".join(unread[:_MOST_TOLD])
    if len(unread) > share * files:
        raise GliaError(f"{len(unread)} of {files} files cannot be read: {told}", hint="mend them, or raise bad_limit")
    return (f"{len(unread)} of {files} files cannot be read and are left out: {told}",)


def _files(root: Path) -> Iterator[Path]:
    """The .txt files of class folders."""
    for top in root.iterdir():
        if not top.is_dir() or top.name.startswith("."):
            continue
        inner = [folder for folder in top.iterdir() if folder.is_dir()] if top.name.lower() in PARTS else []
        for folder in inner or [top]:
            yield from (path for path in folder.rglob("*.txt") if path.is_file())


def _read(path: Path, options: ReadOptions) -> str:
    """One text, without the white space around it."""
    try:
        size = path.stat().st_size
        limits.check("cell_chars", size // 4, path, options.limits)  # a sign has four bytes at most
        text = path.read_bytes().decode(options.encoding or "utf-8-sig").strip()
    except UnicodeDecodeError as fault:
        got = fault.object[fault.start : fault.start + 4]
        raise GliaError(f"{path}, byte {fault.start}: not {fault.encoding.upper()}", got=repr(got)) from None
    except (OSError, LookupError) as fault:
        raise GliaError(f"cannot read {path}", got=fault) from None
    limits.check("cell_chars", len(text), path, options.limits)
    return text
