"""Every crash point of the saves of a small run, as `glia.torture.crash_points` tries them on any run."""

from collections.abc import Callable
from pathlib import Path

import glia
from glia.torture.crash_points import LARGE, NAME, PROMISE, SMALL
from glia.torture.crash_points import run as crash
from glia.torture.result import Result

__all__ = ["LARGE", "NAME", "PROMISE", "SMALL", "run"]


def run(count: int, folder: Path, tell: Callable[[str], None]) -> Result:
    """`count` points (or all) in a run that is made for it."""
    made = glia.train("iris", epochs=4, checkpoint_s=0, baselines=False, doctor=False, threads=1, runs=folder)
    return crash(count, made.folder, tell)
