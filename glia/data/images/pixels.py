"""Decoding many pictures: once, into memory or onto the disk where they fit; else each time they are asked for."""

import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TypeVar
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glia import limits
from glia.data.cache import cache_folder
from glia.data.images.decode import Header, Unreadable, decode, read_bytes, read_header
from glia.data.mapped import MappedRows
from glia.data.unsaid import held_back
from glia.disk import Scratch
from glia.errors import DiskError, GliaError

MEMORY_SHARE = 0.4  # of free memory may hold pictures; dividing them into parts may need as much again for a moment
DISK_SHARE = 0.5  # of the free disk that holds the cache may take pictures for which there is no memory
BIG = 224  # pixels: the side beyond which pictures are made smaller unless a size is asked for
_CHUNK = 16  # pictures a thread takes at once

Item = TypeVar("Item")
Made = TypeVar("Made")


def threads() -> int:
    """Threads for decoding: Pillow works outside the interpreter's lock."""
    return min(os.cpu_count() or 1, 16)


def free_bytes() -> int:
    """Memory that can be had without swapping, within the limit of a container where there is one."""
    free = [1 << 33]
    try:
        with open("/proc/meminfo") as lines:
            free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")] or free
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text().strip() for name in ("max", "current"))
        if limit != "max":
            free.append(max(int(limit) - int(used), 0))
    except (OSError, ValueError):  # not Linux, or no container: what was found so far holds
        pass
    return min(free)


@dataclass(frozen=True)
class FileRows:
    """Pictures that stay in their files; `take` decodes the ones asked for, always to the same bytes."""

    paths: Sequence[Path]
    channels: int
    size: tuple[int, int]
    raised: limits.Raised = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, index: Tensor) -> Tensor:
        """(len(index), channels, height, width) uint8. A picture that has become unreadable is a GliaError."""
        out = torch.empty((len(index), self.channels, *self.size), dtype=torch.uint8)
        places = list(enumerate(index.tolist()))
        in_threads(lambda place: self._read(*place, out.numpy()), places)
        return out

    def only(self, index: Sequence[int]) -> "FileRows":
        return FileRows([self.paths[i] for i in index], self.channels, self.size, self.raised)

    def _read(self, place: int, row: int, out: NDArray[np.uint8]) -> None:
        try:
            out[place] = decode(read_bytes(self.paths[row], self.raised), self.channels, self.size, self.raised)
        except Unreadable as error:
            raise GliaError(f"picture {self.paths[row].name} can no longer be read", got=error) from None


@dataclass(frozen=True)
class Decoded:
    """Pictures (N, C, H, W) of the readable files `kept`, and why the others are not."""

    pixels: NDArray[np.uint8]
    kept: list[int]
    broken: dict[int, str]


def decode_all(
    paths: Sequence[Path], channels: int, size: tuple[int, int], raised: limits.Raised = limits.USUAL
) -> Decoded:
    """Decode some files into memory."""
    pixels = np.empty((len(paths), channels, *size), np.uint8)

    def read(i: int) -> str | None:
        try:
            pixels[i] = decode(read_bytes(paths[i], raised), channels, size, raised)
        except Unreadable as error:
            return str(error)
        return None

    with quiet():
        reasons = in_threads(read, range(len(paths)))
    kept = [i for i, reason in enumerate(reasons) if reason is None]
    broken = {i: reason for i, reason in enumerate(reasons) if reason is not None}
    return Decoded(pixels[kept] if broken else pixels, kept, broken)


@dataclass(frozen=True)
class Scan:
    """What decoding every file once has shown. Lists have one item a readable file, in the order of `kept`."""

    inputs: Tensor | FileRows | MappedRows
    kept: list[int]  # which of the files these are
    broken: dict[int, str]  # the others, and why
    digests: list[bytes]  # of the decoded pixels
    contents: list[bytes]  # of the files
    sums: NDArray[np.float64]  # (N, channels) sums of the pixels, 0..255
    squares: NDArray[np.float64]


@dataclass
class _Found:
    """What one decoded file is known by."""

    digest: bytes
    content: bytes
    sums: NDArray[np.float64] = field(repr=False)
    squares: NDArray[np.float64] = field(repr=False)


def headers(paths: Sequence[Path], raised: limits.Raised = limits.USUAL) -> list[Header | str]:
    """The header of each file, or why it has none."""

    def look(path: Path) -> Header | str:
        try:
            return read_header(path, raised)
        except Unreadable as error:
            return str(error)

    with quiet():
        return in_threads(look, paths)


def scan(
    paths: Sequence[Path],
    known: Sequence[Header | str],
    channels: int,
    size: tuple[int, int],
    raised: limits.Raised = limits.USUAL,
) -> Scan:
    """Decode every file whose header was read, and keep the pixels where MEMORY_SHARE of free memory, or DISK_SHARE of
    free disk, holds them."""
    readable = [i for i, header in enumerate(known) if isinstance(header, Header)]
    shape = (len(readable), channels, *size)
    fits = math.prod(shape) <= MEMORY_SHARE * free_bytes()
    aside = None if fits or not readable else _aside(shape)
    pixels = np.empty(shape if fits else (0, *shape[1:]), np.uint8)

    def read(place: int) -> _Found | str:
        try:
            data = read_bytes(paths[readable[place]], raised)
            picture = decode(data, channels, size, raised)
        except Unreadable as error:
            return str(error)
        if fits:
            pixels[place] = picture
        elif aside is not None:
            aside.put(place * picture.nbytes, np.ascontiguousarray(picture).data.cast("B"))
        content = sha256(data).digest()
        return _Found(sha256(picture.tobytes()).digest(), content, *moments(picture[None]))

    with quiet():
        found = in_threads(read, range(len(readable)))
    good = [(place, item) for place, item in enumerate(found) if isinstance(item, _Found)]
    for new, (place, _) in enumerate(good):
        if fits and new != place:
            pixels[new] = pixels[place]
    kept = [readable[place] for place, _ in good]
    items = [item for _, item in good]
    inputs: Tensor | FileRows | MappedRows = FileRows([paths[i] for i in kept], channels, size, raised)
    if fits:
        inputs = torch.from_numpy(pixels[: len(kept)])
    elif aside is not None and kept:
        aside.extend(math.prod(shape))  # the last ones may be unreadable
        inputs = MappedRows(aside.map(), np.dtype(np.uint8), shape, np.array([place for place, _ in good]))
    reasons = dict(zip(readable, found)) | {i: why for i, why in enumerate(known) if isinstance(why, str)}
    nothing = np.zeros((0, channels))
    return Scan(
        inputs,
        kept,
        {i: why for i, why in sorted(reasons.items()) if isinstance(why, str)},
        [item.digest for item in items],
        [item.content for item in items],
        np.concatenate([nothing, *(item.sums for item in items)]),
        np.concatenate([nothing, *(item.squares for item in items)]),
    )


def _aside(shape: tuple[int, ...]) -> Scratch | None:
    """A file for so many pixels, where the disk has room for them."""
    folder = cache_folder("pictures")
    there = next((one for one in (folder, *folder.parents) if one.is_dir()), folder)
    try:
        return Scratch(folder) if math.prod(shape) <= DISK_SHARE * shutil.disk_usage(there).free else None
    except (OSError, DiskError):  # no folder that may be written to: it can be done without
        return None


def moments(pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums and sums of squares of each picture's channels: (N, C, H, W) to two of (N, C); exact whole numbers."""
    flat = pictures.reshape(*pictures.shape[:2], -1)
    sums = flat.sum(2, dtype=np.uint64)
    squares = np.empty(sums.shape, np.uint64)
    step = max(1, (1 << 20) // max(flat[0].size if len(flat) else 1, 1))
    for start in range(0, len(flat), step):
        squares[start : start + step] = np.square(flat[start : start + step], dtype=np.uint32).sum(2, dtype=np.uint64)
    return sums.astype(np.float64), squares.astype(np.float64)


def mean_std(
    sums: NDArray[np.float64], squares: NDArray[np.float64], pixels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, in 0..1; `pixels` a picture. A constant channel has std 1."""
    count = max(len(sums) * pixels, 1)
    mean = sums.sum(0) / count / 255
    variance = np.maximum(squares.sum(0) / count / 255**2 - mean**2, 0)
    std = np.where(variance > 1e-12, np.sqrt(variance), 1.0)
    return tuple(mean.tolist()), tuple(std.tolist())


def chosen_size(known: Sequence[Header], asked: int | None) -> tuple[int, int]:
    """(height, width) for all: a square of side `asked`; the size they share, or else the median shorter side, squared.

    What is larger than BIG is made smaller; mixed sizes are rounded to a multiple of 8.
    """
    if asked:
        return asked, asked
    if len({(h.height, h.width) for h in known}) == 1:
        height, width = known[0].height, known[0].width
        scale = min(1.0, BIG / max(height, width))
        return max(round(height * scale), 1), max(round(width * scale), 1)
    side = int(np.median([min(h.height, h.width) for h in known]))
    side = min(side, BIG)
    side = side if side < 16 else round(side / 8) * 8
    return side, side


def in_threads(work: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
    """`work` on each item, in order; in threads where there are enough."""
    chunks = [items[i : i + _CHUNK] for i in range(0, len(items), _CHUNK)]
    if len(chunks) < 2 or threads() < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads(), thread_name_prefix="glia-pictures") as pool:
        return [made for some in pool.map(lambda chunk: [work(item) for item in chunk], chunks) for made in some]


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow's remarks on odd metadata stay unsaid. For the main thread alone: the filters are the process's."""
    with catch_warnings(), held_back() as forget:
        simplefilter("ignore")
        forget()
        yield
