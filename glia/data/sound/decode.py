"""One sound file to one row of whole numbers: the same at training and at prediction, whatever the file's own form."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glia import limits
from glia.errors import GliaError

SUFFIXES = frozenset(".wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .w64 .caf".split())
Int16s = NDArray[np.int16]
Floats = NDArray[np.float32]

FULL = 32768  # what an amplitude of 1 is in whole numbers
NOTHING = -32768  # stands past the end of a row; samples keep clear of it
RATES = (1000, 768_000)  # samples a second that a header may promise
MOST_CHANNELS = 64
SILENCE = 2  # steps of 16 bits between the lowest and the highest sample, up to which a sound is silent
_NO_SOUND = ("not recognised", "unknown format", "unimplemented format", "File does not exist")  # of text called .mp3
_BLOCK = 1 << 20  # samples of all channels that are decoded at a time


class Unreadable(Exception):
    """A file that gives no sound; the text says why in a few words."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself before it is decoded."""

    rate: int
    frames: int
    channels: int

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


def is_sound_name(path: Path) -> bool:
    """Whether the name ends as sounds' names do; hidden files are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def soundfile() -> ModuleType:
    """The library that reads them. Raises GliaError where it is missing."""
    try:
        import soundfile as library
    except (ImportError, OSError) as error:  # OSError: the package without its shared library
        raise GliaError("sounds need the package soundfile", got=error, hint='pip install "glia[audio]"') from None
    return library


def read_header(path: Path, limit: str = "sound_s", raised: limits.Raised = limits.USUAL) -> Header:
    """Rate and length. limit: which of glia.limits holds for the seconds; raised: what of them the user raised.

    Raises Unreadable for what is no sound, or beyond the limit.
    """
    with opened(path) as file:
        found = Header(file.samplerate, file.frames, file.channels)
    if not RATES[0] <= found.rate <= RATES[1]:
        raise Unreadable(f"{found.rate} samples a second")
    if not 1 <= found.channels <= MOST_CHANNELS:
        raise Unreadable(f"{found.channels} channels")
    if found.frames < 1:
        raise Unreadable("no samples")
    if found.seconds > limits.most(limit, raised):
        raise Unreadable(f"{found.seconds:,.0f} seconds; {limits.raising(limit, int(found.seconds) + 1)}")
    return found


def decode(path: Path, rate: int, raised: limits.Raised = limits.USUAL) -> Int16s:
    """The whole sound at `rate` samples a second, its channels averaged, 16 bits: (samples,).

    Other rates are brought to this one by soxr (a band-limited filter). Floats beyond 1 are scaled down to it.
    Raises Unreadable, also for a file that ends before its header says, and for silence.
    """
    header = read_header(path, "sound_s", raised)
    parts = list(blocks(path, header))
    wave = np.concatenate(parts) if parts else np.empty(0, np.float32)
    if len(wave) < header.frames:
        raise Unreadable(f"truncated after {len(wave) / header.rate:.2f} of {header.seconds:.2f} seconds")
    peak = float(np.abs(wave).max())
    if peak > 1:
        wave = wave / np.float32(peak)
    if header.rate != rate:
        wave = resampler().resample(wave, header.rate, rate)
    out = whole(wave)
    if not len(out) or int(out.max()) - int(out.min()) <= SILENCE:
        raise Unreadable("silent" if len(out) else "no samples")
    return out


def blocks(path: Path, header: Header) -> Iterator[Floats]:
    """The sound piece by piece at its own rate, its channels averaged: (samples,) each. Raises Unreadable."""
    short = _promised(path)
    if short is not None:
        raise Unreadable(f"truncated: {short[0]:,} of {short[1]:,} bytes of sound")
    with opened(path) as file:
        while True:
            try:
                piece = file.read(_BLOCK // header.channels, dtype="float32", always_2d=True)
            except RuntimeError as error:
                raise Unreadable(_reason(error)) from None
            if not len(piece):
                return
            mono = piece.mean(1, dtype=np.float32)
            if not np.isfinite(mono).all():
                raise Unreadable("NaN or infinite samples")
            yield mono


def whole(wave: Floats) -> Int16s:
    """Amplitudes in -1..1 as whole numbers; what is beyond is cut."""
    return np.rint(np.clip(wave * FULL, 1 - FULL, FULL - 1)).astype(np.int16)


def resampler() -> ModuleType:
    """The library that changes the rate. Raises GliaError where it is missing."""
    try:
        import soxr
    except ImportError as error:
        hint = 'pip install "glia[audio]"'
        raise GliaError("sounds of other rates need the package soxr", got=error, hint=hint) from None
    return soxr


def opened(path: Path) -> Any:
    """The file under soundfile's reader, a context. Raises Unreadable."""
    library = soundfile()
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would be waited for
            raise Unreadable("no plain file")
        if not about.st_size:
            raise Unreadable("an empty file")
        return library.SoundFile(str(path))
    except (OSError, ValueError) as error:
        raise Unreadable(getattr(error, "strerror", None) or "cannot be opened") from None
    except (RuntimeError, TypeError) as error:  # TypeError: a raw format, which a name such as .raw asks for
        raise Unreadable(_reason(error)) from None


def _promised(path: Path) -> tuple[int, int] | None:
    """(bytes there, bytes promised) of a RIFF wave file whose sound is cut short; None of all others.

    libsndfile reads what is there and says nothing. A recorder that could not go back writes 0 or 2^32 - 1.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return None
        size, place = path.stat().st_size, 12
        while place + 8 <= size:
            file.seek(place)
            name, length = (part := file.read(8))[:4], int.from_bytes(part[4:], "little")
            if name == b"data":
                there = size - place - 8
                return (there, length) if there < length < 0x7FFF0000 else None
            place += 8 + length + length % 2
    return None


def _reason(error: Exception) -> str:
    """A few words for what libsndfile said."""
    text = str(error).rpartition(": ")[2].strip().rstrip(".")
    if any(said in text for said in _NO_SOUND):
        return "not a sound"
    return "malformed" if "malformed" in text else text or type(error).__name__
