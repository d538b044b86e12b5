"""Tones in files, for tests."""

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 8000


def tone(hertz: float, seconds: float = 0.3, rate: int = RATE, seed: int | None = None) -> NDArray[np.float32]:
    """A sine of half the full height, with a little noise where there is a seed."""
    at = np.arange(round(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * hertz * at)
    if seed is not None:
        wave = wave + 0.02 * np.random.default_rng(seed).normal(size=len(wave))
    return wave.astype(np.float32)


def write(path: Path, wave: NDArray[np.float32], rate: int = RATE, subtype: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, subtype=subtype)
    return path


def class_folders(root: Path, each: int = 12) -> Path:
    """Low and high tones of different lengths, a class a folder."""
    for name, hertz in (("low", 400), ("high", 1500)):
        for i in range(each):
            write(root / name / f"{i}.wav", tone(hertz + 20 * i, 0.2 + 0.01 * i, seed=i + (name == "low") * 100))
    return root
