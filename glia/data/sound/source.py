"""What is a source of sounds, and which files with which labels it holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glia import limits
from glia.data.images.listed import How
from glia.data.images.listing import Listing, by_class_folders, holds_pictures
from glia.data.images.pathtable import PathTable, by_table, names_pictures
from glia.data.sound.decode import SUFFIXES, is_sound_name
from glia.data.tables.source import ReadOptions
from glia.errors import GliaError

THINGS = "sounds"


def is_sound_source(source: Any, raised: limits.Raised = limits.USUAL) -> bool:
    """Whether a source holds sounds: files of them in a folder or a list, or a table that names some."""
    if isinstance(source, (list, tuple)):
        return bool(source) and all(isinstance(item, (str, Path)) and is_sound_name(Path(item)) for item in source)
    if not isinstance(source, (str, Path)):
        return _names_some(source, raised) if hasattr(source, "columns") else False
    path = Path(source)
    if path.is_dir():
        return holds_pictures(path, is_sound_name)
    if is_sound_name(path) or not path.is_file():
        return is_sound_name(path)
    return _names_some(source, raised)


def _names_some(source: Any, raised: limits.Raised) -> bool:
    try:
        return names_pictures(source, ReadOptions(limits=dict(raised)), SUFFIXES)
    except GliaError:  # not a table either; whoever reads it as one says why
        return False


def listing(source: Any, how: How, labelled: bool = True) -> Listing:
    """The sounds of a folder of class folders, of a table of paths, or (`labelled=False`) of any folder or files."""
    if isinstance(source, (list, tuple)):
        return _plain([Path(item) for item in source], labelled)
    path = Path(source) if isinstance(source, (str, Path)) else None
    if path is not None and path.is_dir():
        if how.group:
            raise GliaError("class folders have no columns to group by", got=f"group={how.group}", hint="a CSV file")
        return by_class_folders(path, how.target[0] if how.target else "class", is_sound_name, THINGS)
    if path is not None and is_sound_name(path):
        return _plain([path], labelled)
    table = PathTable(how.options, how.target, how.group, how.drop, SUFFIXES, "sound")
    return by_table(source, table, labelled)


def _plain(paths: Sequence[Path], labelled: bool) -> Listing:
    if labelled:
        raise GliaError("these sounds have no labels", expected="class folders, or a table with a column of labels")
    return Listing(paths[0].parent, list(paths), {}, [""] * len(paths))
