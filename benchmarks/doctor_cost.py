"""What the doctor costs: CPU time of the same training with it and without it, in turns.

    python -m benchmarks.doctor_cost            # all of them
    python -m benchmarks.doctor_cost mlp memory

mlp, cnn: glia's own loop under the listener that `glia train` uses, at epoch ends the checks too. script: a stranger's
loop of 2,000 steps as `glia doctor` sees it, rows and model kept. Each row gives the median of the paired ratios, the
quartiles, and the goal: 3 % of a step above 1 ms, 10 % of a shorter one. memory: resident memory before and after
100,000 tiny steps under the listener.
"""

import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import glia
from glia.data.batches import Batches
from glia.data.facts import TensorFacts
from glia.data.prepared import Prepared
from glia.data.task import Task
from glia.recipe import Recipe
from glia.runs.folder import RunFolder
from glia.workbench.checkup import Checkup
from glia.workbench.session import Session

CONSOLE = Console(highlight=False)
PAIRS, STEPS, TINY_STEPS = 7, 2_000, 100_000
LONG_MS, OF_LONG, OF_SHORT = 1.0, 0.03, 0.10  # a long step, and the shares that may be spent
ROOM_MB = 20.0  # that memory may grow in a long run


@dataclass(frozen=True)
class Cost:
    """Ratios of the time with the doctor to the time without, one a pair."""

    name: str
    step_ms: float
    ratios: list[float]

    @property
    def goal(self) -> float:
        return OF_LONG if self.step_ms > LONG_MS else OF_SHORT

    @property
    def median(self) -> float:
        return statistics.median(self.ratios) - 1

    @property
    def reached(self) -> bool:
        return self.median <= self.goal


def paired(name: str, steps: int, run: Callable[[bool], None], pairs: int = PAIRS) -> Cost:
    """Run with and without in turns, the order changing, and compare neighbours."""
    for watched in (True, False):
        run(watched)
    ratios, alone = [], []
    for number in range(pairs):
        took = {watched: _seconds(run, watched) for watched in ((True, False) if number % 2 else (False, True))}
        ratios.append(took[True] / took[False])
        alone.append(took[False])
    return Cost(name, 1000 * statistics.median(alone) / steps, ratios)


def _seconds(run: Callable[[bool], None], watched: bool) -> float:
    gc.collect()
    began = time.process_time()
    run(watched)
    return time.process_time() - began


class Plain:
    """The Reader of rows that were made here."""

    kind = "plain"

    def stream(self, source: object, *, targets: bool = False, rows: int = 4096) -> Iterator[object]:
        return iter(())

    def to_dict(self) -> dict[str, object]:
        return {}


def rows(count: int, *shape: int) -> Prepared:
    """Rows of noise with two classes that can be told apart."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, *shape, generator=generator)
    y = (x.flatten(1)[:, :4].sum(1) > 0).long()
    held = count // 10
    train, valid = (Batches(x[i], y[i], torch.arange(count)[i]) for i in (slice(held, None), slice(held)))
    task = Task("classify", ("label",), ("no", "yes"))
    return Prepared(train, valid, None, task, TensorFacts(shape, len(train)), Plain())  # type: ignore[arg-type]


def own_loop(model: nn.Module, data: Prepared, steps: int) -> Callable[[bool], None]:
    """Training as `glia train` does it, without what comes before and after."""
    settings = {"model": "custom", "lr": 1e-3, "batch_size": 64, "epochs": 1, "optimizer": "adamw", "device": "cpu"}
    per_epoch = data.train.steps(64)
    recipe = Recipe.of(**{**settings, "epochs": max(1, round(steps / per_epoch))})
    start = {name: value.clone() for name, value in model.state_dict().items()}

    @contextmanager
    def doctor(session: Session, watched: bool) -> Iterator[list[Callable[..., None]]]:
        if not watched:
            yield []
            return
        with TemporaryDirectory() as folder:
            checkup = Checkup(session, lambda finding: None)
            with checkup.watching(RunFolder(Path(folder)), None):
                yield [checkup.watch]

    def run(watched: bool) -> None:
        model.load_state_dict(start)
        session = Session(recipe, data, model)
        with doctor(session, watched) as watchers:
            for moment in session.moments(None):
                for watch in watchers:
                    watch(moment)

    return run


def mlp() -> Cost:
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    return paired("mlp, glia's loop", 3000, own_loop(model, rows(20_000, 20), 3000))


def cnn() -> Cost:
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 9, 2))
    return paired("cnn, glia's loop", 150, own_loop(model, rows(1_600, 1, 28, 28), 150))


def strangers_loop(steps: int, width: int = 128, batch: int = 64) -> Callable[[bool], None]:
    """A plain script's loop: a loader, a model, an optimiser."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(10_000, 32, generator=generator)
    y = (x[:, :4].sum(1) > 0).long()

    def loop() -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(32, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=batch, shuffle=True)
        criterion, done = nn.CrossEntropyLoss(), 0
        while done < steps:
            for inputs, labels in loader:
                optimizer.zero_grad()
                criterion(model(inputs), labels).backward()
                optimizer.step()
                done += 1
                if done == steps:
                    break

    def run(watched: bool) -> None:
        if not watched:
            loop()
            return
        with glia.listen(capture=True):
            loop()

    return run


def script() -> Cost:
    return paired(f"a script of {STEPS:,} steps, rows kept", STEPS, strangers_loop(STEPS))


def memory() -> tuple[float, float, float]:
    """MB resident before, in the middle and after so many tiny steps under the listener."""
    model, x = nn.Linear(4, 1), torch.randn(8, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)

    def steps(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()

    steps(500)
    before = resident()
    with glia.listen(capture=False) as chart:
        steps(TINY_STEPS // 2)
        middle = resident()
        steps(TINY_STEPS - TINY_STEPS // 2)
        after = resident()
    CONSOLE.print(f"the chart keeps {len(chart.steps):,} steps and {len(chart.layers):,} layers", style="dim")
    return before, middle, after


def resident() -> float:
    """MB of memory that the process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


COSTS: dict[str, Callable[[], Cost]] = {"mlp": mlp, "cnn": cnn, "script": script}


def main(names: list[str]) -> int:
    """Measure what was asked for; exit code 1 when it costs more than it may."""
    torch.set_num_threads(1)
    table = Table(box=None, header_style="dim")
    for column in ("what", "step ms", "more time", "quartiles", "goal", "reached"):
        table.add_column(column, justify="left" if column == "what" else "right", no_wrap=True)
    good = True
    for name in names or [*COSTS, "memory"]:
        if name == "memory":
            before, middle, after = memory()
            bounded = after - before < ROOM_MB
            CONSOLE.print(f"memory over {TINY_STEPS:,} steps: {before:.0f} -> {middle:.0f} -> {after:.0f} MB")
            good &= bounded
            continue
        cost = COSTS[name]()
        low, _, high = statistics.quantiles(cost.ratios, n=4)
        spread = f"{100 * (low - 1):.1f} to {100 * (high - 1):.1f} %"
        reached = "yes" if cost.reached else "no"
        table.add_row(
            cost.name, f"{cost.step_ms:.2f}", f"{100 * cost.median:.1f} %", spread, f"{100 * cost.goal:.0f} %", reached
        )
        good &= cost.reached
    CONSOLE.print(table)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
