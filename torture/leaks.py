"""Work that is done again and again in one process: memory, files, threads and tensors must stay as they are."""

import gc
import threading
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.optim import optimizer as torch_optimizer

import glia
from glia.data.batches import Batches
from glia.torture.result import Result
from glia.training.loop import fit
from glia.vitals.listen import listen

NAME = "leaks"
PROMISE = (
    "Epochs, whole runs, predictions and listening may be repeated in one process: memory, open files, threads, "
    "tensors and hooks stay as they are after the first few."
)
SMALL, LARGE = 12, 50  # repeats of each kind of work; an epoch is so short that ten count as one
# In the second half altogether, by least squares. Allocators give back late: in 30 to 40 repeats of each kind of work
# the steepest of all windows of 3 to 20 repeats, from the fifth on, rose by 470 kB, as much in short ones as in long.
MEMORY_KB = 1200.0
SETTINGS: dict[str, Any] = {"epochs": 2, "threads": 1, "baselines": False, "trial_time": 0, "batch_size": 32}


@dataclass(frozen=True)
class Held:
    """What the process holds: memory of its own in kB, open files, threads, live tensors, global hooks."""

    memory_kb: float
    files: int
    threads: int
    tensors: int
    hooks: int

    @classmethod
    def now(cls) -> "Held":
        """As it is at present; of tensors those that were made since `gc.freeze` alone."""
        gc.collect()
        lines = Path("/proc/self/smaps_rollup").read_text("utf-8").splitlines()
        # Not all that is private: pages of libraries come and go by 25 MB as the system likes.
        own = sum(float(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
        tensors = sum(issubclass(type(one), Tensor) for one in gc.get_objects())
        files = sum(1 for _ in Path("/proc/self/fd").iterdir())
        return cls(own, files, threading.active_count(), tensors, _hooks())


def _hooks() -> int:
    """Global hooks of torch: each would be called by every module and optimizer from then on."""
    kinds = [vars(where) for where in (torch_module, torch_optimizer)]
    return sum(len(v) for names in kinds for n, v in names.items() if n.startswith("_global_") and isinstance(v, dict))


def run(count: int, folder: Path, tell: Callable[[str], None]) -> Result:
    """Do each kind of work `count` times."""
    began = time.monotonic()
    failed: list[str] = []
    figures: dict[str, str] = {}
    for name, prepare in WORK.items():
        tell(name)
        work = prepare(folder / name.replace(" ", "-"))
        seen = watched(work, count)
        if grown(seen):  # an allocator may take 4 MB more once and for all; what leaks does so again
            seen = watched(work, count)
        figures[f"{name}, kB a repeat"] = f"{slope([one.memory_kb for one in seen[len(seen) // 2 :]]):.1f}"
        failed += [f"{name}: {line}" for line in grown(seen)]
    return Result(NAME, PROMISE, count * len(WORK), tuple(failed), time.monotonic() - began, figures)


def watched(work: Callable[[], None], count: int, memory_kb: float = MEMORY_KB) -> list[Held]:
    """What is held after each of `count` repeats. What grew, by line of code, is printed when it did.

    What is there before the first is set aside: to walk a million objects of imported modules takes as long as a run.
    """
    seen = []
    gc.collect()
    gc.freeze()
    try:
        for _ in range(count):
            work()
            seen.append(Held.now())
    finally:
        gc.unfreeze()
    if grown(seen, memory_kb):
        _print_growth(work)
    return seen


def grown(seen: list[Held], memory_kb: float = MEMORY_KB) -> list[str]:
    """What did not stay as it was over the second half, in words: caches and pools fill in the first."""
    half = seen[len(seen) // 2 :]
    said = []
    rate = slope([one.memory_kb for one in half])
    if rate * len(half) > memory_kb:
        said.append(f"memory grows by {rate:.0f} kB a repeat")
    for name in ("files", "threads", "tensors", "hooks"):
        counts = [getattr(one, name) for one in half]
        if counts[-1] > counts[0] and slope(counts) > 0:
            said.append(f"{name} grow from {counts[0]} to {counts[-1]} in {len(half)} repeats")
    return said


def slope(values: list[float]) -> float:
    """Growth a repeat, by least squares."""
    return float(np.polyfit(range(len(values)), values, 1)[0]) if len(values) > 1 else 0.0


def _print_growth(work: Callable[[], None], times: int = 3) -> None:
    tracemalloc.start(8)
    work()
    before = tracemalloc.take_snapshot()
    for _ in range(times):
        work()
    for line in tracemalloc.take_snapshot().compare_to(before, "lineno")[:15]:
        print(line)
    tracemalloc.stop()


def table() -> pl.DataFrame:
    """Rows of two classes, with a column of words and one with gaps."""
    x = np.random.default_rng(0).normal(size=(120, 4)).astype(np.float32)
    words = np.array(["red", "green", "blue"])[(np.arange(120) % 3)]
    columns = {f"x{i}": x[:, i] for i in range(4)}
    return pl.DataFrame({**columns, "colour": words, "label": np.where(x[:, 0] > x[:, 1], "yes", "no")})


def _epochs(folder: Path) -> Callable[[], None]:
    """One long training, ten epochs a repeat."""
    x = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    data = Batches(x, x[:, :3].argmax(1), torch.arange(64))
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    moments = fit(model, (data, data), epochs=1_000_000, batch_size=16)

    def ten() -> None:
        left = 10
        while left:
            left -= next(moments).kind == "epoch"

    return ten


def _runs(folder: Path, **settings: Any) -> Callable[[], None]:
    frame = table()
    return lambda: (glia.train(frame, target="label", runs=folder, name="a", **{**SETTINGS, **settings}), None)[1]


def _pictures(folder: Path) -> Callable[[], None]:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 12, 12, 1), dtype=np.uint8)
    folder.mkdir(parents=True)
    np.savez(folder / "small.npz", images=pixels, labels=np.arange(60) % 3)
    given = {**SETTINGS, "epochs": 1, "model": "resnet8", "workers": 1, "force": True}
    return lambda: (glia.train(folder / "small.npz", runs=folder, name="a", **given), None)[1]


def _predictions(folder: Path) -> Callable[[], None]:
    frame = table()
    run = glia.train(frame, target="label", runs=folder, name="a", doctor=False, **SETTINGS)
    return lambda: (glia.open(run.folder).predict(frame), None)[1]


def _listening(folder: Path) -> Callable[[], None]:
    x = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))

    def listened() -> None:
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with listen():
            for _ in range(5):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), x[:, :3].argmax(1)).backward()
                optimizer.step()

    return listened


WORK: dict[str, Callable[[Path], Callable[[], None]]] = {
    "epochs": _epochs,
    "table runs": lambda folder: _runs(folder, doctor=False),
    "runs with the doctor": _runs,
    "runs with charts": lambda folder: _runs(folder, doctor=False, tensorboard=True),
    "picture runs": _pictures,
    "predictions": _predictions,
    "listening": _listening,
}
