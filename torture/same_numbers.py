"""Runs of every kind with one thing changed that must not matter, and with all of them changed at once."""

from collections.abc import Callable, Iterator
from itertools import count as count_from
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from glia import disk
from glia.data.batches import Batches
from glia.recipe import Recipe
from glia.torture.result import Result
from glia.torture.same_numbers import ALL_AT_ONCE, FACTORS, NAME, PROMISE, Factor, SameNumbers
from glia.torture.subject import Subject
from torture import given_runs

KINDS = ("mlp", "folds", "tabm", "pictures", "own", "lstm", "gpt", "gan")
SMALL = 2 * len(KINDS)
LARGE = 3 * len(KINDS) * (len(FACTORS) + 1)
ROWS, PICTURES, SIDE = 180, 48, 16
QUICK: dict[str, Any] = {"epochs": 4, "batch_size": 16, "lr": 0.01, "threads": 1}


def run(count: int, folder: Path, tell: Callable[[str], None]) -> Result:
    """`count` runs, each compared with one that had nothing changed; seeds from 0 on."""
    trial = SameNumbers(folder / "runs", tell)
    made = cells(folder)
    for _ in range(count):
        trial(*next(made))
    figures = {"runs": ", ".join(f"{n} {name.partition('-')[0]}" for name, n in trial.by_subject.items())}
    return Result(NAME, PROMISE, trial.tried, tuple(trial.failed), figures=figures)


def cells(folder: Path) -> Iterator[tuple[Subject, Factor]]:
    """Every kind with every factor, those of one seed before those of the next; each kind soon sees some factor."""
    factors = (*FACTORS, ALL_AT_ONCE)
    for seed in count_from():
        made = subjects(folder, seed)
        for turn in range(len(factors)):
            for number, subject in enumerate(made):
                # Another factor for each kind, so that few runs see all factors; 5 steps through 12 without a repeat.
                yield subject, factors[(turn + 5 * number) % len(factors)]


def subjects(folder: Path, seed: int = 0) -> list[Subject]:
    """One of each kind, small."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, pictures = _table(folder / "rows.csv"), _pictures(folder / "pictures.npz")
    table = Recipe.of(source=str(rows), target="label", seed=seed, **QUICK)
    drawn = Recipe.of(source=str(pictures), seed=seed, **{**QUICK, "lr": 0.003})
    augmented = {"model": "lenet5", "augment": "shift,rotate,erase,mixup", "dropout": 0.2, "ema": 0.9}
    given = Recipe.of(model="custom", seed=seed, **{**QUICK, "lr": 0.003})
    return [
        Subject(f"mlp-{seed}", table.updated(model="mlp", hidden=[16], dropout=0.2, accumulate=2, clip=0.5)),
        Subject(f"folds-{seed}", table.updated(model="folds", width=16, epochs=3)),
        Subject(f"tabm-{seed}", table.updated(model="tabm", width=16, members=4, swa=0.5, optimizer="sgd")),
        Subject(f"pictures-{seed}", drawn.updated(**augmented)),
        Subject(f"own-{seed}", table.updated(drop="town", optimizer="rmsprop"), "torture.same_numbers:own"),
        *(Subject(f"{what}-{seed}", given, f"torture.same_numbers:given_{what}") for what in ("lstm", "gpt", "gan")),
    ]


class Reader(nn.Module):
    """An LSTM over the numbers of a row, with dropout and batch norm: (N, columns) -> (N, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.LSTM(1, 12, num_layers=2, dropout=0.3, batch_first=True)
        self.norm = nn.BatchNorm1d(12)
        self.head = nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.body(torch.nan_to_num(x)[:, :, None])
        out: Tensor = self.head(self.norm(states[:, -1]))
        return out


def own() -> dict[str, Any]:
    """A network of one's own, with the same first weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {"model": Reader()}


def given_lstm() -> dict[str, Any]:
    """Rows of unequal lengths."""
    return _given(given_runs.lstm)


def given_gpt() -> dict[str, Any]:
    """The next letter of texts."""
    return _given(given_runs.gpt)


def given_gan() -> dict[str, Any]:
    """Two networks, and noise in each step."""
    return _given(given_runs.gan)


def _given(made: Callable[[], given_runs.Made]) -> dict[str, Any]:
    (inputs, targets), model, step = made()
    cut = given_runs.ROWS * 3 // 4
    parts = ((inputs[:cut], targets[:cut]), (inputs[cut:], targets[cut:]))
    data = tuple(Batches(x, y, torch.arange(len(x))) for x, y in parts)
    return {"data": data, "model": model, "step": step}


def _table(path: Path) -> Path:
    """Numbers with gaps, a column of words, two classes."""
    if not path.exists():
        chance = np.random.default_rng(0)
        a, b, c = chance.normal(size=(3, ROWS))
        frame = pl.DataFrame({"a": a, "b": b, "c": np.where(chance.random(ROWS) < 0.1, np.nan, c)})
        frame = frame.with_columns(
            town=pl.Series(chance.choice(["Bern", "Rom", "Oslo"], ROWS)),
            label=pl.Series(np.where(a * b + 0.3 * chance.normal(size=ROWS) > 0, "same", "other")),
        )
        disk.write_file(path, frame.write_csv())
    return path


def _pictures(path: Path) -> Path:
    """Grey pictures of a bar that lies (0) or stands (1)."""
    if not path.exists():
        chance = np.random.default_rng(0)
        x = chance.integers(0, 60, (PICTURES, SIDE, SIDE)).astype(np.uint8)
        y = np.arange(PICTURES) % 2
        for number, at in enumerate(chance.integers(3, SIDE - 4, PICTURES)):
            x[(number, slice(None), slice(at, at + 2)) if y[number] else (number, slice(at, at + 2))] = 220
        np.savez(path, x=x, y=y)
    return path
