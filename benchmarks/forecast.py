"""Forecasts of ETTh1 and ETTh2 (hourly, seven columns, 96 hours ahead) with the defaults, beside the papers' figures.

    python -m benchmarks.forecast            # two minutes on a quiet core
    python -m benchmarks.forecast --model nlinear,patchtst

Mean squared and absolute errors on standardised values, on the papers' own test rows (the steps 11,520 to 14,400), as
Zeng et al. 2023 (arXiv 2205.13504, table 2) give them. Needs data/ett beside this checkout.
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
SETTINGS = {"horizon": 96, "limit_rows": 14_400, "test_share": 0.2, "valid_share": 0.25}  # 12, 4 and 4 months
PAPER = {"ETTh1": 0.375, "ETTh2": 0.289}
GOAL = {"ETTh1": 0.39}


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--model", default="auto", help="names, with commas; auto: the default")
    models = asked.parse_args().model.split(",")
    table = Table(box=None, header_style="dim")
    for name in (
        "data",
        "model",
        "mse",
        "coverage",
        "last value",
        "seasonal",
        "paper (DLinear)",
        "goal",
        "reached",
        "s",
    ):
        table.add_column(name, justify="left" if name in ("data", "model") else "right")
    missed = False
    for data, published in PAPER.items():
        source = SHARED / "ett" / f"{data}.csv.gz"
        if not source.is_file():
            print(f"skipped: there is no {source}")
            continue
        for model in models:
            began = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                run = glia.train(str(source), model=model, runs=folder, tell=CONSOLE.print, **SETTINGS)
                figures, name = run.metrics, run.recipe.model.model
            others = {one["name"]: one["test"]["mse"] for one in figures["baselines"]}
            test, goal = figures["test"], GOAL.get(data)
            reached = goal is None or test["mse"] <= goal
            missed |= not reached and model == "auto"
            table.add_row(
                data, name, f"{test['mse']:.3f}", f"{test['coverage']:.2f}", f"{others['last value']:.3f}",
                f"{others['seasonal naive']:.3f}", f"{published}", f"{goal or ''}", "yes" if reached else "no",
                f"{time.monotonic() - began:.0f}",
            )  # fmt: skip
    CONSOLE.print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
