"""The kinds of run that are killed: each function begins a run in `folder`, or goes on with the one that is there."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from glia import disk
from glia.runs import seals
from glia.torture.kill import Kind
from torture.spare import ready

TABLE: dict[str, Any] = {"target": "label", "epochs": 3, "batch_size": 20, "dropout": 0.2, "doctor": False}
PICTURES: dict[str, Any] = {"epochs": 3, "batch_size": 20, "augment": "shift,rotate,mixup", "dropout": 0.2}
OWN: dict[str, Any] = {"epochs": 4, "batch_size": 16, "doctor": False}
LOOKED: dict[str, Any] = {"doctor": True, "trial_time": 0.3}
PAIR: dict[str, Any] = {"model": "mlp", "norm": "batch", "processes": 2, "stall_timeout": 60}
EVERY: dict[str, Any] = {"threads": 1, "baselines": False, "lr": 0.003, "checkpoint_s": 0}


def kinds(folder: Path) -> list[Kind]:
    """All kinds, with their data written to `folder`."""
    table, pictures = str(make_table(folder / "rows.csv")), str(make_pictures(folder / "halves.npz"))
    call = "torture.kinds:trained"
    return [
        Kind("table-mlp", call, {"source": table, **EVERY, **TABLE, "model": "mlp", "ema": 0.9, "accumulate": 2}),
        Kind("table-folds", call, {"source": table, **EVERY, **TABLE, "model": "folds", **LOOKED}),
        Kind("picture", call, {"source": pictures, **EVERY, **PICTURES, "model": "lenet5", "doctor": False}),
        Kind("table-tabm", call, {"source": table, **EVERY, **TABLE, "model": "tabm"}),
        Kind("two-processes", "torture.kinds:together", {"source": table, **EVERY, **TABLE, **PAIR}, parts=True),
        *(Kind(what, "torture.given_runs:given", {"what": what, **EVERY, **OWN}) for what in ("lstm", "gpt", "gan")),
    ]


@contextmanager
def quick_folder(folder: Path) -> Iterator[Path]:
    """A folder in memory where that can be; `folder` gets what is in it in the end.

    What a process that is killed has written stays, synced or not, and waiting for a disk would take most of the time.
    What is lost with the power is another experiment.
    """
    quick = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else folder))
    try:
        yield quick
    finally:
        shutil.copytree(quick, folder / "runs")
        shutil.rmtree(quick)


def trained(folder: str, workers: int, source: str, **settings: Any) -> None:
    """A run through `glia.train` or `glia.resume`, with a number of workers that may differ each time."""
    from glia.workbench.train import resume, train

    run = Path(folder)
    if begun(run, workers):
        resume(run)
    else:
        train(source, name=run.name, runs=run.parent, workers=workers, **settings)


def together(folder: str, workers: int, source: str, **settings: Any) -> None:
    """The same by two processes. One that loses the other says so, and ends with its exit code."""
    from glia.training.pulse import LostProcess

    ready()
    try:
        trained(folder, workers, source, **settings)
    except LostProcess as error:
        print(f"glia: {error}")
        raise SystemExit(error.exit_code) from None


def begun(run: Path, workers: int) -> bool:
    """Is there a run to go on with? If so it takes `workers`, as if a person had changed its recipe.

    A folder without a recipe was killed before the run had begun, and goes, as a person would do it.
    """
    recipe = run / "recipe.toml"
    if not recipe.exists():
        shutil.rmtree(run, ignore_errors=True)
        return False
    content = re.sub(r"(?m)^workers = \d+$", f"workers = {workers}", recipe.read_text("utf-8"))
    seals.write(run, recipe.name, content.encode())
    return True


def make_table(path: Path, rows: int = 240) -> Path:
    """Rows of two numbers and a category with a rule in them."""
    lines = ["a,b,c,label"]
    for i in range(rows):
        a, b, c = (i * 37 % 101) / 50 - 1, (i * 53 % 97) / 48 - 1, "xyz"[i % 3]
        lines.append(f"{a:.3f},{b:.3f},{c},{'yes' if a * b > 0 and c != 'z' else 'no'}")
    disk.write_file(path, "\n".join(lines) + "\n")
    return path


def make_pictures(path: Path, count: int = 120) -> Path:
    """Grey pictures of 12 x 12, bright above or below."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 90, (count, 12, 12), dtype=np.uint8), np.arange(count) % 2
    x[y == 1, :6] += 80
    x[y == 0, 6:] += 80
    np.savez(path, x=x, y=y)
    return path
