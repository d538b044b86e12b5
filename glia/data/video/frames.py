"""Clips as so many frames each: sampled evenly, decoded once into memory where they fit, otherwise when asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glia import limits
from glia.data.images.decode import Header, Unreadable, decode, read_bytes, read_header
from glia.data.images.pixels import MEMORY_SHARE, chosen_size, free_bytes, in_threads, moments, quiet
from glia.data.video.source import frames_of
from glia.errors import GliaError

MOST_FRAMES = 16  # of a clip: what networks for clips are usually shown
BIG = 112  # pixels: the side beyond which frames are made smaller unless a size is asked for

Made = TypeVar("Made")


@dataclass(frozen=True)
class Shape:
    """What all clips are brought to."""

    frames: int
    channels: int
    size: tuple[int, int]

    @property
    def whole(self) -> tuple[int, int, int, int]:
        """(frames, channels, height, width)."""
        return self.frames, self.channels, *self.size


@dataclass(frozen=True)
class Clip:
    """pixels (frames, channels, height, width) uint8. broken: frames that could not be read, and why."""

    pixels: NDArray[np.uint8]
    content: bytes  # sha256 of the frames' files
    broken: dict[str, str]


@dataclass(frozen=True)
class FileClips:
    """Clips that stay in their files; `take` decodes the ones asked for, always to the same bytes."""

    paths: Sequence[Path]
    shape: Shape
    raised: limits.Raised = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, index: Tensor) -> Tensor:
        """(n, frames, channels, height, width) uint8. A clip that has become unreadable is a GliaError."""
        out = np.empty((len(index), *self.shape.whole), np.uint8)
        in_threads(lambda place: self._read(*place, out), list(enumerate(index.tolist())))
        return torch.from_numpy(out)

    def only(self, index: Sequence[int]) -> "FileClips":
        return FileClips([self.paths[i] for i in index], self.shape, self.raised)

    def _read(self, place: int, row: int, out: NDArray[np.uint8]) -> None:
        try:
            out[place] = read_clip(self.paths[row], self.shape, self.raised).pixels
        except Unreadable as error:
            raise GliaError(f"clip {self.paths[row].name} can no longer be read", got=error) from None


@dataclass(frozen=True)
class Scan:
    """What reading every clip once has shown. Lists have one item a readable clip, in the order of `kept`."""

    inputs: Tensor | FileClips
    kept: list[int]  # which of the clips these are
    broken: dict[int, str]  # the others, and why
    frames: dict[str, str]  # single frames left out, and why
    digests: list[bytes]  # of the sampled pixels
    contents: list[bytes]  # of the frames' files
    sums: NDArray[np.float64]  # (N, channels) sums of the pixels, 0..255
    squares: NDArray[np.float64]


@dataclass(frozen=True)
class _Found:
    """What one clip is known by."""

    digest: bytes
    content: bytes
    broken: dict[str, str]
    sums: NDArray[np.float64] = field(repr=False)
    squares: NDArray[np.float64] = field(repr=False)


def spread(count: int, frames: int) -> list[int]:
    """Places of `frames` frames of `count`: the middles of so many equal stretches; some twice where there are fewer.

    As sparse sampling does it in tests: Wang et al. 2016, arXiv 1608.00859, section 3.1.
    """
    return [(2 * i + 1) * count // (2 * frames) for i in range(frames)]


def read_clip(clip: Path, shape: Shape, raised: limits.Raised = limits.USUAL) -> Clip:
    """A folder of frames, brought to `shape`. Unreadable frames are left out before the others are spread.

    Raises Unreadable where no frame is left, or frames are not of one size.
    """
    sizes: dict[tuple[int, int], Path] = {}

    def look(frame: Path) -> tuple[NDArray[np.uint8], bytes]:
        header, data = read_header(frame, raised), read_bytes(frame, raised)
        pixels = decode(data, shape.channels, shape.size, raised)
        sizes.setdefault((header.width, header.height), frame)
        return pixels, sha256(data).digest()

    seen, broken = _sampled(_frames(clip), shape.frames, look)
    if len(sizes) > 1:
        said = " and ".join(f"{w} x {h} ({frame.name})" for (w, h), frame in list(sizes.items())[:2])
        raise Unreadable(f"frames of different sizes: {said}")
    content = sha256(b"".join(digest for _, digest in seen)).digest()
    return Clip(np.stack([pixels for pixels, _ in seen]), content, broken)


def headers(clips: Sequence[Path], raised: limits.Raised = limits.USUAL) -> list[tuple[int, Header] | None]:
    """How many frames each clip has, and the header of its middle one; None where it has none that can be read."""

    def look(clip: Path) -> tuple[int, Header] | None:
        try:
            frames = _frames(clip)
            return len(frames), _sampled(frames, 1, lambda frame: read_header(frame, raised))[0][0]
        except Unreadable:
            return None

    with quiet():
        return in_threads(look, clips)


def chosen_shape(known: Sequence[tuple[int, Header]], asked: int | None) -> Shape:
    """What clips are brought to: as many frames as the median clip has, MOST_FRAMES at most; a square of side `asked`,
    or what fits pictures of such sizes, BIG pixels at most."""
    found = [header for _, header in known]
    height, width = chosen_size(found, asked)
    scale = 1.0 if asked else min(1.0, BIG / max(height, width))
    frames = min(MOST_FRAMES, max(1, int(np.median([count for count, _ in known]))))
    channels = 1 if all(header.grey for header in found) else 3
    return Shape(frames, channels, (max(1, round(height * scale)), max(1, round(width * scale))))


def scan(clips: Sequence[Path], shape: Shape, raised: limits.Raised = limits.USUAL) -> Scan:
    """Read every clip, and keep the pixels where MEMORY_SHARE of free memory holds them."""
    fits = len(clips) * int(np.prod(shape.whole)) <= MEMORY_SHARE * free_bytes()
    pixels = np.empty((len(clips) if fits else 0, *shape.whole), np.uint8)

    def read(place: int) -> _Found | str:
        try:
            clip = read_clip(clips[place], shape, raised)
        except Unreadable as error:
            return str(error)
        if fits:
            pixels[place] = clip.pixels
        sums, squares = moments(clip.pixels)
        return _Found(sha256(clip.pixels.tobytes()).digest(), clip.content, clip.broken, sums.sum(0), squares.sum(0))

    with quiet():
        found = in_threads(read, range(len(clips)))
    good = [(place, item) for place, item in enumerate(found) if not isinstance(item, str)]
    kept = [place for place, _ in good]
    again = FileClips([clips[place] for place in kept], shape, raised)
    items, nothing = [item for _, item in good], np.zeros((0, shape.channels))
    return Scan(
        torch.from_numpy(pixels[kept] if len(kept) < len(clips) else pixels) if fits else again,
        kept,
        {place: item for place, item in enumerate(found) if isinstance(item, str)},
        {name: why for item in items for name, why in item.broken.items()},
        [item.digest for item in items],
        [item.content for item in items],
        np.stack([item.sums for item in items]) if items else nothing,
        np.stack([item.squares for item in items]) if items else nothing,
    )


def _frames(clip: Path) -> list[Path]:
    try:
        found = frames_of(clip)
    except OSError as error:
        raise Unreadable(error.strerror or "cannot be opened") from None
    if not found:
        raise Unreadable("no frames in it")
    return found


def _sampled(frames: list[Path], count: int, look: Callable[[Path], Made]) -> tuple[list[Made], dict[str, str]]:
    """What `look` makes of `count` frames, spread over those that it can read; the others and why. Raises Unreadable
    where there is none."""
    seen: dict[Path, Made] = {}
    broken: dict[str, str] = {}
    while frames:
        chosen = [frames[place] for place in spread(len(frames), count)]
        gone = set()
        for frame in chosen:
            if frame in seen:
                continue
            try:
                seen[frame] = look(frame)
            except Unreadable as error:
                gone.add(frame)
                broken[f"{frame.parent.name}/{frame.name}"] = str(error)
        if not gone:
            return [seen[frame] for frame in chosen], broken
        frames = [frame for frame in frames if frame not in gone]
    raise Unreadable(f"no frame can be read: {', '.join(f'{name} ({why})' for name, why in list(broken.items())[:2])}")
