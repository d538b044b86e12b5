"""The page benchmarks/RESULTS.md: a section for each part, in which each line says when the machine was how busy."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from rich.console import Console
from rich.table import Table

PAGE = Path(__file__).resolve().parents[1] / "RESULTS.md"
HEAD = """# Speed

`make bench` prints and writes this page. How time and memory grow with rows, parameters and steps:
[GROWTH.md](GROWTH.md). Which number formats come to the same figures: [FORMATS.md](FORMATS.md).
"""
QUIET = 0.5  # load average, per core, up to which a machine is quiet
CONSOLE = Console(highlight=False, width=None if os.isatty(1) else 200)
DASH = "-"


@dataclass
class Figures:
    """A table: the first column names the line. summary: rows -> lines made of all of them, older ones too."""

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    summary: Callable[[Sequence[Sequence[str]]], list[list[str]]] = lambda rows: []

    def show(self) -> None:
        CONSOLE.print(f"\n{self.title}", style="bold")
        table = Table(box=None, header_style="dim")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in [*self.rows, *self.summary(self.rows)]:
            table.add_row(*row)
        CONSOLE.print(table)

    def lines(self, before: Sequence[str]) -> list[str]:
        """In Markdown, with the lines of `before` that this table has no newer ones for."""
        head = "| " + " | ".join(self.columns) + " |"
        kept: dict[str, str] = {}
        place = list(before).index(title) if (title := f"**{self.title}**") in before else len(before)
        if list(before[place + 2 : place + 3]) == [head]:  # of the same tools
            for line in takewhile(lambda line: line.startswith("|"), before[place + 4 :]):
                kept[line.split("|")[1].strip()] = line
        kept |= {row[0]: _line(row) for row in self.rows}
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in kept.values()]
        kept |= {row[0]: _line(row) for row in self.summary(rows)}
        return [title, "", head, "|" + "---|" * len(self.columns), *kept.values(), ""]


def _line(row: Sequence[str]) -> str:
    return "| " + " | ".join(row) + " |"


Keep = Callable[[list[Figures]], None]
"""Given what a part has measured so far, each time that a line is complete, so that a cut costs one line alone."""


def forget(tables: list[Figures]) -> None:
    """For whoever waits for the end."""


def write(part: str, about: Sequence[str], tables: Sequence[Figures], path: Path = PAGE, head: str = HEAD) -> None:
    """Put a part's section in its place; lines of works that were not measured this time stay."""
    _, *sections = path.read_text().split("\n## ") if path.exists() else [""]
    kept = {section.partition("\n")[0].strip(): section for section in sections}
    before = kept.get(part, "").splitlines()
    lines = [part, "", *about, ""]
    for table in tables:
        lines += table.lines(before)
    kept[part] = "\n".join(lines).rstrip() + "\n"
    path.write_text("\n## ".join([head, *kept.values()]))


def load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def facts() -> list[str]:
    """The machine, and how busy it is now."""
    from glia.runs import machine

    about = machine.describe()
    versions = ", ".join(f"{name} {version}" for name, version in installed())
    lines = [
        f"{about['cpu']} ({about['cpu_capability']}), {os.cpu_count()} cores, {about['threads']} threads of torch.",
        f"{versions}.",
        f"Begun {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())} at a load of {load():.1f}.",
    ]
    return [*lines, *busy()]


def busy() -> list[str]:
    """A loud line where the machine is not quiet."""
    limit = QUIET * (os.cpu_count() or 1)
    if load() <= limit:
        return []
    said = f"The machine was not quiet: load {load():.1f} on {os.cpu_count()} cores"
    return [f"**{said}. Read ratios of the time of all cores, not times by the clock.**"]


def installed() -> list[tuple[str, str]]:
    """Versions of what is compared, where they are installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in ("torch", "scikit-learn", "skorch", "lightning", "keras", "transformers"):
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found
