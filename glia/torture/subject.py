"""What an experiment trains again and again: a recipe, also that of a user's own run, made short."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from glia.errors import GliaError
from glia.recipe import Recipe
from glia.runs.folder import RunFolder

SHARE = 0.1  # of the time of an experiment that one run takes
LEAST_EPOCHS, LEAST_ROWS = 2, 200  # of such a run
# What the run that the others are compared with is like: nothing beside the training itself.
PLAIN: dict[str, Any] = {
    "workers": 0, "valid_every": 1, "doctor": False, "tensorboard": False, "baselines": False, "trial_time": 0.0,
    "checkpoint_s": 3600.0, "patience": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """What is trained again and again.

    given: "module:function"; called, it makes what `glia.train` and `glia.resume` take beside the recipe, such as
    ``{"model": a fresh module}``. Without it the recipe says all.
    """

    name: str
    recipe: Recipe
    given: str = ""

    def fresh(self) -> dict[str, Any]:
        """What is given, made anew."""
        if not self.given:
            return {}
        module, _, function = self.given.partition(":")
        return dict(getattr(importlib.import_module(module), function)())


def shortened(run: Path, seconds: float) -> tuple[Subject, str]:
    """The recipe of a run with so few epochs and rows that a run takes about a tenth of `seconds`; what it is now."""
    folder = RunFolder.open(run)
    recipe = folder.recipe
    if recipe.model.model == "custom" or str(recipe.data.source).endswith("in memory>"):
        raise GliaError(
            f"{run} cannot be trained again from its folder alone", got="a network or data that lived in memory",
            expected="a network by name, and data in a file",
        )  # fmt: skip
    rows, epochs = int(folder.read_json("data.json", {}).get("rows") or 0), recipe.train.epochs or 1
    each = _epoch_seconds(folder)
    fewer = max(LEAST_EPOCHS, min(epochs, int(seconds * SHARE / each)))
    changed: dict[str, Any] = {"epochs": fewer}
    if fewer * each > seconds * SHARE and rows:
        keep = max(LEAST_ROWS, int(rows * seconds * SHARE / (fewer * each)))
        if keep < rows:
            changed["limit_rows"] = keep
    note = f"{fewer} of {epochs} epochs" + (f", {changed['limit_rows']:,} of {rows:,} rows" if len(changed) > 1 else "")
    return Subject(folder.name, recipe.updated(**changed)), note


def _epoch_seconds(folder: RunFolder) -> float:
    """What an epoch took: the median, for the first one also pays for what begins."""
    times = [
        float(line["seconds"]) for line in folder.lines("clock.jsonl") if isinstance(line.get("seconds"), int | float)
    ]
    return max(median(times), 1e-3) if times else 1.0
