"""Clips to Prepared: folders of frames in folders of classes, or a table that names them; one call."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from glia.data.batches import Batches, threads_ahead
from glia.data.facts import VideoFacts
from glia.data.images.card import class_counts, digest_of, target_column
from glia.data.images.labels import encode, kind_of, sorted_classes, task_of
from glia.data.images.listed import listed
from glia.data.images.listing import Listing, dropped_card
from glia.data.images.parts import Division, conflicting, divide
from glia.data.images.pictures import Int64s, named, within_limit
from glia.data.images.pixels import mean_std
from glia.data.prepared import Prepared
from glia.data.tables.source import ReadOptions
from glia.data.task import Task
from glia.data.video.augment import ClipAugment, by_name, chosen
from glia.data.video.frames import FileClips, Scan, Shape, chosen_shape, headers, scan
from glia.data.video.reader import VideoReader
from glia.data.video.source import THINGS, listing
from glia.errors import GliaError

SHOWN = 100  # broken clips, and frames, that the card lists


def prepare_video(data: Any, seed: int) -> Prepared:
    """Clips with labels, divided, read and measured, as the settings `data` (glia.recipe.Data) ask."""
    if data.time:
        raise GliaError("clips cannot be divided by time", got=f"time={data.time}", hint="group= or named parts")
    options = ReadOptions.of(data)
    clips = listed(listing, data, options, seed)
    shape, seen = _read(clips, data)
    good = clips.only(seen.kept)
    kind = kind_of(good.answers, data.task, good.layout != "table of paths")
    shares = data.valid_share, data.test_share
    division = divide(good.parts, seen.digests, _strata(good, kind), good.groups, shares, seed, THINGS)
    train = division.split.train
    if not len(train):
        raise GliaError("no clips are left to train on", expected="smaller valid_share and test_share")
    task = task_of(good.answers, kind, train)
    mean, std = mean_std(seen.sums[train], seen.squares[train], shape.frames * shape.size[0] * shape.size[1])
    facts = VideoFacts(shape.frames, shape.channels, *shape.size, mean, std, len(train))
    augment, why = (by_name(data.augment), []) if data.augment != "auto" else chosen(facts, task.classes)
    notes = (*good.notes, *_unread(seen, clips), *division.notes, *_copies(good, seen, division, kind), *why)
    rows = good.rows or seen.kept
    targets = encode(good.answers, task, good.names)

    def batches(index: Int64s, augment: ClipAugment | None = None) -> Batches:
        which = torch.from_numpy(index)
        inputs = seen.inputs.only(index.tolist()) if isinstance(seen.inputs, FileClips) else seen.inputs[which]
        numbers = torch.tensor(rows, dtype=torch.int64)[which]
        return Batches(inputs, targets[which], numbers, augment, threads_ahead(data.workers, inputs, augment))

    return Prepared(
        train=batches(train, augment),
        valid=batches(division.split.valid) if len(division.split.valid) else None,
        test=batches(division.split.test) if len(division.split.test) else None,
        task=task,
        facts=facts,
        reader=VideoReader(shape, task, options).knowing(good.names, rows),
        card=_card(data.source, good, seen, shape, division, task)
        | {"dropped": [*good.dropped, *division.dropped, *_dropped(seen, clips)], "notes": list(notes)}
        | {"augment": augment.to_dict() if augment else {}},
        notes=notes,
    )


def _read(clips: Listing, data: Any) -> tuple[Shape, Scan]:
    """Every clip read once. More than `bad_limit` of the clips, or of the frames, unreadable is a GliaError."""
    known = headers(clips.paths, data.limits)
    sound = [one for one in known if one is not None]
    shape = chosen_shape(sound, data.image_size) if sound else Shape(1, 1, (1, 1))
    seen = scan(clips.paths, shape, data.limits)
    within_limit(clips.names, seen.broken, data.bad_limit, clips.root, THINGS)
    if len(seen.frames) > data.bad_limit * len(seen.kept) * shape.frames:
        what = f"{len(seen.frames)} frames of clips in {clips.root} cannot be read: {_few(seen.frames)}"
        raise GliaError(what, expected=f"at most {data.bad_limit:.0%}", hint="repair them, or a higher bad_limit")
    return shape, seen


def _strata(clips: Listing, kind: str) -> Int64s | None:
    if kind != "classify":
        return None
    cells = next(iter(clips.answers.values()))
    place = {name: i for i, name in enumerate(sorted_classes(cells))}
    return np.array([place[cell] for cell in cells], dtype=np.int64)


def _few(broken: dict[str, str]) -> str:
    return ", ".join(f"{name} ({why})" for name, why in list(broken.items())[:3]) + (", ..." if len(broken) > 3 else "")


def _unread(seen: Scan, clips: Listing) -> Sequence[str]:
    notes = []
    if clips.layout != "table of paths":
        notes.append("Each folder inside a class folder is one clip of frames; --kind image takes each as a picture.")
    if count := len(seen.broken):
        notes.append(f"{count} clip{'' if count == 1 else 's'} could not be read: {named(clips.names, seen.broken)}.")
    if count := len(seen.frames):
        notes.append(f"{count} frame{'' if count == 1 else 's'} could not be read, left out: {_few(seen.frames)}.")
    if isinstance(seen.inputs, FileClips):
        notes.append("The clips do not fit in free memory: each is read again when it is needed.")
    return notes


def _dropped(seen: Scan, clips: Listing) -> list[dict[str, Any]]:
    """The card's lines on clips and frames that could not be read."""
    lines = []
    whole = {clips.names[i]: why for i, why in seen.broken.items()}
    for things, broken in (("clips", whole), ("frames", seen.frames)):
        lines += [dropped_card(name, f"unreadable: {why}", 1) for name, why in list(broken.items())[:SHOWN]]
        lines += [dropped_card(f"more {things}", "unreadable", len(broken) - SHOWN)] if len(broken) > SHOWN else []
    return lines


def _copies(clips: Listing, seen: Scan, division: Division, kind: str) -> Sequence[str]:
    notes = []
    if division.duplicates:
        notes.append(f"{division.duplicates} clips are exact copies of others; copies never stand in two parts.")
    labels = list(zip(*clips.answers.values()))
    different = conflicting(seen.digests, labels) if kind != "regress" else 0
    if different:
        notes.append(f"{different} clips occur with different labels.")
    return notes


def _card(source: Any, clips: Listing, seen: Scan, shape: Shape, division: Division, task: Task) -> dict[str, Any]:
    """Everything about the clips that a person may ask: where from, how large, how divided, which classes."""
    parts: dict[str, Any] = division.split._asdict()
    cells = clips.answers[task.targets[0]] if task.kind == "classify" else []
    classes = class_counts(cells, task, parts)
    sizes = [count["train"] for count in classes.values()]
    frames, channels, height, width = shape.whole
    column = {
        "name": "clip",
        "kind": "video",
        "role": "input",
        "missing": 0,
        "distinct": len(set(seen.digests)),
        "why": f"{frames} x {channels} x {height} x {width} (frames, channels, height, width)",
        "example": clips.names[:3],
        "stats": {},
    }
    return {
        "source": str(source),
        "kind": "video",
        "format": {"format": clips.layout, "frames": frames, "channels": channels, "height": height, "width": width},
        "rows": len(clips.paths),
        "parts": {name: len(rows) for name, rows in parts.items()},
        "split": division.how,
        "columns": [column, *(target_column(name, clips.answers[name], task.kind) for name in task.targets)],
        "classes": classes,
        "duplicates": division.duplicates,
        "imbalance": max(sizes) / min(sizes) if sizes and min(sizes) > 0 else None,
        "fingerprint": digest_of(clips.names, seen.contents, list(zip(*clips.answers.values()))),
    }
