"""Clips made for tests: a bright square that moves, as folders of frames."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FRAMES, SIDE = 6, 16


def moving(number: int, right: bool) -> NDArray[np.uint8]:
    """(FRAMES, SIDE, SIDE): a square that goes a pixel a frame, in any row. Leftward is rightward backwards, so that no
    single frame tells which it is."""
    rng = np.random.default_rng(number)
    top, left, size = rng.integers(0, SIDE - 5), rng.integers(0, SIDE - 5 - FRAMES), rng.integers(3, 6)
    frames = rng.integers(0, 40, (FRAMES, SIDE, SIDE))
    for place in range(FRAMES):
        frames[place, top : top + size, left + place : left + place + size] = 220
    return (frames if right else frames[::-1]).astype(np.uint8)


def write(folder: Path, frames: NDArray[np.uint8], suffix: str = "png") -> Path:
    """A clip as frames frame_0.png, frame_1.png ... (without leading zeros: frame_10 comes after frame_9)."""
    folder.mkdir(parents=True)
    for place, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"frame_{place}.{suffix}")
    return folder


def class_folders(root: Path, each: int, first: int = 0) -> Path:
    """root/left and root/right with `each` clips each."""
    for place in range(each):
        for right in (False, True):
            number = first + 2 * place + right
            write(root / ("right" if right else "left") / f"clip{number}", moving(number, right))
    return root
