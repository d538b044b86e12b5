"""What does not matter changes nothing: a run is made again with one thing about it changed, and compared bit by bit.

As ``python -m glia.torture.same_numbers JSON`` it is the other process that some of these runs need.
"""

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from glia import disk
from glia.errors import GliaError
from glia.recipe import Recipe
from glia.runs import compare
from glia.runs.folder import RunFolder
from glia.torture.result import Result
from glia.torture.subject import PLAIN, Subject, shortened
from glia.training.loop import Moment
from glia.workbench.train import resume, train

NAME = "same-numbers"
PROMISE = (
    "the same recipe gives the same bits, whatever the number of workers, validation, watching, checkpoints, "
    "restarts, working folder or process"
)
COMMAND = "from glia.cli.main import main; main()"
LIMIT_S = 600.0  # for a run in a process of its own
SHOWN = 3  # differences that are told of a run
EMPTY: Mapping[str, str] = MappingProxyType({})
START_S = 10.0  # that a process of its own takes before it trains, about


@dataclass(frozen=True)
class Factor:
    """One thing that must not matter.

    settings: of the recipe. cut: the run is broken off in the middle and gone on with. process: it has a process of
    its own, with these variables and another working folder: "python" or "command", the command line. stirred: every
    global generator begins elsewhere. beside: another run of the same name goes on in the same folder meanwhile.
    leaves_out: parts that may differ (`glia.runs.compare.PARTS`).
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    cut: bool = False
    process: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    stirred: bool = False
    beside: bool = False
    leaves_out: tuple[str, ...] = ()


ELSEWHERE = {"PYTHONHASHSEED": "77", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
FACTORS = (
    # Workers load at most two batches each ahead: their number is also how far ahead is read.
    Factor("workers 1", {"workers": 1}),
    Factor("workers 4", {"workers": 4}),
    Factor("workers 2, a checkpoint every step", {"workers": 2, "checkpoint_s": 0.0}),
    Factor("cut in the middle", {"checkpoint_s": 0.0}, cut=True),
    Factor("validation every 3 epochs", {"valid_every": 3}, leaves_out=compare.BY_VALIDATION),
    Factor("doctor on", {"doctor": True}),
    Factor("TensorBoard on", {"tensorboard": True}),
    Factor("baselines on", {"baselines": True}),
    Factor("global generators elsewhere", stirred=True),
    Factor("command line, other folder, hash seed, language", process="command", environment=ELSEWHERE),
    Factor("another run beside it", beside=True),
)
ALL_AT_ONCE = Factor(
    "all at once",
    {"workers": 2, "doctor": True, "tensorboard": True, "baselines": True, "checkpoint_s": 0.0},
    cut=True, process="python", environment=ELSEWHERE, stirred=True, beside=True,
)  # fmt: skip


class _Cut(Exception):
    """The run is broken off here."""


class SameNumbers:
    """Trains subjects with factors changed, below `folder`, and keeps what differed."""

    def __init__(self, folder: Path, tell: Callable[[str], None], seed: int = 0):
        self.folder, self.tell, self.chance = folder, tell, random.Random(seed)
        self.tried, self.failed = 0, list[str]()
        self.seconds: dict[str, float] = {}  # of the reference, by subject
        self.by_subject: Counter[str] = Counter()
        self._references: dict[str, Path] = {}
        self._made = 0

    def reference(self, subject: Subject) -> Path:
        """The run that the others are compared with; made once."""
        if subject.name not in self._references:
            self.tell(f"{subject.name}: the run to compare with")
            began = time.monotonic()
            self._references[subject.name] = self._train(subject, Factor("reference"))
            self.seconds[subject.name] = time.monotonic() - began
        return self._references[subject.name]

    def __call__(self, subject: Subject, factor: Factor) -> bool:
        """Train once more and compare; True when every bit is the same."""
        reference = self.reference(subject)
        self.tell(f"{subject.name}: {factor.name}")
        self.tried += 1
        self.by_subject[subject.name] += 1
        said = f"{subject.name} (seed {subject.recipe.train.seed}), {factor.name}"
        try:
            made = self._train(subject, factor)
        except GliaError as error:
            self.failed.append(f"{said}: {error}")
            return False
        found = [one for one in compare.differences(reference, made, factor.leaves_out) if not _allowed(one, factor)]
        if found:
            more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            self.failed.append(f"{said}: {'; '.join(map(str, found[:SHOWN]))}{more} ({made})")
        return not found

    def _train(self, subject: Subject, factor: Factor) -> Path:
        recipe = subject.recipe.updated(**PLAIN).updated(**factor.settings)
        self._made += 1
        runs = self.folder / f"{self._made:03d}"
        (runs / "elsewhere").mkdir(parents=True)
        cut = self._cut_at(subject) if factor.cut else 0
        asked = Asked(recipe.to_toml(), str(runs), "it", subject.given, cut, self._made if factor.stirred else 0)
        beside = None
        if factor.beside:
            quick = recipe.updated(seed=recipe.train.seed + 1, doctor=False, baselines=False)
            beside = _begin(replace(asked, recipe=quick.to_toml(), name="beside", cut=0))
        try:
            if factor.process:
                _end(_begin(asked, factor.environment, command=factor.process == "command"))
            else:
                make(asked)
        finally:
            if beside is not None:
                _end(beside)
        if cut:
            resume(runs / "it", **subject.fresh())
        return runs / "it"

    def _cut_at(self, subject: Subject) -> int:
        steps = RunFolder(self.reference(subject)).history()["step"]
        return self.chance.randint(1, max(1, int(steps[-1]) - 1))


@dataclass(frozen=True)
class Asked:
    """A run to make. recipe: as TOML. given: as of a `Subject`. cut: the step it is broken off after.

    stirred: a seed for all global generators. 0: neither is done.
    """

    recipe: str
    runs: str
    name: str
    given: str
    cut: int
    stirred: int


def make(asked: Asked) -> None:
    """Train in this process."""
    if asked.stirred:
        random.seed(asked.stirred)
        np.random.seed(asked.stirred)
        torch.manual_seed(asked.stirred)
    recipe = Recipe.from_toml(asked.recipe)
    given = Subject("", recipe, asked.given).fresh()

    def watch(moment: Moment) -> None:
        if moment.kind == "step" and moment.step == asked.cut:
            raise _Cut

    with contextlib.suppress(_Cut):
        train(recipe=recipe, runs=asked.runs, name=asked.name, begin=lambda *_: (watch,), force=True, **given)


def _begin(asked: Asked, environment: Mapping[str, str] = EMPTY, *, command: bool = False) -> subprocess.Popen[str]:
    """Begin a run in a process of its own, with another working folder."""
    line = [sys.executable, "-m", "glia.torture.same_numbers", json.dumps(asdict(asked))]
    if command and not asked.given:
        recipe = Path(asked.runs) / "given.toml"
        disk.write_file(recipe, asked.recipe)
        line = [sys.executable, "-c", COMMAND, "train", "--recipe", str(recipe), "--force"]
        line += ["--name", asked.name, "--runs", asked.runs]
    variables = {**os.environ, **environment, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    place = Path(asked.runs) / "elsewhere"
    return subprocess.Popen(
        line,
        cwd=place,
        env=variables,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _end(process: subprocess.Popen[str]) -> None:
    try:
        told, _ = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise GliaError(f"a run in a process of its own did not end in {LIMIT_S:.0f} s") from None
    if process.returncode:
        last = told.strip().splitlines()[-1:] or ["without a word"]
        raise GliaError("a run in a process of its own failed", got=f"exit code {process.returncode}, {last[0]}")


def _allowed(difference: compare.Difference, factor: Factor) -> bool:
    """Baselines that were asked for are figures more."""
    return bool(factor.settings.get("baselines")) and f"{difference.where}.".startswith("baselines.")


def on_run(run: Path, folder: Path, seconds: float, tell: Callable[[str], None]) -> Result:
    """The experiment on a user's own run: shorter runs of its recipe, as many as `seconds` allow, in `folder`."""
    began = time.monotonic()
    subject, note = shortened(run, seconds)
    trial = SameNumbers(folder, tell)
    trial.reference(subject)
    left_out = []
    for factor in (*FACTORS, ALL_AT_ONCE):
        cost = trial.seconds[subject.name] * (2 if factor.beside or factor.cut else 1)
        cost += START_S if factor.process else 0.0
        reacts = factor.settings.get("valid_every") and subject.recipe.train.schedule == "plateau"
        if reacts or time.monotonic() - began + cost > seconds and trial.tried:
            left_out.append(factor.name)
        else:
            trial(subject, factor)
    figures = {"each": note, "factors": f"{trial.tried} of {trial.tried + len(left_out)}"}
    return Result(NAME, PROMISE, trial.tried, tuple(trial.failed), time.monotonic() - began, figures)


if __name__ == "__main__":
    make(Asked(**json.loads(sys.argv[1])))
