"""Time of a step and memory of a process along one thing that grows."""

import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from glia.data.batches import Batches
from glia.models.gpt import GPT2
from glia.report.plot import Frame, Series, draw
from glia.report.svg import Axis
from glia.training.language import next_token
from glia.training.loop import Moment, fit

POINTS = Path(__file__).resolve().parents[1] / "growth.json"
PICTURE = POINTS.with_suffix(".svg")
STEPS, BLOCKS, BATCH = 240, 12, 128
LAST = 3  # points that a slope is taken through
STYLE = (
    "text{font:11px sans-serif;fill:#333}.name{font-weight:600}.rule{stroke:#ddd}.axis,.mark{stroke:#888}"
    ".line{stroke:#1b6ca8;stroke-width:1.6}.point{fill:#1b6ca8}.s2.line{stroke:#c4581d}.point.s2{fill:#c4581d}"
)

Parts = tuple[nn.Module, Any, Any]
"""The network, its rows and its Step; None for cross-entropy on classes."""


def _mlp(inputs: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))


def _table(rows: int, columns: int) -> Batches:
    x = torch.randn(rows, columns)
    return Batches(x, (x[:, 0] > 0).long(), torch.arange(rows))


def of_rows(rows: int) -> Parts:
    return _mlp(20, 64), _table(rows, 20), None


def of_features(features: int) -> Parts:
    return _mlp(features, 64), _table(4096, features), None


def of_parameters(width: int) -> Parts:
    return _mlp(20, width), _table(4096, 20), None


def of_length(length: int) -> Parts:
    tokens = torch.randint(0, 65, (256, length + 1))
    rows = Batches(tokens[:, :-1], tokens[:, 1:], torch.arange(256))
    return GPT2(65, 64, 2, 2, positions=length), rows, next_token()


@dataclass(frozen=True)
class Sweep:
    """values: what grows. per: steps measured and rows a step, at each."""

    title: str
    make: Callable[[int], Parts]
    values: tuple[int, ...]
    steps: int = STEPS
    batch: int = BATCH


SWEEPS = {
    "rows": Sweep("rows of the table", of_rows, (1_000, 10_000, 100_000, 1_000_000, 10_000_000)),
    "features": Sweep("features", of_features, (10, 30, 100, 300, 1000, 3000, 10_000)),
    "parameters": Sweep("parameters", of_parameters, (16, 64, 256, 512, 1024, 2048), steps=60),
    "length": Sweep("tokens of a row", of_length, (32, 64, 128, 256, 512, 1024), steps=36, batch=4),
}


def run(name: str) -> None:
    """Measure one sweep and keep its points."""
    points = [list(apart(_point, name, value)) for value in SWEEPS[name].values]
    keep(name, points)
    for x, ms, mb in points:
        print(f"{name:12s} {x:>14,.0f} {ms:9.3f} ms a step {mb:8.0f} MB", flush=True)


def _point(name: str, value: int) -> tuple[float, float, float]:
    torch.manual_seed(0)
    for _ in islice(_steps(_mlp(8, 16), _table(64, 8), None, 32), 4):
        pass  # what is loaded late
    before = resident_mb()
    sweep = SWEEPS[name]
    model, rows, step = sweep.make(value)
    grown = sum(p.numel() for p in model.parameters()) if name == "parameters" else value
    taken: list[float] = []
    began, block = time.process_time(), sweep.steps // BLOCKS
    for done, _ in enumerate(_steps(model, rows, step, sweep.batch), 1):
        if done % block == 0:
            now = time.process_time()
            taken.append((now - began) / block)
            began = now
        if done == sweep.steps + block:
            break
    return float(grown), 1000 * statistics.median(taken[1:]), max(peak_mb() - before, 1.0)


def _steps(model: nn.Module, rows: Any, step: Any, batch: int) -> Iterator[Moment]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    for moment in fit(model, rows, step=step, optimizer=optimizer, epochs=1 << 30, batch_size=batch, measure_every=100):
        if moment.kind == "step":
            yield moment


def long_run(most: int) -> None:
    """One run of so many steps on a tiny network: each tenth's CPU time and memory."""
    keep("steps", apart(_tenths, most))
    for tenth, (done, us, mb) in enumerate(kept()["steps"], 1):
        print(f"tenth {tenth:2d}, to step {done:>11,.0f}: {us:7.1f} us a step, {mb:6.1f} MB", flush=True)


def _tenths(most: int) -> list[list[float]]:
    torch.manual_seed(0)
    rows, found, began = _table(4096, 8), [], 0.0
    for done, _ in enumerate(_steps(_mlp(8, 16), rows, None, 32)):
        if done % (most // 10) == 0:
            now = time.process_time()
            if done:
                found.append([float(done), 1e6 * (now - began) / (most // 10), resident_mb()])
            began = now
            if done == most:
                break
    return found


def apart(call: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a call in a process of its own, which memory is measured in."""
    torch.set_num_threads(1)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(call, arguments)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def kept() -> dict[str, Any]:
    return json.loads(POINTS.read_text()) if POINTS.exists() else {}


def keep(name: str, points: Any) -> None:
    POINTS.write_text(json.dumps(kept() | {name: points}, indent=1) + "\n")


def slope(x: list[float], y: list[float]) -> float:
    """Of the straight line through the logarithms of the last points."""
    return float(np.polyfit(np.log(x[-LAST:]), np.log(y[-LAST:]), 1)[0])


def picture() -> None:
    """All sweeps that were measured, time and memory, in one SVG."""
    found = {name: np.array(points) for name, points in kept().items() if name in SWEEPS}
    panels = []
    for row, (name, points) in enumerate(found.items()):
        for column, unit in enumerate(("CPU ms a step", "MB more")):
            x, y = points[:, 0], points[:, column + 1]
            low, high = 10.0 ** np.floor(np.log10(y.min())), 10.0 ** np.ceil(np.log10(y.max() * 1.01))
            frame = Frame(Axis(SWEEPS[name].title, x.min(), x.max(), log=True), Axis(unit, low, high, log=True))
            plot = draw(f"{name}{column}", name, [Series(unit, x, y, f"s{column + 1}", "line marked")], frame)
            place = f'<svg x="{540 * column}" y="{330 * row + 20}" width="520" height="300" '
            said = f"{unit}, slope {slope(x.tolist(), y.tolist()):.2f}"
            panels.append(f'<text class="name" x="{540 * column + 64}" y="{330 * row + 16}">{said}</text>')
            panels.append(str(plot.svg).replace("<svg ", place, 1))
    height = 330 * len(found) + 20
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1080 {height}" width="1080" height="{height}">'
    PICTURE.write_text(
        f"{head}<style>{STYLE}</style><rect width='100%' height='100%' fill='#fff'/>{''.join(panels)}</svg>\n"
    )
