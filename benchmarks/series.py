"""Series of the UCR and UEA archives with the defaults, on their official test parts, beside published errors.

    python -m benchmarks.series
    python -m benchmarks.series --model rocket,fcn --sets GunPoint,ArrowHead

Published: ResNet of Wang et al. 2017 (arXiv 1611.06455) for the first four; what is usual for the others
(Bagnall et al. 2018: dynamic time warping). Goal: the mean error over the first four at most the mean of
those + 0.02. Needs
data/ucr-uea beside this checkout.
"""

import argparse
import sys
import tempfile
import time

from rich.console import Console
from rich.table import Table

import glia
from benchmarks.accuracy import SHARED

CONSOLE = Console(highlight=False)
PUBLISHED = {"GunPoint": 0.007, "ItalyPowerDemand": 0.040, "ArrowHead": 0.183, "OSULeaf": 0.021}
OTHERS = {"BasicMotions": 0.025, "JapaneseVowels": 0.05}
ROOM = 0.02


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--model", default="auto", help="names, with commas; auto: the default")
    asked.add_argument("--sets", default=",".join([*PUBLISHED, *OTHERS]), help="names, with commas")
    options = asked.parse_args()
    table = Table(box=None, header_style="dim")
    for name in ("data", "model", "test error", "1-NN", "linear", "majority", "published", "s"):
        table.add_column(name, justify="left" if name in ("data", "model") else "right")
    errors: dict[str, list[float]] = {}
    for name in options.sets.split(","):
        source = SHARED / "ucr-uea" / name
        if not source.is_dir():
            print(f"skipped: there is no {source}")
            continue
        for model in options.model.split(","):
            began = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                run = glia.train(str(source), model=model, runs=folder, doctor=False)
            figures = run.metrics
            others = {one["name"]: f"{1 - one['test']['accuracy']:.3f}" for one in figures["baselines"]}
            error = 1 - figures["test"]["accuracy"]
            if name in PUBLISHED:
                errors.setdefault(model, []).append(error)
            table.add_row(
                name, run.recipe.model.model, f"{error:.3f}", others["nearest neighbour"], others["linear model"],
                others["majority class"], f"{({**PUBLISHED, **OTHERS})[name]:.3f}", f"{time.monotonic() - began:.0f}",
            )  # fmt: skip
            CONSOLE.print(f"{name} {run.recipe.model.model}: {error:.4f}")
    CONSOLE.print(table)
    goal = sum(PUBLISHED.values()) / len(PUBLISHED) + ROOM
    missed = False
    for model, found in errors.items():
        if len(found) == len(PUBLISHED):
            mean = sum(found) / len(found)
            missed |= model == "auto" and mean > goal
            CONSOLE.print(f"{model}: mean error {mean:.4f} over {len(found)} sets, goal {goal:.4f}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
