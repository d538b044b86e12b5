"""Second look: once a run of ours has gone wrong, cures are tried on short trainings of copies.

The run is over by then: nothing of it is touched, and a run that went well pays for none of this but the copy of its
network that is made before the first step. Whatever can be set in a recipe is told as a setting that people can type.
"""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from glia.catalog import entry as catalog
from glia.data.batches import Batch
from glia.doctor.finding import SEVERITIES, Finding, Remedy
from glia.doctor.ideas import from_findings
from glia.doctor.judge import FLOOR_S, SHARE, Judge, says
from glia.doctor.trial import Trials
from glia.models.tabular import Ensemble, combine
from glia.optim import schedules
from glia.optim.build import set_lr
from glia.recipe import Recipe
from glia.training.feed import moved
from glia.training.numbers import Numbers
from glia.training.steps import supervised
from glia.training.update import as_outcome, l1_norm, seed_noise
from glia.vitals.bench import Bench
from glia.vitals.capture import LARGEST_MODEL, copied
from glia.vitals.chart import Chart, ScoreFacts, StepVitals
from glia.vitals.listen import listen
from glia.workbench.firstlook import plain_dropout
from glia.workbench.halt import at_once
from glia.workbench.session import Session, loss_of

ROWS, HELD = 10_000, 2_000  # of training and of held-out rows, at most
REHEARSAL = 0.3  # of the budget that collecting rows may take
PATIENT = 4  # times the CPU time that it may take by the clock on the wall
MOST_RATES = 1000  # points of a planned schedule
NO_GAIN = 0.02  # of a figure between 0 and 1

# A key of a change -> the setting that means the same.
SETTINGS = {
    "lr": "lr", "epochs": "epochs", "batch_size": "batch_size", "clip_norm": "clip", "weight_decay": "weight_decay",
    "l1": "l1", "momentum": "momentum",
}  # fmt: skip
OF_THE_NETWORK = {"dropout": "dropout", "hidden_activation": "activation"}  # where the network is one of ours


@dataclass(frozen=True, slots=True)
class Tried:
    """What the trials came to. findings: as the judge tells them. cured: a change was found that helps.

    needed: codes of findings whose cure is part of one that helps; refuted: of those whose cure brought nothing.
    seconds: of CPU, the collecting of rows too.
    """

    findings: list[Finding]
    cured: bool
    needed: frozenset[str]
    refuted: frozenset[str]
    trials: int
    seconds: float


class Whole(nn.Module):
    """A network that gives one answer a row in training too: the members of an ensemble put together."""

    def __init__(self, network: nn.Module, kind: str):
        super().__init__()
        self.network, self.kind = network, kind

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        outputs = self.network(*args, **kwargs)
        return combine(outputs, self.kind) if self.network.training else outputs


def first_weights(model: nn.Module) -> nn.Module | None:
    """A copy of a network before its first step, kept off the GPU; None of one too large to be kept twice."""
    if sum(p.numel() for p in model.parameters()) > LARGEST_MODEL:
        return None
    return copied([model])[0].cpu()


def budget(recipe: Recipe, run_seconds: float) -> float:
    """Seconds for trials: what the recipe says, else a fifth of the run's and at least five."""
    asked = recipe.train.trial_time
    return max(FLOOR_S, SHARE * run_seconds) if asked == "auto" else float(asked)


def second_look(
    session: Session, start: nn.Module, chart: Chart, suspected: Sequence[Finding], seconds: float, *, ended: bool
) -> Tried | None:
    """Try the cures of what is suspected, and the settings that every run has. None where nothing can be tried.

    start: the network before its first step. chart: of the whole run. seconds: of CPU. ended: the run came to its end,
    not to a loss that is not finite.
    """
    own = session.recipe.model.model == "custom"
    began = time.process_time()
    cuda = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with at_once(), torch.random.fork_rng(devices=cuda):
        bench = rehearsed(session, start, REHEARSAL * seconds)
        if bench is None or bench.answers is None or bench.train is None or not bench.capture.optimizers:
            return None
        seen = _of_the_run(session, chart, bench, ended=ended)
        ideas = [f if _doable(f.change, session.recipe) else replace(f, change={}) for f in suspected]
        left = seconds - (time.process_time() - began)
        if left <= 0:
            return None
        judge = Judge(seen, bench, ideas, left)
        verdict = judge.verdict()
    helps = [r.change for f in verdict if f.alarms for r in f.remedies if _gained(r)]
    needed = {f.code for f in suspected if f.change and any(f.change.items() <= change.items() for change in helps)}
    refuted = {f.code for f in suspected if _tried_alone(judge.trials, f)} - needed
    findings = [_told(f, session.recipe, own=own) for f in verdict]
    spent = time.process_time() - began
    return Tried(findings, bool(helps), frozenset(needed), frozenset(refuted), len(judge.trials.known), spent)


def joined(now: Iterable[Finding], tried: Tried) -> list[Finding]:
    """What was found, as the trials left it: with the cures that help, and as a note what they do not support."""
    verdict = {(f.code, f.where): f for f in tried.findings}
    left, lowered = [], list[Finding]()
    for finding in now:
        other = verdict.pop((finding.code, finding.where), None)
        if other is not None and finding.sure and not other.alarms:
            finding = replace(finding, remedies=other.remedies)  # it happened, whatever the cause
        elif other is not None:
            finding = other
        elif finding.alarms and not finding.sure and _doubted(finding, tried):
            why = "its cure was tried and did not help" if finding.code in tried.refuted else "another cure helps"
            finding = replace(finding.noted(), why=f"{finding.why}; {why}")
            lowered.append(finding)
        left.append(finding)
    if lowered and not any(f.alarms for f in [*left, *verdict.values()]):
        # No cure is known, and yet it failed: the likeliest symptom says so.
        left[left.index(lowered[0])] = replace(lowered[0], severity="warning")
    # What the judge puts first is the likelier cause.
    places = {(f.code, f.where): place for place, f in enumerate(tried.findings)}
    every = sorted([*left, *verdict.values()], key=lambda f: places.get((f.code, f.where), len(places)))
    return sorted(every, key=lambda f: SEVERITIES.index(f.severity))


def _doubted(finding: Finding, tried: Tried) -> bool:
    return finding.code not in tried.needed and (tried.cured or finding.code in tried.refuted)


def typed(change: Mapping[str, Any], recipe: Recipe) -> tuple[dict[str, Any], dict[str, Any]]:
    """A change as settings of a recipe, and what of it is none: ``{"clip_norm": 1.0}`` is ``clip=1.0``."""
    own = recipe.model.model == "custom"
    known = SETTINGS if own else SETTINGS | OF_THE_NETWORK
    settings: dict[str, Any] = {}
    for key, value in change.items():
        if key == "optimizer" and (name := _optimizer_named(value)):
            # A trial's new optimiser has torch's own options, and does not decay.
            settings |= {"optimizer": name} | ({"weight_decay": 0.0} if recipe.train.weight_decay else {})
        elif key in known:
            settings[known[key]] = value
    if settings.get("epochs", 0) > (recipe.train.epochs or 0) and recipe.train.patience:
        settings["patience"] = 0  # a longer run is one that does not end early
    rest = {k: v for k, v in change.items() if k not in known and not (k == "optimizer" and "optimizer" in settings)}
    return settings, rest


def as_typed(settings: Mapping[str, Any]) -> str:
    """Settings as on a command line: ``--lr 0.003 --epochs 12``."""
    return " ".join(f"--{k.replace('_', '-')} {f'{v:g}' if isinstance(v, float) else v}" for k, v in settings.items())


def rehearsed(session: Session, start: nn.Module, seconds: float) -> Bench | None:
    """What trials stand on: batches of the first epoch and held-out rows, seen on their way through a copy of `start`.

    The weights stay where they begin, so a run that diverges at once shows all its rows too. seconds: for collecting.
    """
    train, task, device = session.recipe.train, session.data.task, torch.device(session.recipe.train.device)
    model, step = copied([start])[0].to(device), session.step
    own = session.recipe.model.model == "custom"
    plain_dropout(model)
    if isinstance(model, Ensemble):
        # Trials of members that never see a fold of the rows would say little: all see all, and held-out rows decide.
        entry, options = loss_of(session.recipe, task)
        model = Whole(model, task.kind)
        step = supervised(entry.name, **options)
    optimizer = set_lr(session.optimizer(model, float(train.lr)), float(train.lr) * _schedule(session)(0, []))
    with listen(capture=True) as chart:
        model.train()
        if session.thawing is not None:
            session.thawing(model, 0)
        ready = False
        with closing(session.feed.epoch(train.seed, 0)) as batches:  # type: ignore[type-var]
            for batch in _within(batches, ROWS, seconds):
                batch = _floats(moved(batch, device)) if own else moved(batch, device)
                seed_noise(train.seed, device)
                with Numbers(train.precision).forward(device):
                    loss = as_outcome(step(model, batch)).loss
                loss = loss + train.l1 * l1_norm(model) if train.l1 else loss
                (loss / train.accumulate if train.accumulate > 1 else loss).backward()
                optimizer.zero_grad()
                if not ready:
                    optimizer.step()  # without gradients: it shows its settings, and no weight moves
                    ready = True
        model.eval()
        with torch.no_grad():
            for batch in _within(session.feed.check(), HELD, seconds / 2):
                step(model, _floats(moved(batch, device)) if own else moved(batch, device))
    return chart.bench


def _floats(batch: Batch) -> Batch:
    """Pixels as numbers that a trial can scale."""
    return batch._replace(inputs=batch.inputs.float()) if batch.inputs.dtype == torch.uint8 else batch


def _within(batches: Iterator[Batch], rows: int, seconds: float) -> Iterator[Batch]:
    """So many rows at most, within so many seconds of CPU, and not many more of waiting; one batch in any case."""
    began, worked = time.perf_counter(), time.process_time()
    for batch in batches:
        yield batch
        rows -= len(batch.targets)
        late = time.process_time() - worked > seconds or time.perf_counter() - began > PATIENT * seconds
        if rows <= 0 or late:
            return


def _schedule(session: Session) -> schedules.Schedule:
    train = session.recipe.train
    return schedules.build(
        train.schedule or "constant", session.total_steps(), session.steps_per_epoch, warmup_share=train.warmup or 0.0
    )


def _of_the_run(session: Session, chart: Chart, bench: Bench, *, ended: bool) -> Chart:
    """The run's own chart as trials need it: with their rows, the skill on them, and as many steps as were planned."""
    train = session.recipe.train
    steps = chart.epochs[-1].step if ended and chart.epochs else session.total_steps()
    loop = chart.loop
    if loop is not None:
        epochs = loop.epochs if ended else float(train.epochs or 1)
        loop = replace(loop, steps=steps, epochs=epochs, clip=train.clip or math.nan)
    shown = chart.steps if ended else list(_planned(session, chart, steps))
    return replace(
        chart, bench=bench, scores=_scores(session, bench, ended=ended), loop=loop, steps=shown,
        backwards=steps * train.accumulate,
    )  # fmt: skip


def _planned(session: Session, chart: Chart, steps: int) -> Iterator[StepVitals]:
    """The rates of all steps that were to be; losses as far as there are any, the last of which is not finite."""
    rate, schedule = float(session.recipe.train.lr), _schedule(session)
    losses = {one.step: one.loss for one in chart.steps}
    places = sorted({*range(0, steps, math.ceil(steps / MOST_RATES)), *losses})
    for step in places:
        yield StepVitals(step, losses.get(step, math.nan), rate * schedule(step, []))


def _scores(session: Session, bench: Bench, *, ended: bool) -> list[ScoreFacts]:
    """How good the run's own network is, on the rows of the trials and by their measure; not at all if it broke."""
    found = []
    asked = Whole(session.model, session.data.task.kind) if isinstance(session.model, Ensemble) else session.model
    for rows in (bench.train, bench.held):
        score = bench.score([asked], rows) if rows is not None else None
        if score is not None:
            found.append(score if ended else replace(score, value=math.nan))
    return found


def _doable(change: Mapping[str, Any], recipe: Recipe) -> bool:
    """Can somebody make that change? Everything in a network of one's own; in ours, what a setting says."""
    if not change or recipe.model.model == "custom":
        return True
    return not typed(change, recipe)[1]


def _told(finding: Finding, recipe: Recipe, *, own: bool) -> Finding:
    """With remedies as settings; without those that brought nothing."""
    kept = [r for r in finding.remedies if r.trial is None or _gained(r)]
    if len(kept) == 2 and _as_good(kept[1], kept[0]):
        kept = kept[1:]
    remedies = tuple(_typed_remedy(r, recipe) for r in kept)
    if finding.code == "GL316" and remedies:
        where = "the settings" if not own else "the settings, or what they make up for"
        return replace(finding, where=where, cure=f"train with {remedies[0].says}", remedies=remedies)
    return replace(finding, remedies=remedies)


def _typed_remedy(remedy: Remedy, recipe: Recipe) -> Remedy:
    settings, rest = typed(remedy.change, recipe)
    words = [as_typed(settings)] if settings else []
    words += [f"in the network: {says(rest)}"] if rest else []
    return replace(remedy, change={**settings, **rest}, says="; ".join(words) or remedy.says)


def _gained(remedy: Remedy) -> bool:
    trial = remedy.trial
    if trial is None or not math.isfinite(trial.after):
        return False
    return not math.isfinite(trial.before) or trial.after > trial.before + NO_GAIN


def _as_good(part: Remedy, whole: Remedy) -> bool:
    """Does a part of a set of changes do nearly what the whole does?"""
    fewer = part.change.items() < whole.change.items()
    return (
        fewer and part.trial is not None and whole.trial is not None and part.trial.after > whole.trial.after - NO_GAIN
    )


def _tried_alone(trials: Trials, finding: Finding) -> bool:
    """Was its own cure tried to the end?"""
    ideas = from_findings([finding])
    outcome = trials.known.get(trials.key(ideas[0].change)) if ideas else None
    return outcome is not None and not outcome.error


def _optimizer_named(kind: str) -> str:
    """The catalogue's name for a class of torch."""
    return next((name for name in catalog.names("optimizers") if name == str(kind).lower()), "")
