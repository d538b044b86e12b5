"""glia evaluate."""

from pathlib import Path

from rich.console import Console


def run(path: Path, source: str) -> None:
    """Print the figures of a run on new rows."""
    from glia.cli.display import results
    from glia.workbench.run import open_run

    figures = open_run(path).evaluate(source)
    Console(highlight=False).print(results({"new": figures}, "new"))
