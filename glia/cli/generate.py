"""glia generate."""

import sys
from pathlib import Path
from typing import Any

import typer

from glia.errors import printable


def run(path: Path, prompt: str, **options: Any) -> None:
    """Write texts to standard output as they come; several with a line between them."""
    shown = _plain if sys.stdout.isatty() else str
    from glia.workbench.generate import pieces, strangers
    from glia.workbench.run import open_run

    opened = open_run(path)
    if unknown := strangers(opened, prompt):
        typer.echo(f"glia: the network has never seen {unknown!r}", err=True)
    for number, text in enumerate(pieces(opened, prompt, **options)):
        if number:
            sys.stdout.write("\n---\n")
        sys.stdout.write(shown(prompt))
        for piece in text:
            sys.stdout.write(shown(piece))
            sys.stdout.flush()
    sys.stdout.write("\n")


def _plain(text: str) -> str:
    """Without signs that a terminal obeys, but for the ends of lines and tabs."""
    return "".join(sign if sign in "\n\t" else printable(sign) for sign in text)
