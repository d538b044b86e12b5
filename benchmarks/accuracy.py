"""Accuracy of the defaults on real data, beside what people would use instead.

    python -m benchmarks.accuracy            # all of them
    python -m benchmarks.accuracy adult mnist

Each row is `glia.train` with its defaults on the rows named, measured on rows that training never saw. "goal" is the
figure to reach; rows with folds give mean and standard error over five. Data sets that are not beside this checkout
are skipped with a line that says so.
"""

import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

import glia  # light: torch comes with its first use
from benchmarks.adult import adult_files

os.environ.setdefault("GOMP_SPINCOUNT", "1500")  # as the command line does
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CONSOLE = Console(highlight=False)
COLUMNS = ("data", "measure", "glia", "linear", "boosting", "goal", "reached", "seconds")


@dataclass
class Row:
    """One line of the table."""

    data: str
    measure: str
    glia: float
    spread: float | None
    beside: dict[str, float]
    goal: str
    reached: bool
    seconds: float


def _train(folder: Path, source: Any, **settings: Any) -> tuple[glia.Run, float]:
    began = time.monotonic()
    run = glia.train(source, runs=folder, tell=lambda line: None, **settings)
    return run, time.monotonic() - began


def _baselines(run: glia.Run, measure: str) -> dict[str, float]:
    return {e["name"]: e["test"][measure] for e in run.metrics.get("baselines", []) if measure in e.get("test", {})}


def digits(folder: Path) -> Iterator[Row]:
    run, seconds = _train(folder, "digits")
    figure = run.metrics["test"]["accuracy"]
    reached = figure >= 0.98 and seconds < 20
    yield Row("digits", "accuracy", figure, None, _baselines(run, "accuracy"), "0.98 in 20 s", reached, seconds)


def adult(folder: Path) -> Iterator[Row]:
    run, seconds = _train(folder, **adult_files(folder))
    figure, beside = run.metrics["test"]["accuracy"], _baselines(run, "accuracy")
    line = beside["gradient boosting"] - 0.003
    yield Row(
        "adult", "accuracy", figure, None, beside, f"{line:.4f} in 180 s", figure >= line and seconds < 180, seconds
    )


def california(folder: Path) -> Iterator[Row]:
    frame = pl.read_csv(SHARED / "california-housing/housing.csv.gz")
    files = _split(folder, frame, *train_test_split(np.arange(len(frame)), test_size=0.2, random_state=0))
    run, seconds = _train(folder, files[0], test=files[1], target="median_house_value")
    figure, beside = run.metrics["test"]["rmse"], _baselines(run, "rmse")
    line = min(beside["gradient boosting"], 46_844)
    yield Row("california", "rmse", figure, None, beside, f"{line:,.0f}", figure <= line, seconds)


def _split(folder: Path, frame: pl.DataFrame, train: Any, test: Any) -> tuple[str, str]:
    paths = str(folder / "fold-train.parquet"), str(folder / "fold-test.parquet")
    for path, index in zip(paths, (train, test), strict=True):
        frame[np.sort(index)].write_parquet(path)
    return paths


def _folds(folder: Path, name: str, frame: pl.DataFrame, target: str, *, regression: bool = False) -> Iterator[Row]:
    """Five folds: no worse than the better of the baselines less one standard error (the larger of the two)."""
    measure = "rmse" if regression else "accuracy"
    if regression:
        cuts = KFold(5, shuffle=True, random_state=0).split(np.zeros(len(frame)))
    else:
        labels = frame[target].cast(pl.String).to_numpy()
        cuts = StratifiedKFold(5, shuffle=True, random_state=0).split(np.zeros(len(frame)), labels)
    ours: list[float] = []
    others: dict[str, list[float]] = {}
    began = time.monotonic()
    for train, test in cuts:
        files = _split(folder, frame, train, test)
        run, _ = _train(folder, files[0], test=files[1], target=target)
        ours.append(run.metrics["test"][measure])
        for baseline, figure in _baselines(run, measure).items():
            others.setdefault(baseline, []).append(figure)
    figure, spread = statistics.mean(ours), _error(ours)
    beside = {key: statistics.mean(values) for key, values in others.items()}
    better = (min if regression else max)(("linear model", "gradient boosting"), key=beside.__getitem__)
    slack = max(spread, _error(others[better]))
    if name == "titanic":
        goal, reached = beside["gradient boosting"], figure >= beside["gradient boosting"]
    else:
        goal = beside[better] + slack if regression else beside[better] - slack
        reached = figure <= goal if regression else figure >= goal
    yield Row(name, measure, figure, spread, beside, f"{goal:.4g}", reached, time.monotonic() - began)


def _error(figures: list[float]) -> float:
    """Standard error of their mean."""
    return statistics.stdev(figures) / math.sqrt(len(figures))


def titanic(folder: Path) -> Iterator[Row]:
    yield from _folds(folder, "titanic", pl.read_csv(SHARED / "titanic/train.csv"), "Survived")


def penguins(folder: Path) -> Iterator[Row]:
    frame = pl.read_csv(SHARED / "penguins/penguins.csv", null_values="NA")
    yield from _folds(folder, "penguins", frame, "species")


def _bundled(name: str, *, regression: bool = False) -> Callable[[Path], Iterator[Row]]:
    def rows(folder: Path) -> Iterator[Row]:
        import sklearn.datasets

        loaded = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
        frame = pl.from_pandas(loaded.frame)
        yield from _folds(folder, name.replace("_", "-"), frame, "target", regression=regression)

    return rows


def mnist(folder: Path) -> Iterator[Row]:
    path = SHARED / "mnist/mnist.npz"
    for model, goal, limit in (("lenet5", 0.99, 180), ("auto", 0.993, math.inf)):
        run, seconds = _train(folder, path, model=model, baselines=model == "auto")
        figure, name = run.metrics["test"]["accuracy"], run.recipe.model.model
        within = f" in {limit} s" if limit < math.inf else ""
        reached = figure >= goal and seconds < limit
        yield Row(
            f"mnist, {name}", "accuracy", figure, None, _baselines(run, "accuracy"), f"{goal}{within}", reached, seconds
        )


def _cifar10(folder: Path) -> Path:
    """The pictures as a user has them: JPEG files in a folder for each class."""
    if (folder / "cifar10").is_dir():
        return folder / "cifar10"
    with np.load(SHARED / "cifar10/cifar10_jpg.npz") as packed:
        for part in ("train", "test"):
            ends, data, labels = packed[f"end_{part}"], packed[f"jpg_{part}"], packed[f"y_{part}"]
            for name in CIFAR10:
                (folder / "cifar10" / part / name).mkdir(parents=True)
            for number, (end, label) in enumerate(zip(ends, labels, strict=True)):
                start = ends[number - 1] if number else 0
                path = folder / "cifar10" / part / CIFAR10[label] / f"{number}.jpg"
                path.write_bytes(data[start:end].tobytes())
    return folder / "cifar10"


def cifar10(folder: Path) -> Iterator[Row]:
    run, seconds = _train(folder, _cifar10(folder))
    figure = run.metrics["test"]["accuracy"]
    reached = figure >= 0.84 and seconds < 600
    yield Row("cifar10", "accuracy", figure, None, _baselines(run, "accuracy"), "0.84 in 600 s", reached, seconds)


def resnet20(folder: Path) -> Iterator[Row]:
    """The paper's network, which takes longer than the default."""
    settings = {"model": "resnet20", "epochs": 70, "precision": "bfloat16", "baselines": False}
    run, seconds = _train(folder, _cifar10(folder), **settings)
    figure = run.metrics["test"]["accuracy"]
    reached = figure >= 0.88 and seconds < 3600
    yield Row("cifar10, resnet20", "accuracy", figure, None, {}, "0.88 in 3600 s", reached, seconds)


ALL: dict[str, tuple[str | None, Callable[[Path], Iterator[Row]]]] = {
    "digits": (None, digits),
    "adult": ("adult", adult),
    "california": ("california-housing", california),
    "titanic": ("titanic", titanic),
    "penguins": ("penguins", penguins),
    "iris": (None, _bundled("iris")),
    "wine": (None, _bundled("wine")),
    "breast-cancer": (None, _bundled("breast_cancer")),
    "diabetes": (None, _bundled("diabetes", regression=True)),
    "mnist": ("mnist", mnist),
    "cifar10": ("cifar10", cifar10),
    "resnet20": ("cifar10", resnet20),
}


def _cells(row: Row) -> list[str]:
    spread = "" if row.spread is None else f" ±{row.spread:.2g}"
    beside = [f"{row.beside[n]:.5g}" if n in row.beside else "" for n in ("linear model", "gradient boosting")]
    reached = "yes" if row.reached else "no"
    return [row.data, row.measure, f"{row.glia:.5g}{spread}", *beside, row.goal, reached, f"{row.seconds:.0f}"]


def _show(rows: list[Row]) -> Table:
    table = Table(box=None, header_style="dim")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("data", "measure") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row), style="" if row.reached else "red")
    return table


def _write(rows: list[Row]) -> None:
    """Put the rows into ACCURACY.md, in place of those of the same data."""
    from glia.runs import machine

    path = Path(__file__).with_name("ACCURACY.md")
    lines = path.read_text().splitlines() if path.exists() else []
    table = [line for line in lines if line.startswith("| ") and not line.startswith("| data")]
    kept = {line.split("|")[1].strip(): line for line in table}
    kept |= {row.data: "| " + " | ".join(_cells(row)) + " |" for row in rows}
    about = machine.describe()
    text = [
        "# Accuracy of the defaults",
        "",
        "`make bench-accuracy` prints and writes this: `glia.train` with its defaults, measured on rows that",
        "training never saw, beside a linear model and gradient boosting (scikit-learn's defaults) on the same",
        "rows. Seconds are for everything, from reading to the report. Rows with ± are means of five folds, with",
        "their standard error.",
        "",
        f"{about['cpu']} ({about['cpu_capability']}), {about['threads']} threads, torch {about['versions']['torch']}.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
        *kept.values(),
    ]
    path.write_text("\n".join(text) + "\n")


def main(names: list[str]) -> int:
    """Run what was asked for; exit code 1 when a goal was missed."""
    rows: list[Row] = []
    for name in names or ALL:
        needs, measure = ALL[name]
        if needs is not None and not (SHARED / needs).is_dir():
            CONSOLE.print(f"{name}: skipped, the data set {needs} is not beside this checkout")
            continue
        with tempfile.TemporaryDirectory() as folder:
            for row in measure(Path(folder)):
                rows.append(row)
                CONSOLE.print(_show([row]))
    CONSOLE.print()
    CONSOLE.print(_show(rows))
    _write(rows)
    return 0 if all(row.reached for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
