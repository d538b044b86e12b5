"""What never comes: a frozen worker, a collate function that sleeps, a read that does not return; of two processes
that train one run one that is killed or frozen, the one that writes among them. And a run that is only suspended.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, default_collate

from glia.data.batches import Batches
from glia.torture.result import Result
from glia.torture.whole import finished, newest
from glia.torture.zygote import Zygote
from glia.training.pulse import LostProcess
from glia.training.steps import supervised
from glia.workbench.train import train
from glia.workbench.watchdog import Stalled
from torture.kinds import make_table
from torture.spare import ready

NAME = "hangs"
PROMISE = (
    "A run to which nothing comes ends after its stall_timeout, with one line that names the worker, process or place, "
    "exit code 75, its last checkpoint whole and nothing left running; one that is suspended for longer goes on."
)
SMALL, LARGE = 7, 70
SEED = 8
TIMEOUT_S, LEAVE_S = 3.0, 30.0  # the second for a machine that is busy with others; what was seen is in the figures
NOTHING = "nothing came for 3 s"
NAMES = {
    "frozen": (NOTHING, "is stopped"), "collate": (NOTHING, "give no batch"), "read": (NOTHING, "is stuck at"),
    "process killed": ("process 1 of 2", "was ended by SIGKILL"),
    "process frozen": ("process 1 of 2", "does not answer"),
    "first frozen": ("glia: process 0 of 2", "does not answer any more", "process 1 of 2", "gave up"),
    "suspended": (),
}  # fmt: skip


PAIRED = ("process killed", "process frozen", "first frozen")


class Rows:
    """Rows behind a read that never returns after so many reads of training: a file system that hangs, a pipe."""

    def __init__(self, x: Tensor, pipe: Path, after: int):
        self.x, self.pipe, self.after, self.training = x, pipe, after, False

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor) -> Tensor:
        self.after -= self.training  # what the plan looks at before does not count
        if self.after < 0:
            self.pipe.read_bytes()
        return self.x.index_select(0, index)


def main(kind: str, folder: str, after: int) -> None:
    """A run that comes to a stand after some batches."""
    torch.set_num_threads(1)
    try:
        begin = _suspended if kind == "suspended" else _with_two if kind in PAIRED else _with_workers
        begin(kind, Path(folder), after)
    except (Stalled, LostProcess) as error:
        print(f"glia: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _with_two(kind: str, folder: Path, after: int) -> None:
    other, number = ready(), signal.SIGKILL if kind == "process killed" else signal.SIGSTOP

    def lose(moment: Any) -> None:
        if moment.kind == "step" and moment.step == after:
            if kind == "first frozen":
                _freeze_until(lambda: "does not answer" in folder.with_suffix(".log").read_text())
            else:
                os.kill(other.pid, number)

    _train(folder, lose, processes=2)


def _suspended(kind: str, folder: Path, after: int) -> None:
    def suspend(moment: Any) -> None:
        if moment.kind == "step" and moment.step == after:
            until = time.monotonic() + 2 * TIMEOUT_S
            _freeze_until(lambda: time.monotonic() > until)

    _train(folder, suspend)


def _train(folder: Path, watch: Callable[[Any], None], **more: Any) -> None:
    train(
        make_table(folder / "rows.csv", 60), target="label", model="mlp", begin=lambda *told: (watch,),
        runs=folder, name="run", epochs=9, lr=0.01, checkpoint_s=0, doctor=False, baselines=False, threads=1,
        stall_timeout=TIMEOUT_S, batch_size=20, **more,
    )  # fmt: skip


def _freeze_until(over: Callable[[], bool]) -> None:
    """Stop this process, which a child wakes up again when that is over, or after a minute."""
    frozen, latest = os.getpid(), time.monotonic() + 60.0
    waker = os.fork()
    if not waker:
        while not over() and time.monotonic() < latest:
            time.sleep(0.05)
        os.kill(frozen, signal.SIGCONT)
        os._exit(0)
    os.kill(frozen, signal.SIGSTOP)
    os.waitpid(waker, 0)


def _with_workers(kind: str, folder: Path, after: int) -> None:
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
    rows = Rows(x, folder / "pipe", after)

    def begin(*told: Any) -> tuple[()]:
        rows.training = True
        return ()

    if kind == "read":
        os.mkfifo(folder / "pipe")
        data = Batches(rows, y, torch.arange(256), workers=2)
    else:
        data = DataLoader(TensorDataset(x, y), batch_size=16, num_workers=2, collate_fn=collate)
    model = torch.nn.Linear(4, 2)
    train(
        data=(data,), model=model, step=supervised("cross_entropy"), runs=folder, name="run", epochs=9, lr=0.01,
        begin=begin, checkpoint_s=0, doctor=False, baselines=False, threads=1, stall_timeout=TIMEOUT_S,
    )  # fmt: skip


def run(count: int, folder: Path, tell: Callable[[str], None]) -> Result:
    """`count` runs that come to a stand, of all kinds in turn."""
    chance, failed, slowest = Random(SEED), list[str](), dict[str, float]()
    with Zygote() as zygote:
        for turn in range(count):
            kind, after = list(NAMES)[turn % len(NAMES)], chance.randint(2, 6)
            place, log = folder / str(turn), folder / f"{turn}.log"
            place.mkdir()
            arguments = {"kind": kind, "folder": str(place), "after": after}
            told = zygote.live("torture.hangs:main", arguments, log=log, limit_s=180.0)
            problem, seconds = _judged(told, kind, place / "run", log.read_text(errors="replace"))
            slowest[kind] = max(slowest.get(kind, 0.0), seconds)
            failed += [f"{kind} after {after} (seed {SEED}, {turn}): {problem}"] if problem else []
            tell(f"{turn + 1} stalls")
    ends = ", ".join(f"{kind} {seconds:.1f} s" for kind, seconds in slowest.items())
    figures = {"seed": str(SEED), "stall_timeout": f"{TIMEOUT_S:g} s", "slowest ends": ends}
    return Result(NAME, PROMISE, count, tuple(failed), figures=figures)


def _judged(told: dict[str, Any], kind: str, run: Path, text: str) -> tuple[str, float]:
    """(what is wrong with how it ended, seconds from its last checkpoint to its end)."""
    if kind == "suspended":
        return "" if told["code"] == 0 and finished(run) else f"exit code {told['code']}: {text[-300:]}", 0.0
    (step, wrong), saved = newest(run), sorted((run / "checkpoints").glob("step-*"))
    seconds = told["ended"] - saved[-1].stat().st_mtime if saved else 0.0
    if told["hung"]:
        return "it hangs", seconds
    if told["code"] != 75:
        return f"exit code {told['code']}: {text[-300:]}", seconds
    if wrong or step < 1:
        return f"checkpoint {step}: {wrong}", seconds
    if told["orphans"]:
        return f"{told['orphans']} processes left", seconds
    if not all(words in text for words in NAMES[kind]):
        return f"it does not say who: {text[-300:]}", seconds
    if seconds > TIMEOUT_S + LEAVE_S:
        return f"it took {seconds:.1f} s", seconds
    return ("" if (run / "stalled.txt").exists() == (NOTHING in NAMES[kind]) else "no stalled.txt"), seconds
