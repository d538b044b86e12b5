"""Power loss: whatever a save acknowledged is there after every crash, on a file system that promises only POSIX."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import torch

from glia import disk
from glia.errors import GliaError
from glia.runs import checkpoint, seals
from glia.runs.folder import RunFolder
from glia.runs.verify import verify
from glia.torture.result import Result
from torture.forgetful import Forgetful, Killed, Site

NAME = "power loss"
PROMISE = "what a save acknowledged survives every loss of power, and no single fsync can be left out"
SMALL, LARGE = 200, 10_000
ACTIONS = ("checkpoint", "model", "plain", "file", "rows", "log", "begin")
_LONGEST = {"checkpoint": 45, "model": 45, "plain": 30, "file": 16, "rows": 20, "log": 20, "begin": 12, "tidy": 16}
"""File operations of an action, about: where kills are drawn from."""
_SOON = 30  # histories that find most fsyncs that are left out
_OUTCOMES = 16  # of a loss of power in the middle of tidying up that are looked at


class Violated(AssertionError):
    """Something that was acknowledged is not there, or what is there was never written."""


class History:
    """Saves of one run, one after another, with kills and losses of power between and in the middle of them.

    For each thing that is saved: the versions that may be found. An acknowledged save leaves one.
    """

    def __init__(self, place: Path, muted: Site | None = None):
        self.place, self.os = place, Forgetful(place, muted)
        self.run = place / "deep" / "runs" / "run"
        self.version, self.step = 0, 0
        self.then: int | None = None  # operations after which who tidies up next loses power
        self.may_be: dict[str, set[Any]] = {}
        self.log: disk.Log | None = None
        self.lines, self.synced = list[bytes](), 0  # of the log: as appended; how many are acknowledged
        with self._ours():
            disk.new_folder(self.run.parent, self.run.name)

    @contextmanager
    def _ours(self) -> Iterator[None]:
        with patch.object(disk, "os", self.os):
            yield

    def act(
        self, action: str, random: Random, kill_at: int | None = None, *, fsyncs_only: bool = False, power: bool = False
    ) -> None:
        """Do one thing, or be killed (or lose power) after `kill_at` operations of it; then look at what there is."""
        self.version += 1
        self.os.kill_at, self.os.fsyncs_only = kill_at, fsyncs_only
        try:
            with self._ours():
                getattr(self, f"_{action}")(random)
        except Killed:
            self._end(random, power=power)
        except (GliaError, OSError) as error:
            raise Violated(f"{action} cannot be saved any more: {error}") from error
        self.os.kill_at = None

    def lose_power(self, random: Random) -> None:
        """Between two saves."""
        self._end(random, power=True)

    def kill(self, random: Random) -> None:
        """Between two saves."""
        self._end(random, power=False)

    def close(self) -> None:
        self.os.restart()
        shutil.rmtree(self.place)

    def _end(self, random: Random, *, power: bool) -> None:
        self.log, outcomes = None, 1
        while True:
            if power:
                for _ in self.os.losses(random, outcomes):
                    self._look("at once")
            else:
                self.os.restart()
                self._look("at once")
            if self._tidied():
                break
            power, outcomes = True, _OUTCOMES
        self._look("after tidying")
        here = [*self.run.glob(".*"), *self.run.glob("checkpoints/.*")]
        left = [path for path in here if path.name.startswith((".tmp", ".old")) or path.suffix == ".tmp"]
        if left:
            raise Violated(f"left behind by what was killed: {left}")

    def _tidied(self) -> bool:
        """What the next process does first; False where that was cut off too."""
        self.os.kill_at = self.then
        try:
            with self._ours(), RunFolder(self.run).writing():
                pass
        except Killed:
            return False
        finally:
            self.then = None
        self.os.kill_at = None
        return True

    def _save(self, what: str, value: Any, save: Callable[[], Any]) -> None:
        self.may_be.setdefault(what, {None}).add(value)
        save()
        self.may_be[what] = {value}

    def _checkpoint(self, random: Random) -> None:
        self.step += random.choice((0, 1, 1, 2)) if self.step else 1
        tensor = torch.full((random.choice((3, 3000)),), float(self.version))
        state = {"progress": {"step": self.step}, "version": self.version, "w": tensor}
        logs = (self.log,) if self.log is not None else ()
        self._save("checkpoint", self.version, lambda: checkpoint.save(self.run, self.step, state, logs))

    def _content(self, random: Random) -> bytes:
        return b"%d " % self.version * random.choice((1, 3000))

    def _model(self, random: Random) -> None:
        files = {"a": self._content(random), "deep/er/b": self._content(random), "version": b"%d" % self.version}
        what = "model"
        self._save(what, self.version, lambda: RunFolder(self.run).write_folder(what, files))

    def _plain(self, random: Random) -> None:
        files = {"a": self._content(random), "version": b"%d" % self.version}
        what = "far/away/model"
        self._save(what, self.version, lambda: disk.write_folder(self.run / what, files))

    def _file(self, random: Random) -> None:
        name, content = random.choice(("recipe.toml", "status.json")), self._content(random)
        self._save(name, content, lambda: RunFolder(self.run).write(name, content))

    def _rows(self, random: Random) -> None:
        name, content = random.choice(("new/out/rows.csv", "other/rows.csv")), self._content(random)

        def save() -> None:
            with disk.open_rows(self.run / name, overwrite=True) as file:
                file.write(content)

        self._save(name, content, save)

    def _log(self, random: Random) -> None:
        if self.log is None:
            kept = self.lines[: self.synced]
            length = seals.cut(self.run, "chart.jsonl", sum(map(len, kept)))
            self.log = disk.Log(self.run / "chart.jsonl", keep_bytes=length)
            self.lines = kept
        for _ in range(random.choice((1, 1, 400))):
            self.log.append({"version": self.version, "line": len(self.lines)})
            self.lines.append(b'{"version": %d, "line": %d}\n' % (self.version, len(self.lines)))
        if self.log.sync() != sum(map(len, self.lines)):
            raise Violated("the log says another length than it has")
        self.synced = len(self.lines)

    def _begin(self, random: Random) -> None:
        root = random.choice((self.place / "deep" / "runs", self.place / f"other-{self.version}" / "runs"))
        folder = root / f"run-{self.version}"
        self.may_be[f"begun {folder}"] = {False, True}
        disk.new_folder(root, folder.name)
        self.may_be[f"begun {folder}"] = {True}

    def _look(self, when: str) -> None:
        """Compare what there is with what there may be; what is found now is durable from now on only if it was."""
        if not self.run.is_dir():
            raise Violated("the run's own folder is gone")
        alarms = [f"{one.name}: {one.why}" for one in verify(self.run) if one.state == "damaged"]
        if alarms:
            raise Violated(f"a false alarm {when}: {alarms}")
        for what, allowed in self.may_be.items():
            try:
                found = self._read(what)
            except (GliaError, OSError) as error:
                raise Violated(f"{what} cannot be read {when}: {error}") from error
            if found not in allowed:
                raise Violated(f"{what} {when}: {str(found)[:40]!r} of {[str(one)[:40] for one in allowed]}")
        kept = b"".join(self.lines[: self.synced])
        path = self.run / "chart.jsonl"
        if self.synced and not (path.exists() and path.read_bytes().startswith(kept)):
            raise Violated(f"lines of the log are gone {when}")

    def _read(self, what: str) -> Any:
        if what == "checkpoint":
            warnings: list[str] = []
            state = checkpoint.latest(self.run, warnings.append)
            if state is None:
                return None
            if not torch.equal(state["w"], torch.full_like(state["w"], float(state["version"]))):
                raise Violated("a checkpoint is a mixture")
            return state["version"]
        if what.endswith("model"):
            if not disk.folder_exists(self.run / what):
                return None
            return int(disk.read_folder(self.run / what)["version"])
        if what.startswith("begun "):
            return Path(what.removeprefix("begun ")).is_dir()
        path = self.run / what
        return path.read_bytes() if path.exists() else None


def history(place: Path, seed: int, muted: Site | None = None, length: int = 12) -> set[Site]:
    """One history that `seed` draws. Raises Violated; gives the places that asked for an fsync."""
    random = Random(seed)
    one = History(place, muted)
    actions = random.choice((ACTIONS, (random.choice(ACTIONS),)))
    try:
        for _ in range(random.randint(2, length)):
            action = random.choice(actions)
            fate = random.random()
            if fate < 0.4:
                one.act(action, random)
            else:
                if random.random() < 0.3:
                    one.then = random.randrange(_LONGEST["tidy"])
                one.act(action, random, random.randrange(_LONGEST[action]), power=fate < 0.7)
            if random.random() < 0.4:
                one.lose_power(random)
        one.lose_power(random)
    finally:
        one.close()
    return one.os.sites


def cut_twice(place: Path, action: str, at: int, then: int, seed: int, muted: Site) -> None:
    """Killed at fsync number `at` of a save, if it comes so far, and then without power after `then` operations of
    tidying up.
    """
    one, random = History(place, muted), Random(seed)
    try:
        one.act(action, random)
        one.act(action, random)
        one.then = then
        one.act(action, random, at, fsyncs_only=True)
        for _ in one.os.losses(random, _OUTCOMES):
            one._look("at once")
    finally:
        one.close()


def mutants(place: Path, sites: set[Site], tries: int) -> dict[Site, int | None]:
    """For each fsync, left out: after how many histories that was found out; None when it never was."""
    drawn: list[Callable[..., object]] = [partial(history, place, seed) for seed in range(tries)]
    # Late in a save most is renamed and not yet durable; a checkpoint that was not cut off has deleted an older one.
    cuts = [*product(("checkpoint",), (99,), (0,), range(8)), *product(("file",), (4, 5), range(6, 12), range(4))]
    cuts += product(("model",), (8, 9), range(2, 12), range(2))
    again: list[Callable[..., object]] = [partial(cut_twice, place, *cut) for cut in cuts]
    found: dict[Site, int | None] = {}
    for site in sorted(sites):
        found[site] = None
        for number, one in enumerate([*drawn[:_SOON], *again, *drawn[_SOON:]], 1):
            with contextlib.suppress(Violated):
                one(muted=site)
                continue
            found[site] = number
            break
    return found


def run(count: int, folder: Path, tell: Callable[[str], None]) -> Result:
    """`count` histories, then the same with every fsync left out in turn."""
    memory = Path("/dev/shm")  # nothing here is for the real disk, and memory is faster
    failed, sites = list[str](), set[Site]()
    place = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else folder)) / "disk"
    for seed in range(count):
        try:
            sites |= history(place, seed)
        except Violated as error:
            failed.append(f"seed {seed}: {error}")
        if seed % 50 == 0:
            tell(f"history {seed}")
    tell("leaving out one fsync after another")
    found = mutants(place, sites, max(count, 300))
    shutil.rmtree(place.parent)
    failed += [f"without the fsync of {' < '.join(site)} nothing is lost" for site, at in found.items() if at is None]
    figures = {"fsyncs left out": f"{len(found)}, all found" if None not in found.values() else f"{len(found)}"}
    return Result(NAME, PROMISE, count, tuple(failed), figures=figures)
