"""glia report."""

from pathlib import Path

from glia.cli.screen import Console


def run(path: Path) -> None:
    """Write the page again; print its path."""
    from glia.workbench.run import open_run

    Console(highlight=False).print(str(open_run(path).report()), soft_wrap=True)
