"""A process of its own for one tool at one task: what `turns` starts. It writes what it found as JSON.

python -m benchmarks.speed.worker '{"task": "steps", "tool": "plain", "work": "table"}' found.json
"""

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

LONG = 200  # times the measured epochs: a training of minutes to an hour, which is what speed matters for
CACHE = Path(tempfile.gettempdir()) / "glia-benchmark"  # files that the works are made of


def peak_mb() -> float:
    """Memory that the process has held at most, since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def forget_peak() -> None:
    """From now on the peak counts anew; where the system does not let us, it is that of the whole life."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def steps(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train, and take the time between the end of the first epoch and that of the last."""
    from benchmarks.speed.job import Job, Marks
    from benchmarks.speed.tools import tool
    from benchmarks.speed.works import BY_NAME

    train = tool(asked["tool"])
    work = BY_NAME[asked["work"]]
    batches, epochs = asked.get("steps") or work.steps, 1 + (asked.get("epochs") or work.epochs)
    rows = work.rows(batches * work.batch if asked.get("steps") or work.core else rows_of(work), CACHE)
    per_epoch = -(-len(rows.dataset) // work.batch)  # type: ignore[arg-type]
    x, y = rows.check
    first = float(work.loss(logits(work, x), y))
    forget_peak()
    marks, began = Marks(), time.perf_counter()
    planned = None if asked.get("whole") else epochs * LONG
    trained = train(Job(work, rows, epochs, folder, marks, batch=work.batch, rate=1e-3, planned=planned))
    seconds, peak = time.perf_counter() - began, peak_mb()
    expected = work.parameters() - trained.fewer
    assert trained.parameters == expected, f"{trained.parameters} parameters, not {expected}"
    assert len(marks.wall) == epochs, f"{len(marks.wall)} epochs, not {epochs}"
    count = (epochs - 1) * per_epoch
    return {
        "ms": 1000 * (marks.wall[-1] - marks.wall[0]) / count,
        "cpu_ms": 1000 * (marks.cpu[-1] - marks.cpu[0]) / count,
        "first_epoch_s": marks.wall[0] - began,
        "seconds": seconds,
        "steps": epochs * per_epoch,
        "rows": len(rows.dataset) / per_epoch,  # type: ignore[arg-type]
        "first_loss": first,
        "loss": float(work.loss(trained.predict(x), y)),
        "memory_mb": peak - rows.bytes / 2**20,
        "chosen": trained.chosen,
    }


def rows_of(work: Any) -> int:
    return {"million": 1_000_000}.get(work.name, 10_000)


def logits(work: Any, x: Any) -> Any:
    from benchmarks.speed.networks import logits_of

    return logits_of(work.first_network(), x)


def run(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    from benchmarks.speed.accuracy import reached
    from benchmarks.speed.peak import products

    tasks = {"steps": steps, "accuracy": reached, "peak": products}
    return tasks[asked["task"]](asked, folder)


def main(asked: dict[str, Any], path: Path) -> None:
    """Write what was found; a dash, with its reason, where the tool is not installed or the work is not for it."""
    from benchmarks.speed.job import Unfit

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # tools that write where they stand
        try:
            found = run(asked, Path(folder))
        except ImportError as error:
            found = {"none": f"not installed: {error.name or error}"}
        except Unfit as error:
            found = {"none": str(error)}
    import torch

    found |= {"torch": torch.__version__, "threads": torch.get_num_threads(), "left": threading.active_count() - 1}
    path.write_text(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Path(sys.argv[2]).absolute())
