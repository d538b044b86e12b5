"""glia train, glia resume."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glia.cli import settings
from glia.cli.heavy import heavy
from glia.cli.screen import Console

if TYPE_CHECKING:
    from glia.cli.display import Display


def show_settings() -> None:
    """The settings that may follow `glia train SOURCE`."""
    Console(highlight=False).print(settings.table())


def run(
    tokens: Sequence[str], *, name: str | None, runs: Path, recipe: Path | None, quiet: bool, force: bool = False
) -> None:
    """Train from a command line."""
    words, changed = settings.read(tokens)  # before torch: a typo is answered at once
    from glia.errors import GliaError
    from glia.recipe import Recipe

    start = Recipe()
    if recipe is not None:
        if not recipe.is_file():
            raise GliaError(f"there is no recipe {recipe}", expected="a TOML file")
        start = Recipe.read(recipe, Recipe.of(limits=changed.get("limits", {})).data.limits)
    source = settings.one_word(words, "SOURCE") if words or recipe is None else None
    start = start.updated(**changed, **({"source": source} if source else {}))
    with heavy():
        from glia.workbench.train import train

        display = _display(quiet=quiet)
    with display.guarding():
        run = train(
            recipe=start, name=name, runs=runs, force=force,
            tell=display.tell, found=display.found, begin=display.begin, busy=display.busy,
        )  # fmt: skip
        display.show_result(run)


def go_on(path: Path, *, processes: int | None, quiet: bool) -> None:
    """Resume from a command line."""
    with heavy():
        from glia.workbench.train import resume

        display = _display(quiet=quiet)
    with display.guarding():
        run = resume(
            path, processes=processes, tell=display.tell, found=display.found, begin=display.begin, busy=display.busy,
        )  # fmt: skip
        display.show_result(run)


def _display(*, quiet: bool) -> "Display":
    """Of the processes that torchrun starts the first one speaks."""
    from glia.cli.display import Display

    first = os.environ.get("RANK", "0") == "0"
    return Display(quiet=quiet) if first else Display(quiet=True, console=Console(file=io.StringIO()))
