"""glia reproduce."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from glia.cli.screen import Console

if TYPE_CHECKING:
    from glia.workbench.reproduce import Reproduction


def run(path: Path, *, name: str | None, quiet: bool) -> None:
    """Repeat a run, tell what came of it, and end with 0 (equal) or 1 (not)."""
    from glia.cli.display import Display
    from glia.workbench.reproduce import reproduce

    display = Display(quiet=quiet)
    with display.guarding():
        made = reproduce(
            path, name=name, tell=display.tell, found=display.found, begin=display.begin, busy=display.busy
        )
    show(made, Console(highlight=False, soft_wrap=True))
    sys.exit(0 if made.equal else 1)


def show(made: "Reproduction", console: Console) -> None:
    """Each part, what differed first and what has changed, the verdict last."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for part, text in made.parts.items():
        table.add_row(part, Text(text, "green" if text.startswith("equal") else "yellow"))
    for label, text in (
        ("first difference", made.first),
        ("changed, and counts", ", ".join(made.numerics)),
        ("changed besides", ", ".join(made.surroundings)),
        ("the new run", str(made.again)),
    ):
        if text:
            table.add_row(label, Text(text))
    console.print()
    console.print(table)
    console.print(Text(f"\n{made}", "green" if made.equal else "yellow"))
