"""The kill loop: a run is killed at random moments until it is done, and must then equal the run that never was."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from glia.torture.whole import differences, finished, newest, problem_of
from glia.torture.zygote import Zygote

MOST_WORKERS = 2
HITS = ("all", "own", "part")
LOST = 75  # exit code of a run that has lost one of its processes
SHARE_AIMED = 0.5  # of the kills that wait for a save to be under way


@dataclass(frozen=True)
class Kind:
    """A run that can be begun and gone on with.

    call: "module:function", called with ``folder`` (which is to become the run's folder), ``workers`` and `arguments`;
    it begins the run, or goes on with what is there. parts: several processes train it, of which one may be killed;
    it then ends with exit code 75.
    """

    name: str
    call: str
    arguments: dict[str, Any] = field(default_factory=dict)
    parts: bool = False


@dataclass
class Tally:
    """What was seen over all runs."""

    kills: int = 0
    in_saves: int = 0
    parts: int = 0  # one process of several
    lives: int = 0
    completed: int = 0
    longest: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)


class KillLoop:
    """Kills runs of one kind after the other. `whole` holds the runs that were never killed."""

    def __init__(self, zygote: Zygote, folder: Path, seed: int, tell: Callable[[str], None]):
        self.zygote, self.folder, self.seed, self.tell = zygote, folder, seed, tell
        self.tally = Tally()
        self._whole: dict[str, Path] = {}
        self._pace: dict[str, float] = {}
        self._runs: Counter[str] = Counter()

    def whole(self, kind: Kind) -> Path:
        """The run that is never killed; made once."""
        if kind.name not in self._whole:
            run = self.folder / f"{kind.name}-whole"
            told = self._live(kind, run, 0)
            if told["code"] or not finished(run):
                raise RuntimeError(f"{kind.name}: the run that is not killed ends with {told['code']}: {_log(run)}")
            self._whole[kind.name], self._pace[kind.name] = run, told["seconds"] / 2
        return self._whole[kind.name]

    def __call__(self, kind: Kind, kills: int) -> None:
        """One run, killed `kills` times (fewer when it is done before), left in peace then, and compared."""
        whole = self.whole(kind)
        self._runs[kind.name] += 1
        number = self._runs[kind.name]
        chance = Random(f"{self.seed}-{kind.name}-{number}")
        run = self.folder / f"{kind.name}-{number}"
        reached, lives, problems = -1, 0, []
        while not finished(run):
            killing = kills > 0
            kills -= 1
            lives += 1
            self.tally.lives += 1
            if killing:
                after, aim = chance.random() * self._pace[kind.name], chance.random() < SHARE_AIMED
                told = self._live(
                    kind, run, chance.randint(0, MOST_WORKERS), kill_after=after,
                    aim=run / "checkpoints" if aim else None, hit=chance.choice(HITS) if kind.parts else "all",
                )  # fmt: skip
            else:
                told = self._live(kind, run, chance.randint(0, MOST_WORKERS))
            self._count(kind, told)
            problems += self._problems(run, told, killed=killing)
            step, wrong = newest(run)
            if killing:  # lives should be neither so long that they complete nor so short that none gets on
                self._pace[kind.name] *= 0.8 if finished(run) else 1.15 if step <= reached else 1.0
            if wrong is not None or step < reached:
                problems.append(f"after {reached} the newest checkpoint is of step {step}: {wrong or 'gone back'}")
            reached = step
            if problems:
                break
        if not problems:
            problems = [f"not the same: {name}" for name in differences(run, whole)]
        self._close(kind, run, number, lives, problems)

    def _count(self, kind: Kind, told: dict[str, Any]) -> None:
        if told["code"] < 0 or _lost(told):
            self.tally.kills += 1
            self.tally.in_saves += told["aimed"]
            self.tally.parts += told["hit"] == "part"
            self.tally.by_kind[kind.name] += 1
            self.tell(f"{self.tally.kills:,} kills, {self.tally.completed:,} runs completed, now {kind.name}")

    def _problems(self, run: Path, told: dict[str, Any], *, killed: bool) -> list[str]:
        found = []
        if told["hung"]:
            found.append("it hung")
        elif (
            (told["code"] > 0 and not _lost(told))
            or (told["code"] < 0 and not killed)
            or (told["code"] == 0 and not finished(run))
        ):
            found.append(f"it ended by itself with {told['code']}: {_log(run)}")
        if told["orphans"]:
            found.append(f"{told['orphans']} processes outlived it")
        wrong = problem_of(run / "model") if (run / "model").exists() else None
        return [*found, f"model/: {wrong}"] if wrong else found

    def _close(self, kind: Kind, run: Path, number: int, lives: int, problems: list[str]) -> None:
        self.tally.longest = max(self.tally.longest, lives)
        self.tally.completed += not problems
        self.tally.failed += [f"{kind.name} {number} (seed {self.seed}), life {lives}: {line}" for line in problems]

    def _live(self, kind: Kind, run: Path, workers: int, **how: Any) -> dict[str, Any]:
        arguments = {"folder": str(run), "workers": workers, **kind.arguments}
        return self.zygote.live(kind.call, arguments, log=run.with_suffix(".log"), **how)


def _lost(told: dict[str, Any]) -> bool:
    """Did it end because one of its processes was killed?"""
    return bool(told["hit"] == "part" and told["code"] == LOST)


def _log(run: Path) -> str:
    """The last words of a life."""
    log = run.with_suffix(".log")
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "without a word"
