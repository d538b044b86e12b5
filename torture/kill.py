"""SIGKILL at random moments, half of them inside a save, with another number of workers in each life."""

from collections.abc import Callable
from pathlib import Path

from glia.torture.kill import KillLoop
from glia.torture.result import Result
from glia.torture.zygote import Zygote
from torture.kinds import kinds, quick_folder

NAME = "kill"
PROMISE = (
    "A run that is killed at any moments, as often as may be, ends as the run that never was: weights, optimiser, "
    "chart, figures and predictions to the last bit; no checkpoint is ever unreadable."
)
SMALL, LARGE = 24, 1000
SEED = 20260
MOST_KILLS = 8  # of one run


def run(count: int, folder: Path, tell: Callable[[str], None]) -> Result:
    """`count` kills, over runs of all kinds in turn."""
    with quick_folder(folder) as quick:
        return _loop(count, quick, tell)


def _loop(count: int, folder: Path, tell: Callable[[str], None]) -> Result:
    every = kinds(folder)
    with Zygote() as zygote:
        loop = KillLoop(zygote, folder, SEED, tell)
        each = min(MOST_KILLS, max(1, count // len(every)))  # so that few kills meet all kinds
        tally, turn = loop.tally, 0
        while tally.kills < count and len(tally.failed) < 20:
            loop(every[turn % len(every)], min(each, count - tally.kills))
            turn += 1
    figures = {
        "seed": str(SEED), "runs completed": f"{tally.completed:,}", "lives": f"{tally.lives:,}",
        "killed inside a save": f"{tally.in_saves:,}", "one process of two": f"{tally.parts:,}",
        "most lives of a run": str(tally.longest),
        "kinds": ", ".join(f"{name} {number:,}" for name, number in sorted(tally.by_kind.items())),
    }  # fmt: skip
    return Result(NAME, PROMISE, tally.kills, tuple(tally.failed), figures=figures)
