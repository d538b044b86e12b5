"""Checkup: the doctor inside a training of ours. The same checks before the first step, at epoch ends and at the end;
each finding is told once and stands in findings.json.
"""

import math
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from glia.data.facts import TableFacts
from glia.doctor.examine import code_of, sift, suspect
from glia.doctor.finding import SEVERITIES, Finding, Remedy
from glia.doctor.judge import WELL
from glia.doctor.learning import failed, skill
from glia.errors import GliaError
from glia.runs.folder import RunFolder
from glia.training.loop import Moment
from glia.training.nonfinite import NonFinite
from glia.vitals.chart import Chart, EpochVitals, LoopFacts, OptimizerFacts, ScoreFacts, StepVitals
from glia.vitals.clock import Clock
from glia.workbench.firstlook import Look, look
from glia.workbench.frugal import SHARE, Frugal
from glia.workbench.secondlook import Tried, budget, first_weights, joined, second_look
from glia.workbench.session import Session

Told = Callable[[Finding], None]
Busy = Callable[[str], AbstractContextManager[Any]]
"""Wraps work that takes a while; it is given a line that says what is done."""

# Our own networks begin with the preparation that was fitted on the training rows.
PREPARED = ("GL101", "GL102")
LIKELY = 0.5  # prior from which a symptom counts in a run that fails
CERTAIN = 0.9  # prior from which what the data show counts before the first step
FAR = 10.0  # times the usual learning rates that are told before the first step
MOST_STEPS = 4000  # whose losses are kept
USUAL_S = 0.05  # seconds that a first look takes, about
EARLY = 0.25  # share of a run before which nobody knows whether it fails
SKILLED = 0.25  # skill of a baseline, below which the data may say nothing at all
TIME = ("GL501", "GL502", "GL503")  # rules on time and memory, which are told at the end only
MOST_THREADS = 8  # that prepare batches ahead
KEPT_BEST = "GL4"  # generalisation: the best weights are kept in any case, and short trials say little of it


class Checkup:
    """What is known of one run so far, and what was told of it.

    found: is given each finding once, and once more where trials of its cure say something new. busy: wraps those
    trials. before: raises GliaError where it cannot work, unless `force`.
    """

    def __init__(self, session: Session, found: Told, busy: Busy = nullcontext):
        self.session, self.found, self.busy = session, found, busy
        self.skip = {code_of(name) for name in session.recipe.train.skip}
        if session.recipe.model.model != "custom":
            self.skip |= set(PREPARED)
        if session.data.task.weights:
            self.skip.add("GL107")  # its cure is in use
        self.known: Look | None = None
        self.first: list[Finding] = []  # before the first step
        self.now: list[Finding] = []
        self.told: set[tuple[str, str]] = set()
        self.notes: list[str] = []
        self.folder: RunFolder | None = None
        self.earlier = Chart()  # of the part of the run before it was resumed
        self.steps_before = 0
        self.rhythm = math.ceil(session.total_steps() / MOST_STEPS)
        self.steps: list[StepVitals] = []  # since it was
        self.epochs: list[EpochVitals] = []
        self.best: Mapping[str, float] = {}
        self.listener: Frugal | None = None
        self.clock: Clock | None = None
        self.began = time.perf_counter()
        self.spent, self.cost = 0.0, USUAL_S
        self.start: Any = None  # the network before its first step
        self.broken = False  # a loss was not finite
        self.tried: Tried | None = None
        with self._aside():
            if session.recipe.train.trial_time != 0:
                self.start = first_weights(session.model)

    def before(self, *, force: bool = False) -> None:
        """Look at the data, the untrained network and the settings. Raises GliaError for an error, unless `force`."""
        errors: list[Finding] = []
        with self._aside():
            self._look()
            errors = [f for f in self.first if f.severity == "error"]
        if errors and not force:
            raise refused(errors)

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Whatever goes wrong in looking must not reach the training; it is written down beside the findings."""
        try:
            yield
        except GliaError:
            raise
        except Exception as error:
            self.notes.append(f"the doctor could not look: {type(error).__name__}: {error}")

    def _look(self) -> None:
        self.known = seen = look(self.session)
        chart = replace(seen.chart, rows=seen.rows, labels=seen.labels, split=seen.splits.get("valid"))
        found = [f for f in suspect(chart, self.skip) if _counts_before(f)]
        if "test" in seen.splits:
            # What is wrong with the training rows is told once.
            other = Chart(rows=seen.rows, labels=seen.labels, split=seen.splits["test"])
            codes = {f.code for f in found}
            of_split = [f for f in suspect(other, self.skip) if _of_split(f) and f.code not in codes]
            found += [_of_test(f) for f in of_split if _counts_before(f)]
        given = {part for part in ("valid", "test") if getattr(self.session.recipe.data, part)}
        found = [f for f in found if f.code != "GL113" or _part_of(f) in given]  # we prepare our own parts alike
        self.first = self.now = [self._named(f) for f in sift(found)]

    def _remember(self, folder: RunFolder, step: int) -> None:
        """Steps, epochs and findings of the run so far. Charts on disk count from 1."""
        self.steps_before = step
        past = Chart.from_lines(line for line in folder.chart() if line.get("step", 0) <= step)
        past.steps = [replace(one, step=one.step - 1, epoch=None) for one in past.steps]
        self.epochs = [replace(one, epoch=one.epoch - 1) for one in past.epochs]
        self.earlier = past
        for line in folder.chart():
            if line["kind"] == "epoch" and line.get("best") and line.get("step", 0) <= step:
                self.best = {k: v for k, v in line.items() if k.startswith(("train_", "valid_"))}
        kept = folder.read_json("findings.json", {}).get("findings", [])
        self.told = {(one["code"], one["where"]) for one in kept}

    @contextmanager
    def watching(self, folder: RunFolder, start: dict[str, Any] | None) -> Iterator[None]:
        """Listen to the training inside the block, which begins in `folder` or goes on there from a checkpoint."""
        self.folder = folder
        if start is not None:
            self._remember(folder, start["progress"]["step"])
        self._tell(self.first)
        self.began = time.perf_counter()
        self.listener = listener = Frugal(Chart(), capture=False)
        self.clock = clock = Clock()
        clock.workers = getattr(self.session.data.train, "workers", 0)
        try:
            with closing(clock), listener.at_work():
                yield
        except NonFinite as error:
            # The loop ends before the optimiser steps, and steps are what the listener hears.
            self.broken = True
            broken = StepVitals(error.step, error.value, float(self.session.recipe.train.lr))
            listener.chart.steps.append(replace(broken, step=error.step - self.steps_before))
            raise

    def watch(self, moment: Moment) -> None:
        """Note losses, and figures of epochs; look at the whole, when looking has not taken too much time."""
        if moment.kind == "step":
            if self.clock is not None:
                self.clock.waited(moment.waited)
                self.clock.step()
            if moment.step % self.rhythm == 0:
                self.steps.append(StepVitals(moment.step - 1, moment.loss, moment.lr))
            return
        self.epochs.append(EpochVitals(moment.epoch, moment.step, dict(moment.figures)))
        if moment.best:
            self.best = dict(moment.figures)
        began = time.perf_counter()
        if moment.last or self.spent + self.cost > SHARE * (began - self.began):
            return
        with self._aside():
            chart = self.chart()
            chart.scores = self._scores(self.best)
            late = moment.step > EARLY * self.session.total_steps()
            self._examined(chart, failing=late and failed(chart), leave_out=TIME)
        self.cost = time.perf_counter() - began
        self.spent += self.cost

    def finish(self, metrics: Mapping[str, Any] | None = None) -> None:
        """The last word, once training is over. metrics: figures of each part, where it came to an end."""
        chart: Chart | None = None
        with self._aside():
            chart, metrics = self.chart(), metrics or {}
            counts, weighted = self.known.counts if self.known else {}, bool(self.session.data.task.weights)
            chart.scores = _measured(metrics, counts, weighted=weighted) or self._scores(self.best)
            failing = failed(chart) and not _hopeless(metrics, counts, weighted=weighted)
            suspected = self._examined(chart, failing=failing, tell=False)
            if (metrics or self.broken) and self._worth_trying(chart, failing=failing):
                self._try(chart, suspected)
        self._tell(self.now)
        self._write(chart)

    def _worth_trying(self, chart: Chart, *, failing: bool) -> bool:
        """Did it fail, or is something wrong that a trial can settle, in a run that did not do well all the same?"""
        if self.start is None or not self.session.plain or (skill(chart) or 0.0) >= WELL and not self.broken:
            return False
        told = any(f.alarms and f.change and not f.code.startswith(KEPT_BEST) for f in self.now)
        return failing or told or self.broken

    def _try(self, chart: Chart, suspected: list[Finding]) -> None:
        """Try cures; what that shows changes the findings."""
        seconds = budget(self.session.recipe, time.perf_counter() - self.began)
        with self._aside():
            try:
                with self.busy(f"trying cures on copies, for at most {seconds:.0f} s"):
                    self.tried = second_look(self.session, self.start, chart, suspected, seconds, ended=not self.broken)
            except KeyboardInterrupt:
                self.notes.append("the trials of cures were ended early")
        if self.tried is not None:
            before = {_key(f): f for f in self.now}
            self.now = sift(joined(self.now, self.tried))
            self.told -= {_key(f) for f in self.now if before.get(_key(f)) != f}

    def chart(self) -> Chart:
        """Everything observed so far: the data, the run before it was resumed, and the run since."""
        listener, seen = self.listener, self.known
        live = listener.chart if listener is not None else Chart()
        shift = self.steps_before
        by_step = {one.step: one for one in self.steps} | {
            one.step + shift: replace(one, step=one.step + shift) for one in live.steps
        }
        chart = Chart(
            steps=[*self.earlier.steps, *(by_step[step] for step in sorted(by_step))],
            layers=[replace(one, step=one.step + shift) for one in live.layers],
            batches=[replace(one, step=one.step + shift) for one in live.batches],
            epochs=list(self.epochs),
            losses=list(live.losses), models=list(live.models), birth=live.birth,
            clock=self.clock.facts() if self.clock is not None else None,
            optimizers=self._optimizers(live), backwards=live.backwards + shift, notes=list(live.notes),
        )  # fmt: skip
        if listener is not None and live.loop is None:  # it still listens
            chart.losses = [reading.done() for reading in listener.readings.values()]
            chart.models = list(listener.models.facts(listener.optimized))
        chart.losses = [replace(one, step=one.step + shift) for one in chart.losses]
        if seen is not None:
            chart.rows, chart.labels, chart.split = seen.rows, seen.labels, seen.splits.get("valid")
            operations = {model.kind: model for model in seen.chart.models}
            chart.models = [_with_operations(one, operations.get(one.kind)) for one in chart.models]
        chart.loop = self._loop(live.loop, len(chart.epochs))
        return chart

    def _optimizers(self, live: Chart) -> list[OptimizerFacts]:
        """With the learning rate of the recipe: at its first step a schedule may give a small share of it."""
        rate = self.session.recipe.train.lr
        return [replace(one, options={**one.options, "lr": float(rate)}) for one in live.optimizers]

    def _loop(self, live: LoopFacts | None, epochs: int) -> LoopFacts:
        session = self.session
        return replace(
            live or LoopFacts(steps=self.listener.step if self.listener else 0),
            epochs=float(epochs), batch_size=session.feed.batch_size, rows=session.rows, shuffled=True,
            epoch_steps=session.steps_per_epoch, validated=any("valid_loss" in e.figures for e in self.epochs),
            clip=session.recipe.train.clip or math.nan,
        )  # fmt: skip

    def _scores(self, figures: Mapping[str, float]) -> list[ScoreFacts]:
        """How good the answers are, by the figures of an epoch; nothing where accuracy does not say."""
        task, counts = self.session.data.task, self.known.counts if self.known else {}
        if task.kind == "classify" and counts and not task.weights:
            usual = max(counts.values()) / max(1, sum(counts.values()))
            return [
                ScoreFacts("accuracy", part, figures[f"{part}_accuracy"], usual)
                for part in ("train", "valid")
                if f"{part}_accuracy" in figures
            ]
        if task.kind == "regress" and len(task.scale) == 1 and task.scale[0] > 0:
            return [
                ScoreFacts("r2", part, 1 - (figures[f"{part}_rmse"] / task.scale[0]) ** 2)
                for part in ("train", "valid")
                if f"{part}_rmse" in figures
            ]
        return []

    def _examined(
        self, chart: Chart, *, failing: bool, leave_out: Iterable[str] = (), tell: bool = True
    ) -> list[Finding]:
        """Take what the chart shows as what is known now, and tell what is new. Returns all that is suspected."""
        done = {(f.code, f.where) for f in self.first}
        seen = [f for f in map(self._named, suspect(chart, {*self.skip, *leave_out})) if not _of_split(f)]
        suspected = [*self.first, *(f for f in seen if (f.code, f.where) not in done)]
        new = [f for f in suspected[len(self.first) :] if _counts(f, failing=failing)]
        self.now = sorted(sift([*self.first, *new]), key=lambda f: SEVERITIES.index(f.severity))
        if tell:
            self._tell(self.now)
        return suspected

    def _tell(self, findings: Iterable[Finding]) -> None:
        fresh = [f for f in findings if _key(f) not in self.told]
        for finding in fresh:
            self.told.add(_key(finding))
            self.found(finding)
        if fresh:
            self._write(None)

    def _write(self, chart: Chart | None) -> None:
        """findings.json, with the few measurements that the page draws."""
        if self.folder is None:
            return
        vitals: dict[str, Any] = {"counts": self.known.counts if self.known else {}}
        vitals |= {"layers": layers(chart)} if chart is not None and self.now else {}
        written = [finding.to_dict() for finding in self.now]
        found: dict[str, Any] = {"findings": written, "vitals": vitals, "notes": self.notes}
        if self.tried is not None:
            found["trials"] = {"count": self.tried.trials, "seconds": round(self.tried.seconds, 2)}
        self.folder.write_json("findings.json", found)

    def _named(self, finding: Finding) -> Finding:
        """With the names of columns and, where a table is divided by us, with the weight that this has there."""
        facts = self.session.data.facts
        names = facts.names if isinstance(facts, TableFacts) else ()
        column = finding.evidence.get("column")
        if finding.code == "GL109" and isinstance(column, int) and column < len(names):
            # A copy that was left in the table is what leaks are made of; numbers may well be nearly proportional.
            exact = finding.evidence.get("correlation_held_out") == 1.0
            copied = exact or self.session.data.task.kind != "regress"
            return replace(
                finding, where=f"column {names[column]!r}", evidence={**finding.evidence, "column": names[column]},
                severity="warning" if copied and not finding.alarms else finding.severity,
            )  # fmt: skip
        if finding.code == "GL110" and finding.cause == "missing_validation":
            return replace(finding, severity="warning")  # rows of validation that were asked for in so many words
        if finding.code == "GL113":
            return replace(
                finding, severity="warning" if finding.alarms else "note",
                why="held-out rows lie elsewhere than training rows, though both are prepared alike",
                cure="look for another unit or another source of the file that they come from",
            )  # fmt: skip
        if finding.code == "GL501":
            threads = min(os.cpu_count() or 1, MOST_THREADS, max(2, 2 * finding.evidence["workers"]))
            return replace(
                finding, where="the training batches", cure="let threads prepare batches ahead",
                remedies=(Remedy({"workers": threads}, f"--workers {threads}", safe=True),),
            )  # fmt: skip
        if finding.code == "GL401":
            kept = re.sub(
                r"keep the weights of (epoch \d+) \(patience\); then try", r"\1 has been kept; try", finding.cure
            )
            return replace(finding, cure=kept)
        first = finding.evidence.get("first")
        if finding.code == "GL103" and names and isinstance(first, list):
            return replace(finding, evidence={**finding.evidence, "first": [_columns(one, names) for one in first]})
        return finding


def refused(errors: list[Finding]) -> GliaError:
    """One line on why training does not begin."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return GliaError(
        f"{first.code} {first.name}, {first.where}: {first.why}{more}", got=first.shown_evidence(),
        hint=f"{first.cure}; to train all the same: --force, in Python force=True",
    )  # fmt: skip


def layers(chart: Chart) -> list[dict[str, Any]]:
    """The layers with weights at the last measured step, in order."""
    last = max((one.step for one in chart.layers), default=None)
    return [
        {
            "place": one.place, "step": one.step,
            "grad_norm": _finite(one.grad_norm), "update_ratio": _finite(one.update_ratio),
            "zeros": _finite(one.output.zeros), "rms": _finite(one.output.rms),
        }
        for one in chart.layers
        if one.step == last and one.leaf and one.weighted
    ]  # fmt: skip


def _key(finding: Finding) -> tuple[str, str]:
    return finding.code, finding.where


def _counts(finding: Finding, *, failing: bool) -> bool:
    return finding.sure or not finding.alarms or (failing and finding.prior >= LIKELY)


def _counts_before(finding: Finding) -> bool:
    """Does it count before anybody knows how the run will go?"""
    lr, highest = (finding.evidence.get(name, math.nan) for name in ("lr", "usually_to"))
    far = finding.code == "GL313" and lr > FAR * highest
    settled = finding.code.startswith("GL1") and finding.prior >= CERTAIN
    return far or settled or finding.sure or not finding.alarms


def _of_split(finding: Finding) -> bool:
    """Is it about how held-out rows lie to the training rows? That is known before the first step."""
    return finding.code in ("GL109", "GL110", "GL111", "GL112", "GL113", "GL114", "GL115")


def _part_of(finding: Finding) -> str:
    return "test" if "test" in finding.where else "valid"


def _of_test(finding: Finding) -> Finding:
    return replace(finding, where=finding.where.replace("held-out", "test"))


def _with_operations(model: Any, looked_at: Any) -> Any:
    if looked_at is None:
        return model
    return replace(model, operations=looked_at.operations, output=looked_at.output)


def _measured(metrics: Mapping[str, Any], counts: Mapping[str, int], *, weighted: bool) -> list[ScoreFacts]:
    """Skill on each part by the figures at the end."""
    return [
        one for part in ("train", "valid") if (one := _score(metrics.get(part, {}), part, counts, weighted=weighted))
    ]


def _score(figures: Mapping[str, Any], part: str, counts: Mapping[str, int], *, weighted: bool) -> ScoreFacts | None:
    """R2, or accuracy; balanced accuracy where classes were weighted."""
    if "r2" in figures:
        return ScoreFacts("r2", part, figures["r2"])
    if not counts or "accuracy" not in figures:
        return None
    if weighted:
        return ScoreFacts("balanced accuracy", part, figures["balanced_accuracy"], 1 / len(counts))
    return ScoreFacts("accuracy", part, figures["accuracy"], max(counts.values()) / max(1, sum(counts.values())))


def _hopeless(metrics: Mapping[str, Any], counts: Mapping[str, int], *, weighted: bool) -> bool:
    """Can no simpler model answer either? Then it is not known that the training is at fault."""
    part = next((name for name in ("test", "valid") if name in metrics), "")
    scores = [_score(one.get(part, {}), part, counts, weighted=weighted) for one in metrics.get("baselines", [])]
    known = [one.skill for one in scores if one is not None]
    return bool(known) and max(known) < SKILLED


def _columns(number: Any, names: tuple[str, ...]) -> Any:
    if isinstance(number, list):
        return [_columns(one, names) for one in number]
    return names[number] if isinstance(number, int) and number < len(names) else number


def _finite(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None
