"""Sounds to Prepared: folders of classes, tables of paths with labels or transcripts; one call."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glia.data.batches import Batches
from glia.data.facts import SoundFacts
from glia.data.images.labels import encode, kind_of, sorted_classes, task_of
from glia.data.images.listed import listed
from glia.data.images.listing import Listing
from glia.data.images.parts import Division, conflicting, divide
from glia.data.images.pictures import Int64s, named, within_limit
from glia.data.prepared import Prepared
from glia.data.sound import transcripts
from glia.data.sound.augment import SoundAugment
from glia.data.sound.card import notes_on, sound_card
from glia.data.sound.choice import by_name, chosen
from glia.data.sound.decode import Header
from glia.data.sound.reader import SoundReader
from glia.data.sound.source import THINGS, listing
from glia.data.sound.waves import FileWaves, Scan, Waves, headers, scan
from glia.data.tables.source import ReadOptions
from glia.data.task import Task
from glia.errors import GliaError

SPEECH_RATE = 16_000  # samples a second: above, files are brought down to it unless another rate is asked for


def prepare_sound(data: Any, seed: int) -> Prepared:
    """Sounds with labels or transcripts, divided and decoded, as the settings `data` (glia.recipe.Data) ask.

    The facts' mean and std of the spectrogram are left empty: `glia.models.sound:measured` fills them.
    """
    if data.time:
        raise GliaError("sounds cannot be divided by time", got=f"time={data.time}", hint="group= or a split column")
    options = ReadOptions.of(data)
    files = listed(listing, data, options, seed)
    rate, seen = _decoded(files, data)
    good, names = files.only(seen.kept), files.names
    kind = _kind(good, data.task)
    division = divide(
        good.parts, seen.digests, _strata(good, kind), good.groups, (data.valid_share, data.test_share), seed, THINGS
    )
    train = division.split.train
    if not len(train):
        raise GliaError("no sounds are left to train on", expected="smaller valid_share and test_share")
    task = _task(good, kind, train)
    made, masks, why = (*by_name(data.augment), []) if data.augment != "auto" else chosen(kind)
    notes = (*good.notes, *_unreadable(seen, names), *division.notes, *_copies(good, seen, division, kind), *why)
    card = sound_card(_called(data.source), good, seen, rate, division, task)
    card["dropped"] += notes_on(seen.broken, names)
    card |= {"notes": list(notes), "augment": {**asdict(made), "mask": masks}}
    parts = _Parts(good, seen, rate, task, data)
    return Prepared(
        train=parts.batches(train, made if made != SoundAugment() else None),
        valid=parts.batches(division.split.valid) if len(division.split.valid) else None,
        test=parts.batches(division.split.test) if len(division.split.test) else None,
        task=task,
        facts=SoundFacts(rate, int(seen.lengths[train].max()), (), (), masks, len(train)),
        reader=SoundReader(
            rate, int(seen.lengths[train].max()), int(np.median(seen.lengths[train])), task, options
        ).knowing(good.names, parts.rows),
        card=card,
        notes=notes,
    )


def _decoded(files: Listing, data: Any) -> tuple[int, Scan]:
    """The rate of all, and every file decoded once. More than `bad_limit` of them unreadable is a GliaError."""
    known = headers(files.paths, data.limits)
    broken = {i: header for i, header in enumerate(known) if isinstance(header, str)}
    within_limit(files.names, broken, data.bad_limit, files.root, THINGS)
    rates = Counter(header.rate for header in known if isinstance(header, Header))
    rate = data.sample_rate or min(rates.most_common(1)[0][0], SPEECH_RATE)
    seen = scan(files.paths, known, rate, data.limits)
    within_limit(files.names, seen.broken, data.bad_limit, files.root, THINGS)
    return rate, seen


def _kind(files: Listing, asked: str) -> str:
    cells = next(iter(files.answers.values()))
    if asked == "transcribe" and len(files.answers) > 1:
        raise GliaError("a sound has one transcript", got=f"{len(files.answers)} targets")
    folders = files.layout == "class folders"
    if asked == "auto" and len(files.answers) == 1 and not folders and transcripts.are_transcripts(cells):
        return "transcribe"
    return kind_of(files.answers, asked, folders)


def _task(files: Listing, kind: str, train: Int64s) -> Task:
    if kind != "transcribe":
        return task_of(files.answers, kind, train)
    name, cells = next(iter(files.answers.items()))
    return transcripts.task_of(name, [cells[i] for i in train])


def _strata(files: Listing, kind: str) -> Int64s | None:
    if kind != "classify":
        return None
    cells = next(iter(files.answers.values()))
    place = {name: i for i, name in enumerate(sorted_classes(cells))}
    return np.array([place[cell] for cell in cells], dtype=np.int64)


class _Parts:
    """Batches of some of the sounds."""

    def __init__(self, files: Listing, seen: Scan, rate: int, task: Task, data: Any):
        self.files, self.seen, self.rate, self.task, self.data = files, seen, rate, task, data
        self.rows = files.rows or seen.kept  # the number of each in its source

    def batches(self, rows: Int64s, augment: SoundAugment | None = None) -> Batches:
        index = torch.from_numpy(rows)
        some = self.files.only(rows.tolist())
        waves = self.seen.waves
        return Batches(
            FileWaves(some.paths, self.rate, self.data.limits) if waves is None else Waves.of([waves[i] for i in rows]),
            self._targets(some),
            torch.tensor(self.rows, dtype=torch.int64)[index],
            augment,
            self.data.workers or 0,
            torch.from_numpy(self.seen.lengths)[index],
        )

    def _targets(self, some: Listing) -> Any:
        if self.task.kind == "transcribe":
            return transcripts.encode(some.answers[self.task.targets[0]], self.task)
        return encode(some.answers, self.task, some.names)


def _unreadable(seen: Scan, names: Sequence[str]) -> Sequence[str]:
    notes = []
    if count := len(seen.broken):
        notes.append(f"{count} sound{'' if count == 1 else 's'} could not be read: {named(names, seen.broken)}.")
    if seen.waves is None:
        notes.append("The sounds do not fit in free memory: each is decoded again when it is needed.")
    return notes


def _copies(files: Listing, seen: Scan, division: Division, kind: str) -> Sequence[str]:
    notes = []
    if division.duplicates:
        notes.append(f"{division.duplicates} sounds are exact copies of others; copies never stand in two parts.")
    labels = list(zip(*files.answers.values()))
    different = conflicting(seen.digests, labels) if kind != "regress" else 0
    if different:
        notes.append(f"{different} sounds occur with different labels.")
    return notes


def _called(source: Any) -> str:
    return str(source) if isinstance(source, (str, Path)) else f"{type(source).__name__} in memory"
