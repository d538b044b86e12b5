"""What never comes: a frozen worker, a collate function that sleeps, a read that does not return."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from glia.data.batches import Batches
from glia.torture.result import Result

NAME = "hangs"
PROMISE = (
    "A run to which nothing comes ends after its stall_timeout, with one line that names the worker or the place, "
    "exit code 75, its last checkpoint whole and nothing left running."
)
SMALL, LARGE = 3, 60
SEED = 8
TIMEOUT_S, LEAVE_S = 3.0, 30.0  # the second for a machine that is busy with others; what was seen is in the figures
NAMES = {"frozen": "is stopped", "collate": "give no batch", "read": "is stuck at"}


class Rows:
    """Rows behind a read that never returns after a while: a file system that hangs, a pipe."""

    def __init__(self, x: Tensor, pipe: Path, after: int):
        self.x, self.pipe, self.after = x, pipe, after

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor) -> Tensor:
        self.after -= 1
        if self.after < 0:
            self.pipe.read_bytes()
        return self.x.index_select(0, index)


def main(kind: str, folder: Path, after: int) -> None:
    """A run that comes to a stand after some batches."""
    from glia.training.steps import supervised
    from glia.workbench.train import train
    from glia.workbench.watchdog import Stalled

    x = torch.randn(256, 4)
    y = (x[:, 0] > 0).long()
    seen = [0]

    def collate(rows: Sequence[Any]) -> Any:
        seen[0] += 1
        if seen[0] > after:
            if kind == "frozen":
                os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(3600)
        return default_collate(list(rows))

    data: Any
    if kind == "read":
        os.mkfifo(folder / "pipe")
        data = Batches(Rows(x, folder / "pipe", after), y, torch.arange(256), workers=2)  # type: ignore[arg-type]
    else:
        data = DataLoader(list(zip(x, y)), batch_size=16, num_workers=2, collate_fn=collate)
    model = torch.nn.Linear(4, 2)
    try:
        train(
            data=(data,), model=model, step=supervised("cross_entropy"), runs=folder, name="run", epochs=9, lr=0.01,
            checkpoint_s=0, doctor=False, baselines=False, threads=1, stall_timeout=TIMEOUT_S,
        )  # fmt: skip
    except Stalled as error:
        print(f"glia: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def run(count: int, folder: Path, tell: Callable[[str], None]) -> Result:
    """`count` runs that come to a stand, of three kinds in turn."""
    chance, failed, slowest = Random(SEED), [], 0.0
    for turn in range(count):
        kind, after = list(NAMES)[turn % 3], chance.randint(2, 6)
        place = folder / str(turn)
        place.mkdir()
        code = "import sys; from pathlib import Path; from torture.hangs import main; "
        code += "main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))"
        command = [sys.executable, "-c", code, kind, str(place), str(after)]
        with (folder / f"{turn}.log").open("wb") as log:
            child = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            problem, seconds = _judged(child, kind, place / "run", folder / f"{turn}.log")
        slowest = max(slowest, seconds)
        failed += [f"{kind} after {after} (seed {SEED}, {turn}): {problem}"] if problem else []
        tell(f"{turn + 1} stalls")
    figures = {"seed": str(SEED), "stall_timeout": f"{TIMEOUT_S:g} s", "slowest end": f"{slowest:.1f} s"}
    return Result(NAME, PROMISE, count, tuple(failed), figures=figures)


def _judged(child: subprocess.Popen[bytes], kind: str, run: Path, log: Path) -> tuple[str, float]:
    """(what is wrong with how it ended, seconds from its last checkpoint to its end)."""
    from glia.torture.whole import newest
    from glia.torture.zygote import others

    until = time.monotonic() + 180
    while child.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    ended = time.time()
    code = child.poll()
    if code is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return "it hangs", 180.0
    time.sleep(0.5)
    left = others(child.pid)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    (step, wrong), text = newest(run), log.read_text(errors="replace")
    saved = sorted((run / "checkpoints").glob("step-*"))
    seconds = ended - saved[-1].stat().st_mtime if saved else 0.0
    if code != 75:
        return f"exit code {code}: {text[-300:]}", seconds
    if wrong or step < 1:
        return f"checkpoint {step}: {wrong}", seconds
    if left:
        return f"{len(left)} processes left", seconds
    if NAMES[kind] not in text or "nothing came for 3 s" not in text:
        return f"it does not say who: {text[-300:]}", seconds
    if seconds > TIMEOUT_S + LEAVE_S:
        return f"it took {seconds:.1f} s", seconds
    return ("" if (run / "stalled.txt").exists() else "no stalled.txt"), seconds
