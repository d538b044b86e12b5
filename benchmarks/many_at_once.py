"""Sixteen small networks side by side beside one, and beside sixteen one after the other.

    python -m benchmarks.many_at_once [turns]

Works: tables' networks of 20-64-64-2 and 32-256-256-2 and a small convolutional one, batches of 32, Adam, sixteen rates
and seeds, each with its own order of rows, training only, `glia.fit` against `glia.fit_many`. And the step of a plain
loop of torch (rows in memory, fused Adam, nothing looked at) for one network.

ms a step: CPU time of one thread, over whole epochs once everything is recorded, all ways in turn; median over turns
and, in brackets, the smallest and largest. The ratios are medians of the turns' own ratios. beginning: CPU seconds of
sixteen side by side before the first step. apart: the largest difference of a weight between a network trained side by
side and the same trained alone, over two epochs; with ReLU and Adam a single rounding can grow (docs/many.md).
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import glia
from glia.data.batches import Batches
from glia.optim.build import build
from glia.seed import mix

MANY, ROWS, BATCH, GOAL, TURNS = 16, 3200, 32, 4.0, 9
SETTINGS = [{"seed": number, "lr": 1e-3 * 2 ** (number / 8)} for number in range(MANY)]


@dataclass(frozen=True)
class Work:
    make: Callable[[int], nn.Module]
    shape: tuple[int, ...]


def dense(*widths: int) -> Callable[[int], nn.Module]:
    def make(seed: int) -> nn.Module:
        layers = [part for a, b in zip(widths, widths[1:]) for part in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*layers[:-1])

    return make


def convolutional(seed: int) -> nn.Module:
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32, 2))


WORKS = {
    "table 20-64-64-2": Work(dense(20, 64, 64, 2), (20,)),
    "table 32-256-256-2": Work(dense(32, 256, 256, 2), (32,)),
    "convolutions of 4 and 8": Work(convolutional, (1, 8, 8)),
}


def rows_of(work: Work) -> Batches:
    inputs = torch.randn(ROWS, *work.shape, generator=torch.Generator().manual_seed(0))
    flat = inputs.flatten(1)
    return Batches(inputs, (flat[:, 0] * flat[:, 1] + flat[:, 2] > 0).long(), torch.arange(ROWS))


def made(work: Work, seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(mix(seed, "weights"))
        return work.make(seed)


def plain(work: Work, data: Batches) -> Iterator[None]:
    """A bare loop; an epoch for each `next`."""
    model = made(work, 0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    assert isinstance(data.inputs, Tensor)
    while True:
        order = torch.randperm(ROWS)
        inputs, targets = data.inputs[order].split(BATCH), data.targets[order].split(BATCH)
        for x, y in zip(inputs, targets):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        yield


def single(work: Work, data: Batches, number: int) -> Iterator[None]:
    """`glia.fit`; an epoch for each `next`."""
    model, setting = made(work, int(SETTINGS[number]["seed"])), SETTINGS[number]
    optimizer = build("adam", model, lr=setting["lr"])
    run = glia.fit(model, data, optimizer=optimizer, epochs=10**6, batch_size=BATCH, seed=int(setting["seed"]))
    for moment in run:
        if moment.kind == "epoch":
            yield


def in_a_row(work: Work, data: Batches) -> Iterator[None]:
    runs = [single(work, data, number) for number in range(MANY)]
    while True:
        for run in runs:
            next(run)
        yield


def side_by_side(work: Work, data: Batches, epochs: int, seen: Callable[[int], None] = lambda epoch: None) -> Any:
    """`glia.fit_many`; `seen` is called after each epoch."""

    def drop(epoch: int, going: Sequence[Any]) -> list[int]:
        seen(epoch)
        return []

    return glia.fit_many(work.make, data, SETTINGS, optimizer="adam", epochs=epochs, batch_size=BATCH, drop=drop)


def apart(work: Work, data: Batches) -> float:
    """The largest difference of a weight after two epochs."""
    worst = 0.0
    for member in side_by_side(work, data, 2):
        model = made(work, member.settings["seed"])
        optimizer = build("adam", model, lr=member.settings["lr"])
        for _ in glia.fit(model, data, optimizer=optimizer, epochs=2, batch_size=BATCH, seed=member.settings["seed"]):
            pass
        pairs = zip(member.model.parameters(), model.parameters())
        worst = max(worst, *((a - b).abs().max().item() for a, b in pairs))
    return worst


def timed(work: Work, data: Batches, turns: int) -> tuple[dict[str, list[float]], float]:
    """CPU milliseconds of a step by way and turn, and the CPU seconds before the first step side by side.

    An epoch side by side is a turn's own; between it and the next the other ways make theirs.
    """
    others = {"plain": plain(work, data), "one": single(work, data, 0), "row": in_a_row(work, data)}
    took: dict[str, list[float]] = {name: [] for name in (*others, "many")}
    steps, began = data.steps(BATCH), time.process_time()
    mark = began

    def seen(epoch: int) -> None:
        nonlocal mark
        took["many"].append(time.process_time() - mark)
        for name, run in others.items():
            mark = time.process_time()
            next(run)
            took[name].append(time.process_time() - mark)
        mark = time.process_time()

    many = side_by_side(work, data, turns + 2, seen)
    assert many.together, many.why
    first = took["many"][0] - statistics.median(took["many"])
    return {name: [1000 * second / steps for second in known[2:]] for name, known in took.items()}, first


def spread(known: Sequence[float]) -> str:
    return f"{statistics.median(known):.3f} [{min(known):.3f}-{max(known):.3f}]"


def ratio(many: Sequence[float], few: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(many, few, strict=True))


def main(words: list[str]) -> int:
    """Print the table and how far the goal is."""
    torch.set_num_threads(1)
    turns = int(words[0]) if words else TURNS
    table = Table(box=None, header_style="dim")
    heads = ("network", "plain loop, 1", "glia.fit, 1", "glia.fit, 16 in a row", "glia.fit_many, 16")
    for column in (*heads, "/ plain", "/ fit", "/ row", "beginning", "apart"):
        table.add_column(column, no_wrap=column != "network")
    ratios = {}
    for name, work in WORKS.items():
        data = rows_of(work)
        known, first = timed(work, data, turns)
        many = known["many"]
        ratios[name] = [ratio(many, known[other]) for other in ("plain", "one", "row")]
        cells = [spread(known[way]) for way in ("plain", "one", "row", "many")]
        table.add_row(name, *cells, *(f"{r:.2f}" for r in ratios[name]), f"{first:.2f} s", f"{apart(work, data):.0e}")
    Console(highlight=False, width=200).print(table)
    name = next(iter(WORKS))
    of_plain, of_fit, _ = ratios[name]
    told = f"{of_plain:.2f} of the plain loop, {of_fit:.2f} of glia.fit"
    print(f"goal, {name}: {MANY} in {GOAL:g} times the time of one; {told}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
