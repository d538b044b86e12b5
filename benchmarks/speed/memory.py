"""Part `memory`: what a process holds at most while it trains, less its rows."""

from collections.abc import Sequence
from typing import Any

from benchmarks.speed import steps
from benchmarks.speed.page import Figures, Keep, forget
from benchmarks.speed.works import ALL, BY_NAME

TITLE = "Memory"
ABOUT = [
    "The most that a process held (resident, in MB) from the first line of training to the end of the tool's call,",
    "Python, torch and the tool itself included, less the rows, which were there before. Median and quartiles.",
]


def run(
    names: Sequence[str], tools: Sequence[str], rounds: int, more: dict[str, Any], keep: Keep = forget
) -> list[Figures]:
    works = [BY_NAME[name] for name in names] or [work for work in ALL if work.core]
    found, loads = steps.measured(works, tools, rounds, more, whole=True)
    return [steps.times("Megabytes", "memory_mb", found, tools, loads)]
