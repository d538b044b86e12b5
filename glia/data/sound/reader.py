"""SoundReader: any source of sounds to the waves that a trained network takes; long recordings in windows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from warnings import warn

import numpy as np
import torch

from glia.data.images.labels import encode
from glia.data.images.listed import How
from glia.data.images.listing import Listing, any_pictures, class_of, test_folder
from glia.data.prepared import Raw
from glia.data.sound import transcripts
from glia.data.sound.decode import (
    FULL,
    Floats,
    Header,
    Int16s,
    Unreadable,
    blocks,
    decode,
    is_sound_name,
    read_header,
    resampler,
    whole,
)
from glia.data.sound.source import listing
from glia.data.sound.waves import Waves
from glia.data.tables.source import ReadOptions
from glia.data.task import Task
from glia.errors import GliaError

LONG = 2.0  # times the longest training sound: from there on a file is a recording, answered window by window
QUIETEST = -96.3  # dB: one step of 16 bits
_PIECE = 1 << 24  # samples that are given out at a time, about


class Window(NamedTuple):
    """A stretch of a recording: its samples, and the number of its first one in the whole at the reader's rate."""

    wave: Int16s
    start: int


@dataclass(frozen=True)
class SoundReader:
    """How sounds become waves (N, samples) at one rate, the same way at training and prediction.

    rate: samples a second. length: of the longest training sound; usual: of the middle one, in samples.
    names: of the sounds it was made with, by row; not stored.
    """

    rate: int
    length: int
    usual: int
    task: Task
    options: ReadOptions = field(default_factory=ReadOptions)
    names: Mapping[int, str] = field(default_factory=dict, compare=False, repr=False)

    kind = "sound"

    def stream(self, source: Any, *, targets: bool = False, rows: int = 4096) -> Iterator[Raw]:
        """Sounds of a folder (any depth), one file, a list of files, or a table of paths.

        Where one of them is a recording (far longer than any training sound), rows are windows of the usual length,
        each half over the one before it, and `places` says where: start_s and end_s in seconds, and how loud
        (level_db, 0 is the loudest that there is). `targets=True` takes the class from the folder, or the labels or
        transcripts from the table's columns, and knows no windows. Unreadable files have no row; a warning names them.
        """
        files = self.listed(source, targets)
        broken: dict[int, str] = {}
        known = self.headers(files, broken)
        in_windows = not targets and any(header.seconds > self.longest_s for header in known.values())
        held: list[tuple[int, Window]] = []
        usual = max(self.usual, 2)
        for item in self.windows(files, known, broken, (usual, usual // 2) if in_windows else None):
            held.append(item)
            longest = max(len(window.wave) for _, window in held)
            if len(held) == rows or longest * len(held) >= _PIECE:
                yield self._raw(files, held, targets, in_windows)
                held = []
        if held:
            yield self._raw(files, held, targets, in_windows)
        tell_broken(files, broken)

    @property
    def longest_s(self) -> float:
        """Seconds from which on a file is a recording."""
        return LONG * self.length / self.rate

    def recording(self, path: Path, header: Header, length: int, step: int) -> Iterator[Window]:
        """Windows of `length` samples, one each `step`; the last one ends with the recording. Raises Unreadable."""
        kept = np.empty(0, np.int16)
        start = 0  # of `kept`, in the whole
        next_at = 0  # where the next window begins
        for piece in self._at_rate(path, header):
            kept = np.concatenate([kept, whole(piece)])
            while next_at + length < start + len(kept):  # one sample more: so this is not the last window
                yield Window(kept[next_at - start : next_at - start + length], next_at)
                next_at += step
                kept, start = kept[next_at - start :], next_at
        end = start + len(kept)
        if end:
            first = max(min(next_at, end - 1), start)
            yield Window(kept[first - start :], first)

    def listed(self, source: Any, targets: bool) -> Listing:
        """The files that a source means, with labels if they are wanted."""
        path = Path(source) if isinstance(source, (str, Path)) else None
        if path is None or not path.is_dir():
            return listing(source, How(self.options, self.task.targets if targets else ()), labelled=targets)
        if targets and self.task.kind == "transcribe":
            raise GliaError(f"{path} has no transcripts", expected="a table with a column of them")
        root = test_folder(path) if targets else path
        paths = any_pictures(root, is_sound_name)
        if not paths:
            raise GliaError(f"no sounds in {path}", expected="files such as .wav and .flac")
        answers = {self.task.targets[0]: [class_of(p, root) for p in paths]} if targets else {}
        return Listing(root, paths, answers, [""] * len(paths))

    def name_of(self, row: int) -> str:
        """What people call a row of the source that this reader was made with."""
        return self.names.get(row, str(row))

    def knowing(self, names: Sequence[str], rows: Sequence[int]) -> "SoundReader":
        """The reader with the names of its own rows."""
        return replace(self, names=dict(zip(rows, names)))

    def to_dict(self) -> dict[str, Any]:
        """Everything but `names`, as plain JSON."""
        plain = {name: getattr(self, name) for name in ("kind", "rate", "length", "usual")}
        return plain | {"task": self.task.to_dict(), "options": asdict(self.options)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "SoundReader":
        options: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data["options"].items()}
        task = Task.from_dict(data["task"])
        return cls(data["rate"], data["length"], data["usual"], task, ReadOptions(**options))

    def headers(self, files: Listing, broken: dict[int, str]) -> dict[int, Header]:
        """The header of each file by its number; why it has none goes into `broken`."""
        known = {}
        for i, path in enumerate(files.paths):
            try:
                known[i] = read_header(path, "recording_s", self.options.limits)
            except Unreadable as error:
                broken[i] = str(error)
        return known

    def windows(
        self, files: Listing, known: Mapping[int, Header], broken: dict[int, str], cut: tuple[int, int] | None
    ) -> Iterator[tuple[int, Window]]:
        """(number of the file, window). cut: length and step of the windows of recordings, in samples; None: every file
        is one window.
        """
        for i, header in known.items():
            path = files.paths[i]
            try:
                if cut is None or header.seconds <= self.longest_s:
                    yield i, Window(decode(path, self.rate, self.options.limits), 0)
                else:
                    for window in self.recording(path, header, *cut):
                        yield i, window
            except Unreadable as error:
                broken[i] = str(error)

    def _at_rate(self, path: Path, header: Header) -> Iterator[Floats]:
        if header.rate == self.rate:
            yield from blocks(path, header)
            return
        stream = resampler().ResampleStream(header.rate, self.rate, 1, dtype="float32")
        for piece in blocks(path, header):
            yield stream.resample_chunk(piece)
        yield stream.resample_chunk(np.empty(0, np.float32), last=True)

    def _raw(self, files: Listing, held: list[tuple[int, Window]], targets: bool, in_windows: bool) -> Raw:
        inputs = Waves.of([window.wave for _, window in held]).take(torch.arange(len(held)))
        some = files.only([i for i, _ in held])
        places = self._places([window for _, window in held]) if in_windows else None
        return Raw(inputs, self._targets(some) if targets else None, some.names, None, places)

    def _places(self, windows: Sequence[Window]) -> dict[str, list[float]]:
        return {
            "start_s": [round(window.start / self.rate, 3) for window in windows],
            "end_s": [round((window.start + len(window.wave)) / self.rate, 3) for window in windows],
            "level_db": [level_db(window.wave) for window in windows],
        }

    def _targets(self, some: Listing) -> Any:
        if self.task.kind == "transcribe":
            found = transcripts.encode(some.answers[self.task.targets[0]], self.task)
            return found.take(torch.arange(len(found)))
        return encode(some.answers, self.task, some.names)


def level_db(wave: Int16s) -> float:
    """How loud: 20 log10 of the root mean square, of amplitudes in -1..1."""
    power = float(np.square(wave.astype(np.float64) / FULL).mean())
    return round(max(10 * float(np.log10(max(power, 1e-12))), QUIETEST), 1)


def tell_broken(files: Listing, broken: Mapping[int, str]) -> None:
    """A warning that names the files that could not be read; an error where none could."""
    if not broken:
        return
    said = [f"{files.names[i]} ({why})" for i, why in sorted(broken.items())]
    message = f"{len(broken)} of {len(files.paths)} sounds cannot be read: {', '.join(said[:5])}"
    if len(broken) == len(files.paths):
        raise GliaError(message)
    warn(message, stacklevel=3)
