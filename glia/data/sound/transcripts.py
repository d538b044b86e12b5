"""Texts that were said, as numbers: one a sign, those of the training rows and no others."""

import unicodedata
from collections.abc import Sequence

import torch

from glia.data.ragged import Ragged
from glia.data.task import Task

BLANK, NEVER_SEEN = 0, 1  # classes of a transcription: no sign at all, and one that training rows do not have
PAST = -1  # past the end of a text
_FEW = 0.5  # share of distinct texts above which they are said, not classes


def plain(text: str) -> str:
    """The text in composed Unicode, with single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def are_transcripts(cells: Sequence[str]) -> bool:
    """Whether labels look like what was said: mostly several words, mostly different."""
    words = sum(" " in cell.strip() for cell in cells)
    return len(cells) > 1 and 2 * words > len(cells) and len(set(cells)) > _FEW * len(cells)


def task_of(name: str, texts: Sequence[str]) -> Task:
    """The task of spelling texts of the signs in these training texts."""
    signs = sorted({sign for text in texts for sign in plain(text)})
    return Task("transcribe", (name,), ("", "\N{REPLACEMENT CHARACTER}", *signs))


def encode(texts: Sequence[str], task: Task) -> Ragged:
    """A class for each sign; rows end where the text does."""
    place = {sign: number for number, sign in enumerate(task.classes) if number > NEVER_SEEN}
    rows = [torch.tensor([place.get(s, NEVER_SEEN) for s in plain(text)], dtype=torch.int64) for text in texts]
    return Ragged.of(rows, PAST)


def spelled(classes: Sequence[int], task: Task) -> str:
    """The text that classes of signs stand for."""
    return "".join(task.classes[number] for number in classes if number > BLANK)
