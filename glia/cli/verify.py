"""glia verify."""

from collections import Counter
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from glia.cli.screen import Console
from glia.errors import DamagedError

STYLES = {"whole": "green", "changed": "yellow", "derived": "dim", "unknown": "dim", "damaged": "red"}


def run(path: Path) -> None:
    """Print what became of every file; raises DamagedError when one is not what was written."""
    from glia.runs.folder import RunFolder
    from glia.runs.verify import verify

    found = verify(RunFolder.open(path).path)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for verdict in found:
        state = f"[{STYLES[verdict.state]}]{verdict.state}[/]"
        table.add_row(state, escape(verdict.name), f"[dim]{escape(verdict.why)}[/]")
    Console(highlight=False).print(table)
    counts = Counter(verdict.state for verdict in found)
    if counts["damaged"]:
        names = ", ".join(verdict.name for verdict in found if verdict.state == "damaged")
        raise DamagedError(f"{counts['damaged']} of {len(found)} files in {path} are damaged", got=names)
    if not counts["whole"]:
        raise DamagedError(
            f"{path} has nothing to compare its files with: it is of an earlier version, or lost its seals"
        )
