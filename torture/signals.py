"""SIGINT, SIGTERM and SIGUSR1 at random moments: in preparation, in saves, in the doctor's trials, as workers start."""

import json
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from glia.cli.main import main
from glia.torture.kill import LOST
from glia.torture.result import Result
from glia.torture.whole import differences, finished, newest
from glia.torture.zygote import Zygote
from glia.workbench.halt import Halt, exit_code, one_line
from torture.kinds import EVERY, LOOKED, PAIR, TABLE, begun, make_pictures, make_table, quick_folder
from torture.spare import ready

NAME = "signals"
PROMISE = (
    "Ctrl-C, SIGTERM and SIGUSR1 end a run after its step with a checkpoint, the command that goes on and exit code "
    "130, 143 or 75; a second one ends it at once; nothing is left running, and the run goes on to the same numbers."
)
SMALL, LARGE = 20, 200
SEED = 4
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 75}
WITHIN_S = 10.0  # 5 s are promised; the machine may be busy with others
MOST_STOPS = 5  # of one run
NO_GAIN = {"label_smoothing": 0.9, "lr": 1.0}  # a run that fails, so that the doctor tries cures


def command(folder: str, workers: int, source: str, **settings: Any) -> None:
    """The command line: begins the run in `folder`, or goes on with it."""
    run = Path(folder)
    words = [f"{name}={value}" for name, value in ({"workers": workers} | settings).items()]
    train = ["train", source, "--runs", str(run.parent), "--name", run.name, *words]
    sys.argv = ["glia", *(["resume", str(run)] if begun(run, workers) else train)]
    main()


def paired(folder: str, workers: int, source: str, **settings: Any) -> None:
    """The command line again, with a second process that is there already."""
    ready()
    command(folder, workers, source, **settings)


def loaded(folder: str, workers: int) -> None:
    """A run of Python's, whose rows come from processes of a DataLoader."""
    with one_line(f"glia: stopped. To go on: glia resume {folder}"):
        _loaded(Path(folder), workers)


def _loaded(run: Path, workers: int) -> None:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from glia.training.steps import supervised
    from glia.workbench.halt import Stopped
    from glia.workbench.train import resume, train

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 6, generator=generator)
    parts = [TensorDataset(x, (x[:, 0] > 0).long()), TensorDataset(x[:20], (x[:20, 0] > 0).long())]
    train_part, valid_part = (DataLoader(part, 16, shuffle=True, num_workers=max(workers, 1)) for part in parts)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 2))
    data, step = (train_part, valid_part), supervised("cross_entropy")
    try:
        if begun(run, workers):
            resume(run, data=data, model=model, step=step)
        else:
            settings = {**EVERY, "epochs": 3, "doctor": False}
            train(data=data, model=model, step=step, name=run.name, runs=run.parent, **settings)
    except Stopped as stopped:
        print(stopped)
        raise SystemExit(stopped.exit_code) from None
    except Halt as halt:
        raise SystemExit(exit_code(halt.signal)) from None


def run(count: int, folder: Path, tell: Callable[[str], None]) -> Result:
    """`count` signals, over runs of four kinds in turn, each gone on with to its end."""
    with quick_folder(folder) as quick:
        table, pictures = str(make_table(quick / "rows.csv")), str(make_pictures(quick / "halves.npz"))
        tried = {**EVERY, **TABLE, **LOOKED, "trial_time": 2, "model": "mlp", **NO_GAIN}
        shown = {**EVERY, "epochs": 3, "batch_size": 20, "model": "lenet5", "augment": "shift", "doctor": False}
        kinds = {
            "table, cures tried": ("torture.signals:command", {"source": table, **tried}),
            "pictures": ("torture.signals:command", {"source": pictures, **shown}),
            "DataLoader": ("torture.signals:loaded", {}),
            "two processes": ("torture.signals:paired", {"source": table, **EVERY, **TABLE, **PAIR}),
        }
        with Zygote() as zygote:
            return Signals(zygote, quick, tell)(kinds, count)


class Signals:
    """Sends signals to runs, and judges how they end."""

    def __init__(self, zygote: Zygote, folder: Path, tell: Callable[[str], None]):
        self.zygote, self.folder, self.tell = zygote, folder, tell
        self.sent: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.slowest = 0.0
        self.failed: list[str] = []

    def __call__(self, kinds: dict[str, tuple[str, dict[str, Any]]], count: int) -> Result:
        shm = _shared()
        whole = {name: self._whole(name, *kind) for name, kind in kinds.items()}
        turn = 0
        while sum(self.sent.values()) < count and len(self.failed) < 20:
            name = list(kinds)[turn % len(kinds)]
            self._stops(name, turn, *kinds[name], whole[name], min(MOST_STOPS, count - sum(self.sent.values())))
            turn += 1
        self.failed += [f"left in shared memory: {name}" for name in sorted(_shared() - shm) if not _alive(name)]
        figures = {
            "seed": str(SEED), "slowest end": f"{self.slowest:.1f} s", "runs gone on with to the end": str(turn),
            **{name: str(times) for name, times in sorted(self.sent.items())},
            **{name: str(times) for name, times in sorted(self.ends.items())},
        }  # fmt: skip
        return Result(NAME, PROMISE, sum(self.sent.values()), tuple(self.failed), figures=figures)

    def _whole(self, name: str, call: str, arguments: dict[str, Any]) -> tuple[Path, float]:
        run = self.folder / f"whole-{len(list(self.folder.iterdir()))}"
        told = self.zygote.live(call, {"folder": str(run), "workers": 1, **arguments}, log=run.with_suffix(".log"))
        if told["code"] or not finished(run):
            raise RuntimeError(f"{name}: the run that is not stopped fails: {run.with_suffix('.log').read_text()}")
        return run, told["seconds"]

    def _stops(
        self, name: str, turn: int, call: str, arguments: dict[str, Any], whole: tuple[Path, float], stops: int
    ) -> None:
        """One run: stopped a few times, then gone on with to its end and compared."""
        chance, run, log = Random(f"{SEED}-{turn}"), self.folder / f"run-{turn}", self.folder / f"run-{turn}.log"
        while not finished(run):
            given = {"folder": str(run), "workers": chance.randint(0, 2), **arguments}
            log.unlink(missing_ok=True)
            if stops <= 0:
                told = self.zygote.live(call, given, log=log)
                if told["code"]:
                    return self._fault(name, turn, "it could not go on", log)
                continue
            stops -= 1
            number = chance.choice(list(CODES))
            again = chance.random() * 0.3 if chance.random() < 0.3 else None
            told = self.zygote.live(
                call, given, log=log, kill_after=0.05 + chance.random() * whole[1], number=number, again=again,
                aim=run / "checkpoints" if chance.random() < 0.4 else None, limit_s=60,
                hit=chance.choice(("all", "own", "part")),
            )  # fmt: skip
            for problem in self._problems(told, run, log, number, again):
                return self._fault(name, turn, f"{number.name}{' twice' if again else ''}: {problem}", log)
            self.tell(f"{sum(self.sent.values())} signals, {turn} runs gone on with to their end")
        for difference in differences(run, whole[0]):
            self._fault(name, turn, f"not the same: {difference}", log)
        shutil.rmtree(run)

    def _fault(self, name: str, turn: int, problem: str, log: Path) -> None:
        end = log.read_text(errors="replace")[-400:]
        self.failed.append(f"{name}, run {turn} (seed {SEED}): {problem}; its last words: {end!r}")
        shutil.copyfile(log, log.with_name(f"failed-{len(self.failed)}.log"))

    def _problems(
        self, told: dict[str, Any], run: Path, log: Path, number: signal.Signals, again: float | None
    ) -> list[str]:
        if not told["after"]:
            return []  # it ended by itself before
        self.sent[f"{number.name}{' twice' if again else ''}"] += 1
        self.slowest = max(self.slowest, told["after"])
        text, found = log.read_text(errors="replace"), []
        done, begun = finished(run), (run / "recipe.toml").exists()
        # The other of two processes listens from when it has begun to train; before that it is lost.
        lost = told["hit"] == "part" and told["code"] == LOST and f"was ended by {number.name}" in text
        early = told["code"] == -number and not text  # while Python starts, nobody listens yet
        self.ends["before anybody listened"] += early
        # A script of one's own is done with glia when it has been told, and hears a second signal as it likes.
        late = again is not None and told["code"] == -number and "To go on: glia resume" in text
        self.ends["again, after it had been told"] += late
        orderly = told["code"] == CODES[number] or (told["code"] == 0 and done)
        if not (orderly or lost or early or late):
            found.append(f"exit code {told['code']}")
        if told["hung"] or told["after"] > WITHIN_S:
            found.append(f"it took {told['after']:.1f} s to end")
        if told["orphans"]:
            found.append(f"{told['orphans']} processes left")
        # Python's own: of an end inside a __del__, as workers send or clear away; or a script's, that had been told.
        its = late or any(word in text for word in ("Exception ignored in", "resource_sharer", "_run_finalizers"))
        if "Traceback" in text and not its:
            found.append("a traceback")
        if newest(run)[1]:
            found.append(f"the newest checkpoint: {newest(run)[1]}")
        if begun and not done and told["code"] and again is None and run.joinpath("status.json").exists():
            state = json.loads((run / "status.json").read_text())["state"]
            nothing = text == "glia: stopped\n"  # before the verb began
            if f"glia resume {run}" not in text and newest(run)[0] >= 0 and not early and not nothing:
                found.append("it does not say how to go on")
            if state != ("failed" if lost else "stopped") and "glia: stopped" not in text and not early:
                found.append(f"its state is {state}")
        end = "finished all the same" if done else "before the run began" if not begun else "resumable"
        self.ends[end] += 1
        return found


def _shared() -> set[str]:
    """torch's own names in shared memory."""
    return {path.name for path in Path("/dev/shm").glob("torch_*")}


def _alive(name: str) -> bool:
    """Does the process live that the name is of?"""
    return any(part.isdigit() and Path("/proc", part).exists() for part in name.split("_"))
