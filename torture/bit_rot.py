"""Bit rot in a small run of each kind of file, as `glia.torture.bit_rot` makes it in any run."""

from collections.abc import Callable
from pathlib import Path

import glia
from glia.torture.bit_rot import LARGE, NAME, PROMISE, SMALL
from glia.torture.bit_rot import run as rot
from glia.torture.result import Result

__all__ = ["LARGE", "NAME", "PROMISE", "SMALL", "run"]


def run(count: int, folder: Path, tell: Callable[[str], None]) -> Result:
    """`count` flips in a run that is made for it: two checkpoints, predictions, a page."""
    made = glia.train("iris", epochs=4, checkpoint_s=0, baselines=False, doctor=False, threads=1, runs=folder)
    return rot(count, made.folder, tell)
