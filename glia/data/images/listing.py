"""Which pictures (or sounds) a folder holds, with their labels; in an order that no file system decides."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from glia.data.images.decode import is_picture_name
from glia.errors import GliaError

PARTS = {
    "train": "train", "training": "train",
    "valid": "valid", "val": "valid", "validation": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
_NO_FOLDERS = frozenset({"__MACOSX", "__pycache__"})

Wanted = Callable[[Path], bool]
"""Whether a file is of the kind that is looked for, by its name."""


@dataclass(frozen=True)
class Listing:
    """Picture files and what is known of each; all lists have one item a file.

    answers: a list of texts for each target; empty when there are none. parts: "train", "valid", "test", or "" where
    the source does not say. groups: texts, or None.
    """

    root: Path
    paths: list[Path]
    answers: dict[str, list[str]]
    parts: list[str]
    groups: list[str] | None = None
    rows: list[int] | None = None  # of the table that names the files
    layout: str = "class folders"
    dropped: tuple[dict[str, object], ...] = ()
    notes: tuple[str, ...] = ()
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.names:
            object.__setattr__(self, "names", [_name(path, self.root) for path in self.paths])

    def only(self, index: Sequence[int]) -> "Listing":
        """The pictures at `index`, in that order."""
        return replace(
            self,
            paths=[self.paths[i] for i in index],
            answers={target: [cells[i] for i in index] for target, cells in self.answers.items()},
            parts=[self.parts[i] for i in index],
            groups=self.groups and [self.groups[i] for i in index],
            rows=self.rows and [self.rows[i] for i in index],
            names=[self.names[i] for i in index],
        )


def joined(first: Listing, second: Listing) -> Listing:
    """The pictures of two listings, those of the second named by their folder too."""
    if list(first.answers) != list(second.answers):
        got = ", ".join(second.answers)
        raise GliaError(f"{second.root} has other labels", got=got, expected=", ".join(first.answers))
    groups = None if first.groups is None else [*first.groups, *(second.groups or [])]
    return replace(
        first,
        paths=[*first.paths, *second.paths],
        answers={target: [*cells, *second.answers[target]] for target, cells in first.answers.items()},
        parts=[*first.parts, *second.parts],
        groups=groups,
        rows=None,
        dropped=(*first.dropped, *second.dropped),
        notes=(*first.notes, *second.notes),
        names=[*first.names, *(f"{printable(second.root.name)}/{name}" for name in second.names)],
    )


def natural(text: str) -> tuple[object, ...]:
    """Sort key by which "img2" comes before "img10"."""
    pieces = re.split(r"([0-9]+)", text.casefold())
    # A number by its length, then its digits: it may have more of them than Python turns into an int.
    return tuple(_value(piece) if i % 2 else piece for i, piece in enumerate(pieces)), text


def _value(digits: str) -> tuple[int, str]:
    plain = digits.lstrip("0")
    return len(plain), plain


def by_class_folders(
    root: Path, target: str = "class", wanted: Wanted = is_picture_name, things: str = "pictures"
) -> Listing:
    """Pictures of a folder of class folders, or of train/, valid/ and test/ folders of class folders.

    wanted, things: which files, and what people call them, where they are no pictures.
    """
    root, notes = _unwrapped(root, wanted)
    tops = {PARTS[f.name.lower()]: f for f in folders(root) if f.name.lower() in PARTS}
    if "train" not in tops or not folders(tops["train"]):
        tops = {"": root}
    found: list[tuple[Path, str, str]] = []  # picture, class, part
    other = loose = 0
    for part, top in tops.items():
        before = len(found)
        for folder in folders(top):
            pictures, ignored = _walk(folder, wanted)
            other += ignored
            found += [(picture, printable(folder.name), part) for picture in pictures]
            if not pictures:
                notes.append(f"Folder {_name(folder, root)}/ holds no {things} and makes no class.")
        outside = [f for f in top.iterdir() if f.is_file() and not f.name.startswith(".")]
        loose += sum(map(wanted, outside))
        other += sum(not wanted(f) for f in outside)
        if part and len(found) == before:
            notes.append(f"{top.name}/ has no class folders with {things}, so it is no {part} part.")
    if not found:
        what = f"no class folders with {things} in {root}"
        raise GliaError(what, expected="a folder for each class", hint="a CSV file of paths and labels")
    dropped = [dropped_card("files", f"not {things} by their names", other)] if other else []
    if loose:
        dropped.append(dropped_card(f"{things} outside class folders", "they have no class", loose))
    paths, classes, parts = (list(column) for column in zip(*found))
    return Listing(root, paths, {target: classes}, parts, dropped=tuple(dropped), notes=tuple(notes))


def any_pictures(root: Path, wanted: Wanted = is_picture_name) -> list[Path]:
    """Every picture below a folder, at any depth."""
    return _walk(root, wanted)[0]


def holds_pictures(root: Path, wanted: Wanted = is_picture_name) -> bool:
    """Whether there is any picture below; stops at the first."""
    return any(map(wanted, _files(root, set())))


def test_folder(root: Path) -> Path:
    """The test folder of a folder that has one beside its train folder; otherwise the folder itself."""
    parts = {PARTS[f.name.lower()]: f for f in folders(root) if f.name.lower() in PARTS}
    return parts["test"] if "train" in parts and "test" in parts and folders(parts["test"]) else root


def class_of(path: Path, root: Path) -> str:
    """The class folder that a picture lies in: the first below `root`, or below its train, valid or test folder."""
    folders = path.relative_to(root).parts[:-1]
    if len(folders) > 1 and folders[0].lower() in PARTS:
        folders = folders[1:]
    if not folders:
        raise GliaError(f"{_name(path, root)} lies in no class folder, so its class is unknown", hint="class folders")
    return printable(folders[0])


def _unwrapped(root: Path, wanted: Wanted) -> tuple[Path, list[str]]:
    """The folder inside a folder that holds nothing else, as unpacked archives often are."""
    notes = []
    for _ in range(3):
        inner = folders(root)
        if len(inner) != 1 or not folders(inner[0]) or inner[0].name.lower() in PARTS:
            break
        if any(wanted(f) for f in (*root.iterdir(), *inner[0].iterdir()) if f.is_file()):
            break
        root = inner[0]
        notes.append(f"The classes are the folders inside {root.name}/, the only folder there.")
    return root, notes


def folders(root: Path) -> list[Path]:
    """The folders in a folder, hidden ones apart, sorted naturally."""
    try:
        inner = [f for f in root.iterdir() if f.is_dir() and f.name not in _NO_FOLDERS and not f.name.startswith(".")]
    except OSError as error:
        raise GliaError(f"cannot look into {root}", got=error.strerror or error) from None
    return sorted(inner, key=lambda f: natural(f.name))


def _walk(folder: Path, wanted: Wanted) -> tuple[list[Path], int]:
    """All pictures below, sorted naturally, and how many other files lie among them."""
    files = list(_files(folder, set()))
    pictures = [f for f in files if wanted(f)]
    pictures.sort(key=lambda f: natural(f.relative_to(folder).as_posix()))
    return pictures, sum(not f.name.startswith(".") for f in files) - len(pictures)


def _files(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Files at any depth; links to folders are followed, though never twice."""
    real = folder.resolve()
    if real in seen:
        return
    seen.add(real)
    try:
        entries = [(entry, entry.is_dir(), entry.is_file()) for entry in os.scandir(folder)]
    except OSError as error:
        raise GliaError(f"cannot look into {folder}", got=error.strerror or error) from None
    for entry, is_folder, is_file in sorted(entries, key=lambda item: item[0].name):
        if is_folder:
            if entry.name not in _NO_FOLDERS and not entry.name.startswith("."):
                yield from _files(Path(entry.path), seen)
        elif is_file:
            yield Path(entry.path)


def _name(path: Path, root: Path) -> str:
    inside = path.relative_to(root) if path.is_relative_to(root) else path
    return printable(inside.as_posix())


def printable(name: str) -> str:
    """A file's name that can be printed and stored: bytes that are not UTF-8 are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def dropped_card(what: str, why: str, count: int) -> dict[str, object]:
    return {"what": what, "why": why, "count": count}
