"""Many sounds: decoded once into memory where they fit, otherwise again each time they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glia import limits
from glia.data.images.pixels import MEMORY_SHARE, free_bytes, in_threads
from glia.data.ragged import Ragged
from glia.data.sound.decode import FULL, NOTHING, Header, Int16s, Unreadable, decode, read_header
from glia.errors import GliaError

BYTES = 2  # a sample


@dataclass(frozen=True)
class Waves:
    """Sounds in memory, 16 bits a sample."""

    rows: Ragged

    @classmethod
    def of(cls, waves: Sequence[Int16s]) -> "Waves":
        return cls(Ragged.of([torch.from_numpy(wave) for wave in waves], NOTHING))

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Tensor) -> Tensor:
        """float32 (n, samples of the longest) in -1..1, NaN past the end of each."""
        return floats(self.rows.take(index))


@dataclass(frozen=True)
class FileWaves:
    """Sounds that stay in their files; `take` decodes the ones asked for, always to the same numbers."""

    paths: Sequence[Path]
    rate: int
    raised: limits.Raised = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, index: Tensor) -> Tensor:
        """As `Waves.take`. A sound that has become unreadable is a GliaError."""
        if not len(index):
            return torch.empty(0, 0)
        return Waves.of(in_threads(self._read, index.tolist())).take(torch.arange(len(index)))

    def _read(self, row: int) -> Int16s:
        try:
            return decode(self.paths[row], self.rate, self.raised)
        except Unreadable as error:
            raise GliaError(f"sound {self.paths[row].name} can no longer be read", got=error) from None


def floats(samples: Tensor) -> Tensor:
    """int16 samples to amplitudes, NaN where nothing is."""
    return (samples.float() / FULL).masked_fill(samples == NOTHING, float("nan"))


@dataclass(frozen=True)
class Scan:
    """What decoding every file once has shown. Lists have one item a readable file, in the order of `kept`."""

    waves: list[Int16s] | None  # None where they do not fit in memory
    lengths: NDArray[np.int64]  # in samples
    kept: list[int]  # which of the files these are
    broken: dict[int, str]  # the others, and why
    digests: list[bytes]  # of the samples
    contents: list[bytes]  # of the files


def headers(paths: Sequence[Path], raised: limits.Raised) -> list[Header | str]:
    """The header of each file, or why it has none."""

    def look(path: Path) -> Header | str:
        try:
            return read_header(path, raised=raised)
        except Unreadable as error:
            return str(error)

    return in_threads(look, paths)


def scan(paths: Sequence[Path], known: Sequence[Header | str], rate: int, raised: limits.Raised) -> Scan:
    """Decode every file whose header was read; the samples are kept where MEMORY_SHARE of free memory holds them."""
    readable = [i for i, header in enumerate(known) if isinstance(header, Header)]
    seconds = sum(header.seconds for header in known if isinstance(header, Header))
    fits = seconds * rate * BYTES <= MEMORY_SHARE * free_bytes()

    def read(place: int) -> tuple[Int16s | None, int, bytes, bytes] | str:
        path = paths[readable[place]]
        try:
            wave = decode(path, rate, raised)
            content = sha256(path.read_bytes()).digest()
        except Unreadable as error:
            return str(error)
        except OSError as error:
            return error.strerror or "cannot be opened"
        return wave if fits else None, len(wave), sha256(wave.tobytes()).digest(), content

    found = in_threads(read, range(len(readable)))
    good = [(readable[place], item) for place, item in enumerate(found) if not isinstance(item, str)]
    broken = {i: why for i, why in enumerate(known) if isinstance(why, str)}
    broken |= {readable[place]: why for place, why in enumerate(found) if isinstance(why, str)}
    return Scan(
        [wave for _, (wave, *_) in good if wave is not None] if fits else None,
        np.array([length for _, (_, length, *_) in good], dtype=np.int64),
        [i for i, _ in good],
        dict(sorted(broken.items())),
        [digest for _, (_, _, digest, _) in good],
        [content for _, (*_, content) in good],
    )
