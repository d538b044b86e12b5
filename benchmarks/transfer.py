"""What weights that were trained before are worth: fine-tuned beside trained from scratch, on the same rows and epochs.

    python -m benchmarks.transfer            # about ten minutes on two cores
    python -m benchmarks.transfer cifar10
    python -m benchmarks.transfer --folder first   # networks that were trained first are kept there, and found again

cifar10: a residual network learns five of the classes, then 200 pictures of the five others; three draws of those 200,
each measured on all 5,000 official test pictures of the five. hymenoptera: a network that learned 20,000 pictures of
all ten classes, at 64 pixels, on 244 photos of ants and bees; three seeds, measured on the 153 of their own other part.
Figures are accuracies with their standard deviation over the draws, and the gain in points with its standard error.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

import glia
from benchmarks.accuracy import CIFAR10, SHARED

CONSOLE = Console(highlight=False)
FIRST = (0, 2, 4, 6, 8)  # airplane, bird, deer, frog, ship
ALL = tuple(range(10))
OTHERS = (1, 3, 5, 7, 9)  # automobile, cat, dog, horse, truck
ROWS, DRAWS = 200, 3
COLUMNS = ("data", "rows", "scratch", "tuned", "points", "goal", "reached", "s")
NETWORK: dict[str, Any] = {"model": "resnet9", "width": 16, "baselines": False}


@dataclass
class Row:
    """One line: accuracies of each draw."""

    data: str
    rows: int
    scratch: list[float]
    tuned: list[float]
    goal: float
    seconds: float

    @property
    def gains(self) -> list[float]:
        return [100 * (b - a) for a, b in zip(self.scratch, self.tuned, strict=True)]

    @property
    def error(self) -> float:
        """Standard error of the mean gain."""
        return statistics.stdev(self.gains) / len(self.gains) ** 0.5

    @property
    def reached(self) -> bool:
        """Is the gain above the goal by more than chance?"""
        return statistics.mean(self.gains) - self.error > self.goal

    def cells(self) -> list[str]:
        figures = [f"{statistics.mean(one):.3f} ±{statistics.stdev(one):.3f}" for one in (self.scratch, self.tuned)]
        gains = f"{statistics.mean(self.gains):.1f} ±{self.error:.1f}"
        return [
            self.data,
            str(self.rows),
            *figures,
            gains,
            f"{self.goal:g}",
            "yes" if self.reached else "no",
            f"{self.seconds:.0f}",
        ]


def pictures(part: str, classes: tuple[int, ...]) -> tuple[Any, Any]:
    """uint8 (N, 32, 32, 3) of these classes, and their names."""
    with np.load(SHARED / "cifar10/cifar10_jpg.npz") as packed:
        ends, data, labels = packed[f"end_{part}"], packed[f"jpg_{part}"], packed[f"y_{part}"]
    wanted = [number for number, label in enumerate(labels) if label in classes]
    made = [Image.open(BytesIO(data[ends[n - 1] if n else 0 : ends[n]].tobytes())).convert("RGB") for n in wanted]
    return np.stack([np.asarray(one) for one in made]), np.array([CIFAR10[labels[n]] for n in wanted])


def arrays(folder: Path, name: str, train: tuple[Any, Any], test: tuple[Any, Any]) -> Path:
    path = folder / f"{name}.npz"
    np.savez(path, x_train=train[0], y_train=train[1], x_test=test[0], y_test=test[1])
    return path


def pretrained(folder: Path, classes: tuple[int, ...], **settings: Any) -> Path:
    """The run of a network that knows these classes, trained unless it is in the folder."""
    name = f"first-{len(classes)}"
    if not (folder / name / "model").is_dir():
        source = arrays(folder, name, pictures("train", classes), pictures("test", classes))
        glia.train(source, runs=folder, name=name, **NETWORK, **settings)
    figure = glia.open(folder / name).metrics["test"]["accuracy"]
    CONSOLE.print(f"a network that knows {len(classes)} classes of cifar10: test accuracy {figure:.3f}")
    return folder / name


def both(folder: Path, source: Path, weights: Path, **settings: Any) -> tuple[float, float]:
    """Test accuracies from scratch and fine-tuned, with nothing else between them."""
    figures = []
    for given in ({}, {"pretrained": str(weights)}):
        run = glia.train(source, runs=folder, **NETWORK, **given, **settings)
        figures.append(run.metrics["test"]["accuracy"])
    return figures[0], figures[1]


def cifar10(folder: Path, weights: Path) -> Row:
    began = time.monotonic()
    x, y = pictures("train", OTHERS)
    test = pictures("test", OTHERS)
    found = []
    for draw in range(DRAWS):
        each = [np.flatnonzero(y == name) for name in np.unique(y)]
        chosen = np.random.default_rng(draw)
        rows = np.concatenate([chosen.choice(one, ROWS // len(OTHERS), replace=False) for one in each])
        source = arrays(folder, f"draw-{draw}", (x[rows], y[rows]), test)
        found.append(both(folder, source, weights, seed=draw))
    scratch, tuned = (list(figures) for figures in zip(*found, strict=True))
    return Row("cifar10, others", ROWS, scratch, tuned, 8.0, time.monotonic() - began)


def hymenoptera(folder: Path, weights: Path) -> Row:
    began = time.monotonic()
    train, test = (SHARED / "hymenoptera" / part for part in ("train", "val"))
    found = [both(folder, train, weights, test=str(test), image_size=64, seed=seed) for seed in range(DRAWS)]
    scratch, tuned = (list(figures) for figures in zip(*found, strict=True))
    return Row("hymenoptera", 244, scratch, tuned, 0.0, time.monotonic() - began)


def measured(names: list[str], kept: Path, folder: Path) -> Iterator[Row]:
    if "cifar10" in names:
        yield cifar10(folder, pretrained(kept, FIRST, epochs=6))
    if "hymenoptera" in names:
        yield hymenoptera(folder, pretrained(kept, ALL, epochs=5, image_size=64, limit_rows=24_000))


def show(rows: list[Row]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "data" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row.cells())
    return table


def main(words: list[str]) -> int:
    """Run what was asked for; exit code 1 when a goal was missed."""
    reader = argparse.ArgumentParser(prog="benchmarks.transfer")
    reader.add_argument("names", nargs="*", default=[], help="cifar10, hymenoptera")
    reader.add_argument("--folder", type=Path, help="where the networks that are trained first are kept")
    asked = reader.parse_args(words)
    missing = [name for name in ("cifar10", "hymenoptera") if not (SHARED / name).is_dir()]
    if missing:
        CONSOLE.print(f"skipped: {' and '.join(missing)} not beside this checkout")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for row in measured(asked.names or ["cifar10", "hymenoptera"], asked.folder or Path(folder), Path(folder)):
            rows.append(row)
            CONSOLE.print(show([row]))
    CONSOLE.print(show(rows))
    return 0 if all(row.reached for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
