"""Which folders are clips, with their labels: root/class/clip/frame, the same below train, valid and test, or a table
with a column of clip folders. A clip is a folder that holds frames; its frames are in the natural order of their names.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from glia import limits
from glia.data.images.decode import is_picture_name
from glia.data.images.listed import How
from glia.data.images.listing import PARTS, Listing, dropped_card, folders, natural, printable
from glia.data.images.pathtable import PathTable, by_table
from glia.data.tables.read import open_table
from glia.data.tables.source import ReadOptions
from glia.errors import GliaError

THINGS = "clips"
ROWS = 20  # of a table that show whether it names clips
LOOK = 3  # clips of a class that show whether its folders are clips
STEADY = 0.8  # share of the steps between frames' numbers that are the usual one


def is_video_source(source: Any, raised: limits.Raised = limits.USUAL) -> bool:
    """Class folders whose folders hold numbered frames and nothing else, or a table of such folders.

    Pictures may lie in folders inside their class's too, so structure alone does not tell: frames are called alike but
    for a number that goes up in even steps, and begins anew in each folder. No picture lies in a class folder itself.
    """
    path = Path(source) if isinstance(source, (str, Path)) else None
    if path is not None and path.is_dir():
        return _holds_clips(path)
    if path is not None and not path.is_file() or path is None and not hasattr(source, "columns"):
        return False
    try:
        return _names_clips(source, raised)
    except GliaError:  # not a table either; whoever reads it as one says why
        return False


def frames_of(clip: Path) -> list[Path]:
    """The frames that lie in a folder, in their order."""
    found = (file for file in clip.iterdir() if is_picture_name(file) and file.is_file())
    return sorted(found, key=lambda file: natural(file.name))


def is_clip(path: Path) -> bool:
    """A folder with a picture in it."""
    try:
        return path.is_dir() and any(is_picture_name(file) for file in path.iterdir())
    except OSError:  # a cell of text that is too long for a name, or no right to look
        return False


def listing(source: Any, how: How, labelled: bool = True) -> Listing:
    """The clips of a folder of class folders, of a table, or (`labelled=False`) of any folder or list of folders."""
    if isinstance(source, (list, tuple)):
        return _plain([Path(item) for item in source], Path(), labelled)
    path = Path(source) if isinstance(source, (str, Path)) else None
    if path is not None and path.is_dir():
        if how.group:
            raise GliaError("class folders have no columns to group by", got=f"group={how.group}", hint="a CSV file")
        if labelled:
            return by_class_folders(path, how.target[0] if how.target else "class")
        return _plain(list(clips_below(path)), path, labelled)
    return by_table(
        source, PathTable(how.options, how.target, how.group, how.drop, things="clip", wanted=is_clip), labelled
    )


def by_class_folders(root: Path, target: str = "class") -> Listing:
    """Clips of class folders. A folder at the end of a branch is a clip too where it holds no frame: a broken one."""
    tops = _tops(root)
    found, loose = [], 0
    for part, top in tops.items():
        for kind in folders(top):
            loose += len(frames_of(kind))
            found += [(clip, printable(kind.name), part) for inner in folders(kind) for clip in clips_below(inner)]
    if not found:
        what = f"no clips in {root}"
        raise GliaError(what, expected="a folder for each class, in it a folder of frames for each clip")
    dropped = (dropped_card("pictures outside clip folders", "they belong to no clip", loose),) if loose else ()
    paths, classes, parts = (list(column) for column in zip(*found))
    return Listing(root, paths, {target: classes}, parts, layout="class folders of clips", dropped=dropped)


def test_tops(root: Path) -> Path:
    """The test folder of a folder that has one beside its train folder; otherwise the folder itself."""
    return _tops(root).get("test", root)


def clips_below(folder: Path, seen: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """The folder itself and those below it, where they hold frames or are the end of a branch.

    seen: the folders above, which links may lead back to.
    """
    inner, seen = folders(folder), seen | {folder.resolve()}
    if not inner or is_clip(folder):
        yield folder
    for one in inner:
        if one.resolve() not in seen:
            yield from clips_below(one, seen)


def _tops(root: Path) -> dict[str, Path]:
    """The folders of class folders, by part; "" where the source does not say."""
    while len(inner := folders(root)) == 1 and _only_classes(inner[0]):
        root = inner[0]  # an unpacked archive
    parts = {PARTS[one.name.lower()]: one for one in folders(root) if one.name.lower() in PARTS}
    return parts if "train" in parts and folders(parts["train"]) else {"": root}


def _only_classes(folder: Path) -> bool:
    """Do its folders hold folders, and no pictures?"""
    return bool(kinds := folders(folder)) and all(folders(kind) and not is_clip(kind) for kind in kinds)


def _holds_clips(root: Path) -> bool:
    kinds = [kind for kind in folders(next(iter(_tops(root).values()))) if is_clip(kind) or folders(kind)]
    if len(kinds) < 2 or any(map(is_clip, kinds)):
        return False
    seen = []
    for kind in kinds:
        some = [clip for clip in folders(kind) if is_clip(clip)][:LOOK]
        first = [_numbered([file.stem + file.suffix.lower() for file in frames_of(clip)]) for clip in some]
        if not first or None in first:
            return False
        seen += first
    return len(set(seen)) == 1


def _names_clips(source: Any, raised: limits.Raised) -> bool:
    """Does a column of a table, in its first rows, name another folder of frames in each?"""
    root = Path(source).parent if isinstance(source, (str, Path)) else Path()
    for piece in open_table(source, ReadOptions(limits=dict(raised))).pieces(ROWS):
        for column in piece.frame.head(ROWS).select(pl.col(pl.String)):
            cells = column.drop_nulls().to_list()
            if cells and len(set(cells)) == len(cells) and all(is_clip(root / cell) for cell in cells):
                return True
        break
    return False


def _numbered(names: Sequence[str]) -> int | None:
    """The number that frames begin with; None where these are no numbered frames."""
    parsed = [re.fullmatch(r"(.*?)([0-9]{1,15})([^0-9]*)", name) for name in names]
    matches = [match for match in parsed if match is not None]
    if len(names) < 2 or len(matches) < len(names) or len({(m[1], m[3]) for m in matches}) > 1:
        return None
    numbers = sorted(int(match[2]) for match in matches)
    steps = Counter(after - before for before, after in zip(numbers, numbers[1:]))
    return numbers[0] if steps.most_common(1)[0][1] >= STEADY * (len(numbers) - 1) and 0 not in steps else None


def _plain(paths: list[Path], root: Path, labelled: bool) -> Listing:
    if labelled:
        raise GliaError("these clips have no labels", expected="class folders, or a table with a column of labels")
    return Listing(root, paths, {}, [""] * len(paths), names=[_called(path, root) for path in paths])


def _called(path: Path, root: Path) -> str:
    inside = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    return printable(path.name if inside == "." else inside)
