"""glia evaluate."""

from pathlib import Path

from glia.cli.heavy import heavy
from glia.cli.screen import Console


def run(path: Path, source: str, *, limits: str = "") -> None:
    """Print the figures of a run on new rows."""
    with heavy():
        from glia.cli.display import results
        from glia.workbench.run import open_run

    run = open_run(path)
    console = Console(highlight=False)
    console.print(results({"new": run.evaluate(source, limits=limits)}, "new"))
    if run.promise:
        console.print(f"  this run was resumed {run.promise}", soft_wrap=True, markup=False)
