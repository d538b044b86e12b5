"""A CSV's size against memory and time; reading beside polars; a folder of pictures and who waits for whom."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import torch
from PIL import Image

import glia
from benchmarks.growth.curves import apart, keep, kept, peak_mb
from glia.data.images import pixels
from glia.data.tables.read import open_table, read
from glia.data.tables.source import ReadOptions
from glia.models.build import build
from glia.training.loop import fit

PIECE = 200_000  # rows that are made at a time
READ_ROWS, TURNS = 1_000_000, 5
PICTURES, SIDE, EPOCHS, BATCH = 10_000, 128, 2, 64
CSV_BYTES = (1e8, 1e9)
TRAIN = """
import json, resource, sys, time
import glia
said = []
began = time.process_time()
data = glia.prepare(sys.argv[1], target="y")
read = time.process_time() - began
mb = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
after = mb()
glia.train(data=data, model="mlp", hidden="64,64", epochs=1, batch_size=4096, lr=2e-3, threads=1, runs=sys.argv[2])
print(json.dumps([data.card["rows"], read, time.process_time() - began, after, mb()]))
"""


def made_pieces(least: float) -> Iterator[pl.DataFrame]:
    """Rows of twelve numbers, a whole one and two categories with gaps, until they fill so many bytes as text."""
    dice, size = np.random.default_rng(0), 0.0
    cities = np.array([f"city {i}" for i in range(200)])
    while size < least:
        columns: dict[str, Any] = {f"x{i}": (dice.normal(size=PIECE) * 10).round(4) for i in range(12)}
        columns["n"] = dice.integers(0, 1000, PIECE)
        columns["colour"] = np.array(["red", "green", "blue", "n/a"])[dice.integers(0, 4, PIECE)]
        columns["city"] = cities[dice.integers(0, 200, PIECE)]
        hidden = columns["x0"] + columns["x1"] * (columns["n"] > 500) + dice.normal(size=PIECE)
        frame = pl.DataFrame(columns | {"y": np.where(hidden > 0, "yes", "no")})
        size += frame.height * 113.0
        yield frame


def make_csv(path: Path, least: float) -> None:
    with path.open("wb") as file:
        for number, frame in enumerate(made_pieces(least)):
            frame.write_csv(file, include_header=number == 0)


def csv(most: float, folder: Path) -> None:
    """Train an epoch on CSVs that grow up to `most` bytes."""
    for least in sorted({*(size for size in CSV_BYTES if size < most), most}):
        path = folder / f"{least:.0f}.csv"
        if not path.exists():
            make_csv(path, least)
        command = [sys.executable, "-c", TRAIN, str(path), str(folder / "runs")]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        figures = [path.stat().st_size, *map(float, said.strip().splitlines()[-1].strip("[]").split(","))]
        path.unlink()
        keep("csv", sorted([*(line for line in kept().get("csv", []) if line[0] != figures[0]), figures]))
        print(f"csv {figures[0] / 1e6:,.0f} MB: {figures[1:]}", flush=True)


def reading(folder: Path) -> None:
    """CPU time of reading a table of a million rows, glia's and polars' turns interleaved."""
    path = folder / "million.csv"
    make_csv(path, READ_ROWS * 113.0)
    ways = {
        "glia, cells as text": lambda: len(read(open_table(path, ReadOptions()))),
        "polars, cells as text": lambda: pl.read_csv(path, infer_schema=False).height,
        "polars, types guessed": lambda: pl.read_csv(path).height,
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS + 1):
        for name, way in ways.items():
            began = time.process_time()
            assert way() == READ_ROWS
            if turn:
                taken[name].append(time.process_time() - began)
    keep("reading", {name: [statistics.median(times), min(times), max(times)] for name, times in taken.items()})
    print("reading", kept()["reading"], flush=True)


def make_pictures(folder: Path, count: int) -> None:
    dice = np.random.default_rng(0)
    for number in range(count):
        kind = ("up", "down")[number % 2]
        small = dice.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        small = np.sort(small, axis=0)[:: 1 if kind == "down" else -1]
        target = folder / kind / f"{number:05d}.jpg"
        target.parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(target, quality=85)


def loader(count: int) -> None:
    """The share of training that waits for pictures, held in memory, on disk, or decoded each time."""
    with TemporaryDirectory() as folder:
        make_pictures(Path(folder), count)
        ways = {
            "in memory, as they are": (1.0, 0.0, None, "none"),
            "in memory, augmented (the default)": (1.0, 0.0, None, "auto"),
            "in memory, augmented, no worker": (1.0, 0.0, 0, "auto"),
            "on the disk, augmented": (0.0, 1.0, None, "auto"),
            "decoded each time, augmented": (0.0, 0.0, None, "auto"),
            "decoded each time, augmented, 2 workers": (0.0, 0.0, 2, "auto"),
        }
        keep("loader", [[name, count, *apart(_waited, folder, *how)] for name, how in ways.items()])
    for line in kept()["loader"]:
        print("loader", line, flush=True)


def _waited(folder: str, memory: float, disk: float, workers: int | None, augment: str) -> list[float]:
    """Seconds (CPU) of preparing; us a picture in a first and a later epoch; share of the later one that waits;
    MB; how many programs wanted a core in the last minute.
    """
    pixels.MEMORY_SHARE, pixels.DISK_SHARE = memory, disk
    began = time.process_time()
    data = glia.prepare(folder, workers=workers, augment=augment, valid_share=0, test_share=0)
    prepared = time.process_time() - began
    model = build("resnet9", data.facts, data.task, seed=0, width=16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, fused=True)
    waits = [0.0] * EPOCHS
    ends, cpu = [time.monotonic()], [time.process_time()]
    for moment in fit(model, data, optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH, measure_every=100):
        waits[moment.epoch] += moment.waited
        if moment.kind == "epoch":
            ends.append(time.monotonic())
            cpu.append(time.process_time())
    share = waits[-1] / (ends[-1] - ends[-2])
    each = [1e6 * (b - a) / len(data.train) for a, b in zip(cpu, cpu[1:])]
    return [prepared, each[0], each[-1], share, peak_mb(), os.getloadavg()[0]]
