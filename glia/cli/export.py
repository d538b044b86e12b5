"""glia export."""

from pathlib import Path

from glia.cli.screen import Console


def run(path: Path, out: Path, *, overwrite: bool) -> None:
    """Write the network; print the path."""
    from glia.workbench.run import open_run

    Console(highlight=False).print(str(open_run(path).export(out, overwrite=overwrite)), soft_wrap=True)
