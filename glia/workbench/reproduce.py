"""A run made again from its own record, and compared with it bit by bit: equal, or where the two part, and why."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from glia.data.given import given
from glia.data.prepared import Prepared
from glia.errors import GliaError
from glia.recipe import Recipe
from glia.runs import checkpoint, compare, hashes, machine
from glia.runs.folder import RunFolder
from glia.training.loop import Moment
from glia.training.nonfinite import NonFinite
from glia.training.steps import Step
from glia.workbench.checkup import Busy
from glia.workbench.plan import Choice
from glia.workbench.prepare import prepare
from glia.workbench.session import Session, Watcher
from glia.workbench.train import Begin, Found, Tell, train

RECORD = "reproduction.json"  # in the repetition's folder
MEMORY = "in memory>"  # how the recipe ends the name of data that were no file
FIGURES = ("loss", "lr", "grad_norm")  # of a step's line in the chart
LONGEST_NAME = 58  # of a run, before "-again"


def _quiet(line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Reproduction:
    """What came of it.

    run, again: the two folders. equal: every bit that could be compared. first: what differed first, in words.
    parts: how each part ended, a line each: {"losses of steps": "equal"}. loss_gap: the largest difference of the two
    loss curves as a share of the loss; NaN where there are none. numerics: what decides the last bits of a sum and was
    not as it had been; surroundings: what else was not.
    """

    run: Path
    again: Path
    equal: bool
    first: str
    parts: dict[str, str]
    loss_gap: float
    numerics: tuple[str, ...]
    surroundings: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.run} and {self.again}: {self.verdict}"

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.equal:
            but = f", although the machine is another: {', '.join(self.numerics)}" if self.numerics else ""
            return f"equal to the last bit{but}"
        gap = "" if math.isnan(self.loss_gap) else f"; the losses differ by at most {self.loss_gap:.2g} of their size"
        if self.numerics:
            return f"{machine.inexact(self.numerics)}{gap}"
        return f"not equal, though nothing that is known to change numbers has changed{gap}"


@dataclass
class Watch:
    """Compares a run as it goes with what another one left: its chart, and the hashes of its tensors.

    The chart has a figure of nearly every step, and may be equal where tensors are not; hashes are of fewer steps.
    """

    run: Path
    lines: dict[int, dict[str, Any]]
    hashed: dict[int, dict[str, str]]
    steps: int = 0  # that were compared
    tensors: int = 0  # steps at which tensors were
    first_figure: str = ""
    first_tensors: str = ""
    figure_at: float = math.inf
    tensors_at: float = math.inf
    equal_until: int | None = None  # the last step at which all tensors were equal
    seen: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, folder: RunFolder) -> "Watch":
        lines = {int(line["step"]): line for line in folder.chart() if line.get("kind") == "step"}
        return cls(folder.path, lines, hashes.read(folder.path))

    def begin(self, session: Session, *_: Any) -> tuple[Watcher, ...]:
        """Compare the first weights; what it gives watches all that follows."""
        self._tensors(0, lambda: {"model": session.model.state_dict()}, "before the first step")
        return (self.take,)

    def take(self, moment: Moment) -> None:
        """Compare what this step left."""
        where = f"at step {moment.step} (epoch {moment.epoch + 1})"
        if moment.kind == "step" and moment.step in self.lines:
            self.steps += 1
            line = self.lines[moment.step]
            for name in FIGURES:
                was, now = line.get(name, math.nan), getattr(moment, name)
                if repr(was) != repr(now) and not self.first_figure:
                    self.figure_at = moment.step
                    self.first_figure = f"{name.replace('_', ' ')} {where}: {was!r} was, {now!r} is"
        self._tensors(moment.step, moment.snapshot, where)

    def _tensors(self, step: int, snapshot: Callable[[], dict[str, Any]], where: str) -> None:
        if step not in self.hashed or step in self.seen or self.first_tensors:
            return
        self.seen.add(step)
        self.tensors += 1
        was, state = self.hashed[step], snapshot()
        now = hashes.hashes(state)
        other = [name for name in dict.fromkeys([*was, *now]) if was.get(name) != now.get(name)]
        if not other:
            self.equal_until = step
            return
        self.tensors_at = step
        since = "" if self.equal_until is None else f"; all were equal at step {self.equal_until}"
        gap = self._gap(state, step, other[0])
        self.first_tensors = f"{len(other)} of {len(was)} tensors {where}, the first {other[0]}{gap}{since}"

    def _gap(self, state: dict[str, Any], step: int, name: str) -> str:
        """By how much, where the run still has its checkpoint of that step."""
        kept = checkpoint.at(self.run, step)
        one, other = (hashes.tensors(each or {}).get(name) for each in (kept, state))
        return f" ({compare.by_how_much(one, other)})" if one is not None and other is not None else ""

    @property
    def first(self) -> str:
        """What was seen first in each, the earlier one first."""
        pair = [(self.figure_at, self.first_figure), (self.tensors_at, self.first_tensors)]
        # A step's figures are of before its tensors change: at the same step they stand first.
        return "; ".join(text for _, text in sorted(pair, key=lambda one: one[0]) if text)


def reproduce(
    path: Path | str,
    *,
    name: str | None = None,
    source: Any = None,
    data: Any = None,
    model: nn.Module | None = None,
    step: Step | None = None,
    tell: Tell = _quiet,
    found: Found | None = None,
    begin: Begin | None = None,
    busy: Busy | None = None,
) -> Reproduction:
    """Train a run again from its recipe, into a new folder beside it, and compare the two to the last bit.

    name: of the new run; the old one's with "-again" if not given. source, data: what was given in memory. model, step:
    what was your own, as new as it was then. The rest as in `glia.train`. What has changed about the machine is told
    before it begins. Raises GliaError where it cannot be made again: data that are other ones or gone,
    a network of your own that is not given, a device that is not here.
    """
    folder = RunFolder.open(path)
    recipe = folder.recipe.updated(source=source) if source is not None else folder.recipe
    _check(folder, recipe, own=model is not None, given=source is not None or data is not None)
    if recipe.train.threads is not None:
        torch.set_num_threads(recipe.train.threads)
    was, now = folder.read_json("machine.json", {}), machine.describe()
    numerics, surroundings = machine.changes(was, now), machine.other_changes(was, now)
    numerics += [f"resumed {kept}"] if "not bit-exact" in (kept := machine.promise(was)) else []
    if numerics:
        tell(machine.inexact(numerics))
    if surroundings:
        tell(f"other things that have changed: {', '.join(surroundings)}")
    prepared = prepare(recipe=recipe) if data is None else given(data, step=step is not None)
    _compare_data(folder, prepared, tell)
    watch = Watch.of(folder)

    def began(session: Session, new: RunFolder, choices: list[Choice]) -> tuple[Watcher, ...]:
        shown = begin(session, new, choices) if begin else ()
        made.append(new)
        return (*shown, *watch.begin(session))

    made: list[RunFolder] = []
    try:
        train(
            recipe=recipe, data=prepared, model=model, step=step, name=name or f"{folder.name[:LONGEST_NAME]}-again",
            runs=folder.path.resolve().parent, tell=tell, found=found, begin=began, busy=busy, force=True,
        )  # fmt: skip
    except NonFinite as error:
        tell(f"it failed: {error}")
    again = made[0]
    parts = _parts(folder, again, watch)
    result = Reproduction(
        folder.path, again.path, all(text.startswith("equal") for text in parts.values()), watch.first or _first(parts),
        parts, compare.largest_gap(folder.path, again.path), tuple(numerics), tuple(surroundings),
    )  # fmt: skip
    again.write_json(
        RECORD, asdict(result) | {"run": str(result.run), "again": str(result.again), "verdict": result.verdict}
    )
    return result


def _check(folder: RunFolder, recipe: Recipe, *, own: bool, given: bool) -> None:
    """Raises GliaError where the record is known not to be enough."""
    if recipe.model.model == "custom" and not own:
        raise GliaError(
            f"the network of {folder.path} was one of your own",
            hint="glia.reproduce(run, model=your_network), with its first weights drawn as they were then",
        )  # fmt: skip
    if not given and str(recipe.data.source).endswith(MEMORY):
        raise GliaError(
            f"{folder.path} was trained on data in memory", hint="glia.reproduce(run, source=...), or data=..."
        )  # fmt: skip
    device = torch.device(recipe.train.device)
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device.type, True):
        raise GliaError(f"{folder.path} was trained on {device}", got="a machine without one")


def _compare_data(folder: RunFolder, data: Prepared, tell: Tell) -> None:
    """Raises GliaError where the rows are known to be other ones."""
    was, now = folder.read_json("data.json", {}).get("fingerprint"), data.card.get("fingerprint")
    if was is None or now is None:
        tell("whether the data are the same is not known: they have no fingerprint")
    elif was != now:
        raise GliaError(
            f"the data are not those that {folder.path} was trained on", got=f"fingerprint {str(now)[:12]}",
            expected=str(was)[:12], hint="the file as it was, then again",
        )  # fmt: skip


def _parts(folder: RunFolder, again: RunFolder, watch: Watch) -> dict[str, str]:
    """How each part ended. A run that never came to its end is compared as far as it went."""
    found = {"tensors as it went": watch.first_tensors or f"equal, at {watch.tensors} steps"} if watch.tensors else {}
    state, why = (folder.read_json("status.json", {}).get(key) for key in ("state", "why"))
    if state in ("stopped", "running"):
        return found | {"losses of steps": watch.first_figure or f"equal, {watch.steps} steps until it was {state}"}
    ended = again.read_json("status.json", {})
    if (ended.get("state"), ended.get("why")) != (state, why):
        found["its end"] = f"{state} ({why}) was, {ended.get('state')} ({ended.get('why')}) is"
    compared = compare.present(folder.path)
    different = compare.differences(folder.path, again.path, [name for name in compare.PARTS if name not in compared])
    for name in compared:
        here = [one for one in different if one.what == name]
        more = f" (and {len(here) - 1} more)" if len(here) > 1 else ""
        found[name] = f"{here[0].where}: {here[0].amount}{more}" if here else "equal"
    return found


def _first(parts: dict[str, str]) -> str:
    """What differed, where nothing was seen to as it went."""
    return next((f"{name}, {text}" for name, text in parts.items() if not text.startswith("equal")), "")
