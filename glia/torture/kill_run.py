"""The kill loop on a user's own run: shorter runs of its recipe, killed until the time is up."""

import time
from collections.abc import Callable
from pathlib import Path

from glia.recipe import Recipe
from glia.runs.folder import RunFolder
from glia.torture.kill import KillLoop, Kind
from glia.torture.result import Result
from glia.torture.subject import PLAIN, SHARE, shortened
from glia.torture.zygote import Zygote
from glia.workbench.train import resume, train

NAME = "kill"
PROMISE = "a run that is killed at any moment and resumed ends as the run that never was, to the last bit"
SEED = 1
MOST_KILLS = 6  # of one run
SAVES = 20  # of one run, about


def on_run(run: Path, folder: Path, seconds: float, tell: Callable[[str], None]) -> Result:
    """As many kills as `seconds` allow."""
    began = time.monotonic()
    subject, note = shortened(run, seconds)
    recipe = subject.recipe.updated(**PLAIN).updated(checkpoint_s=seconds * SHARE / SAVES)
    kind = Kind(subject.name, "glia.torture.kill_run:live", {"recipe": recipe.to_toml()})
    with Zygote(threads=recipe.train.threads or 1) as zygote:
        loop = KillLoop(zygote, folder, SEED, tell)
        while not loop.tally.completed + len(loop.tally.failed) or time.monotonic() - began < seconds:
            loop(kind, MOST_KILLS)
    tally = loop.tally
    figures = {"each": note, "runs": str(tally.completed), "inside a save": str(tally.in_saves), "seed": str(SEED)}
    return Result(NAME, PROMISE, tally.kills, tuple(tally.failed), time.monotonic() - began, figures)


def live(folder: str, workers: int, recipe: str) -> None:
    """One life of the run in `folder`: its beginning, or a resumption. The recipe's own workers load its rows."""
    run = Path(folder)
    if (run / "recipe.toml").is_file():
        if RunFolder(run).read_json("status.json", {}).get("state") != "finished":
            resume(run)
        return
    # A folder without a recipe was killed before its run had begun.
    for left in run.glob("*") if run.is_dir() else ():
        left.unlink()
    if run.is_dir():
        run.rmdir()
    train(recipe=Recipe.from_toml(recipe).updated(workers=workers), name=run.name, runs=run.parent, force=True)
