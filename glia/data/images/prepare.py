"""Pictures to Prepared: folders of classes, tables of paths, arrays; one call."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glia import limits
from glia.data.batches import Batches, threads_ahead
from glia.data.facts import ImageFacts
from glia.data.images.arrayfiles import Arrays, Part, is_array_source, open_arrays
from glia.data.images.augment import Augment, by_name
from glia.data.images.card import image_card
from glia.data.images.choice import chosen
from glia.data.images.decode import is_picture_name
from glia.data.images.labels import encode, kind_of, sorted_classes, task_of
from glia.data.images.listed import How, listed, lot
from glia.data.images.listing import Listing, by_class_folders, holds_pictures
from glia.data.images.parts import Division, conflicting, divide
from glia.data.images.pathtable import PathTable, by_table, names_pictures
from glia.data.images.pictures import Int64s, Pictures, from_arrays, from_files
from glia.data.images.reader import ImageReader
from glia.data.prepared import Prepared
from glia.data.tables.source import ReadOptions
from glia.data.task import Task
from glia.errors import GliaError


def is_image_source(source: Any, raised: limits.Raised = limits.USUAL) -> bool:
    """Whether a source holds pictures: arrays of them, picture files in a folder or a list, a table that names some."""
    if is_array_source(source, raised):
        return True
    if isinstance(source, (list, tuple)):
        return bool(source) and all(isinstance(item, (str, Path)) and is_picture_name(Path(item)) for item in source)
    if isinstance(source, (str, Path)):
        path = Path(source)
        if path.is_dir():
            return holds_pictures(path)
        if is_picture_name(path) or not path.is_file():
            return is_picture_name(path)
    try:
        return names_pictures(source, ReadOptions(limits=dict(raised)))
    except GliaError:  # not a table either; whoever reads it as one says why
        return False


def prepare_images(data: Any, seed: int) -> Prepared:
    """Pictures with labels, divided, decoded and measured, as the settings `data` (glia.recipe.Data) ask."""
    if data.time:
        raise GliaError("pictures cannot be divided by time", got=f"time={data.time}", hint="group= or named parts")
    pictures = _open(data, seed)
    kind = kind_of(pictures.answers, data.task, pictures.format["format"] == "class folders")
    division = divide(
        pictures.parts,
        pictures.digests,
        _strata(pictures, kind),
        pictures.groups,
        (data.valid_share, data.test_share),
        seed,
    )
    train = division.split.train
    task = task_of(pictures.answers, kind, train)
    targets = encode(pictures.answers, task, pictures.names)
    pixels = pictures.develop(train)
    mean, std = pixels.statistics(train, pictures.size)
    facts = ImageFacts(pictures.channels, *pictures.size, mean, std, len(train))
    augment, why = _augment(data.augment, facts, task)
    notes = (*pictures.notes, *division.notes, *_copies(pictures, division, kind), *why)
    card = image_card(_called(data.source), pictures, division, task, notes)
    card["augment"] = augment.to_dict() if augment else {}
    reader = ImageReader(
        pictures.channels, pictures.size, task, pixels.low, pixels.high, ReadOptions.of(data), pictures.class_names
    )

    def batches(rows: Int64s, augment: Augment | None = None) -> Batches | None:
        if not len(rows):
            return None
        index = torch.from_numpy(rows)
        numbers = torch.tensor(pictures.rows, dtype=torch.int64)[index]
        inputs = pixels.only(rows)
        return Batches(inputs, targets[index], numbers, augment, threads_ahead(data.workers, inputs, augment))

    first = batches(train, augment)
    if first is None:
        raise GliaError("no pictures are left to train on", expected="smaller valid_share and test_share")
    return Prepared(
        train=first,
        valid=batches(division.split.valid),
        test=batches(division.split.test),
        task=task,
        facts=facts,
        reader=reader.knowing(pictures.names, pictures.rows),
        card=card,
        notes=notes,
    )


def _open(data: Any, seed: int) -> Pictures:
    """The source and, where they are given, the sources of validation and test pictures."""
    if is_array_source(data.source, data.limits):
        if data.group:
            raise GliaError("arrays have no columns to group by", got=f"group={data.group}")
        found = open_arrays(data.source, data.target, raised=data.limits)
        others = {name: getattr(data, name) for name in ("valid", "test") if getattr(data, name) is not None}
        for name, source in others.items():
            held = [replace(part, name=name) for part in open_arrays(source, data.target, raised=data.limits).parts]
            found = replace(found, parts=[*(part for part in found.parts if part.name != name), *held])
        if data.limit_rows:
            found = _some_rows(found, data.limit_rows, seed)
        return from_arrays(found, data.image_size, data.target, data.task, data.bad_limit)
    listing = listed(_listing, data, ReadOptions.of(data), seed)
    return from_files(listing, data.image_size, data.bad_limit, data.limits)


def _listing(source: Any, how: How) -> Listing:
    if isinstance(source, (str, Path)) and Path(source).is_dir():
        if how.group:
            raise GliaError("class folders have no columns to group by", got=f"group={how.group}", hint="a CSV file")
        return by_class_folders(Path(source), how.target[0] if how.target else "class")
    return by_table(source, PathTable(how.options, how.target, how.group, how.drop))


def _some_rows(found: Arrays, limit: int, seed: int) -> Arrays:
    ends = np.cumsum([0] + [len(part.pictures) for part in found.parts])
    rows = np.array(lot(int(ends[-1]), limit, seed), dtype=np.int64)
    parts = []
    for part, start, end in zip(found.parts, ends, ends[1:]):
        mine = rows[(rows >= start) & (rows < end)] - start
        labels = None if part.labels is None else part.labels[mine]
        parts.append(Part(part.name, part.pictures[mine], labels))
    return replace(found, parts=parts)


def _strata(pictures: Pictures, kind: str) -> Int64s | None:
    """The class of each row, where there are classes."""
    if kind != "classify":
        return None
    cells = next(iter(pictures.answers.values()))
    place = {name: i for i, name in enumerate(sorted_classes(cells))}
    return np.array([place[cell] for cell in cells], dtype=np.int64)


def _augment(asked: str, facts: ImageFacts, task: Task) -> tuple[Augment | None, list[str]]:
    if asked == "auto":
        return chosen(facts, task.classes, facts.rows)
    return by_name(asked, len(task.classes)), []


def _copies(pictures: Pictures, division: Division, kind: str) -> Sequence[str]:
    """What people should hear of exact copies."""
    notes = []
    if division.duplicates:
        notes.append(f"{division.duplicates} pictures are exact copies of others; copies never stand in two parts.")
    different = conflicting(pictures.digests, list(zip(*pictures.answers.values()))) if kind != "regress" else 0
    if different:
        notes.append(f"{different} pictures occur with different labels.")
    return notes


def _called(source: Any) -> str:
    return str(source) if isinstance(source, (str, Path)) else f"{type(source).__name__} in memory"
