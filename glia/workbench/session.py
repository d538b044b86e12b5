"""A session: a plan and its data, trained into a run folder; begun anew or gone on with, the same numbers come out."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from glia.catalog import entry as catalog
from glia.data.batches import Batches
from glia.data.facts import TensorFacts
from glia.data.given import rows_of
from glia.data.prepared import Prepared
from glia.data.split import folds as fold_of
from glia.data.task import Task
from glia.disk import Log
from glia.errors import GliaError
from glia.models.tabular import combine
from glia.nn import losses
from glia.optim import build as build_optim
from glia.optim import clip, schedules
from glia.optim.average import Average, mean_from
from glia.recipe import Recipe
from glia.runs import checkpoint, seals
from glia.runs.folder import RunFolder
from glia.runs.hashes import Hashes
from glia.training import memory
from glia.training.feed import Feed
from glia.training.forecast import forecasting
from glia.training.language import next_token
from glia.training.loop import Moment, fit
from glia.training.lr_range import about, choose_lr, lr_range
from glia.training.metrics import accuracy, label_accuracy, rmse
from glia.training.numbers import Numbers
from glia.training.pace import Trial, Way, batch_norm, choose_pace
from glia.training.steps import FoldStep, Step, supervised
from glia.training.transcribe import transcribing
from glia.training.transfer import Thawing
from glia.training.translate import translating
from glia.training.world import World
from glia.workbench.halt import Stop
from glia.workbench.plan import Choice

Watcher = Callable[[Moment], None]
EXACT = ("table", "forecast")  # kinds of data whose numbers are measurements: bfloat16 keeps three digits of them
CHART_LINES = 2000  # step lines in chart.jsonl, about, however long the run


@dataclass
class Session:
    """What training needs, put together from a planned recipe."""

    recipe: Recipe
    data: Prepared
    model: nn.Module
    usual_lr: float | None = None
    thawing: Thawing | None = None
    own_step: Step | None = None
    world: World = field(default_factory=World)  # the processes that train it
    step: Step = field(init=False)
    feed: Feed = field(init=False)

    def __post_init__(self) -> None:
        train = self.recipe.train
        self.step = self.own_step or make_step(self.recipe, self.data, self.model)
        self.feed = Feed.of(self.data, self.rows if train.batch_size == "all" else train.batch_size or 64)

    @property
    def rows(self) -> int:
        """Training rows; 0 where a loader does not say."""
        return rows_of(self.data.train) or 0

    @property
    def plain(self) -> bool:
        """Do its batches and answers mean what ours do, so that rows can be looked at one by one?"""
        answers = self.data.task.kind in ("classify", "multilabel", "regress")
        # Of waves each single number says nothing.
        return isinstance(self.data.train, Batches) and answers and self.data.facts.kind != "sound"

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil((self.feed.steps() or 1) / self.recipe.train.accumulate)

    @property
    def numbers(self) -> Numbers:
        """As the recipe has them; the plain ones where it leaves them open."""
        train = self.recipe.train
        asked = {"precision": train.precision, "products": train.products, "memory_format": train.memory_format}
        return Numbers(**{name: value for name, value in asked.items() if value != "auto"})

    def optimizer(self, model: nn.Module, lr: float) -> torch.optim.Optimizer:
        train = self.recipe.train
        return build_optim.build(
            train.optimizer or "adamw", model, lr=lr, weight_decay=train.weight_decay, momentum=train.momentum
        )

    def find_lr(self) -> Choice:
        """The learning rate, by a range test on a copy of the model."""
        asked = about(self.usual_lr) if self.usual_lr else {}
        with torch.random.fork_rng(devices=[]):
            seen = lr_range(
                self.model, self.feed, self.step, lambda m: self.optimizer(m, 1e-6), seed=self.recipe.train.seed,
                mode=self._at_the_end, **asked,
            )  # fmt: skip
        rate, why = choose_lr(seen, self.usual_lr)
        return Choice("lr", rate, why)

    def find_pace(self, *, threads: bool) -> list[Choice]:
        """Number format, library and, where `threads`, their number, by trying on a copy what is left open.

        What the recipe leaves open is settled in it.
        """
        train = self.recipe.train
        still = {name for name in ("precision", "products", "memory_format") if getattr(train, name) == "auto"}
        plain = Way(self.numbers, train.threads or torch.get_num_threads())
        pace = None
        if (still or threads) and not self.world.many and train.processes == 1:
            make = partial(self.optimizer, lr=0.0)
            with torch.random.fork_rng(devices=[]):
                pace = choose_pace(
                    Trial(self.model, self.feed, self.step, make, train.seed, self._at_the_end),
                    self.total_steps() * train.accumulate, plain,
                    formats="precision" in still and self._may_be_coarse(),
                    libraries="products" in still and plain.numbers.precision == "float32",
                    layouts="memory_format" in still, fewer=threads,
                )  # fmt: skip
        way = pace.way if pace else plain
        settled: dict[str, Any] = {name: getattr(way.numbers, name) for name in still}
        settled |= {"threads": way.threads} if threads else {}
        self.recipe = self.recipe.updated(**settled)
        return [Choice("precision", str(way), pace.why)] if pace else []

    def _may_be_coarse(self) -> bool:
        """May bfloat16 be tried? For networks with batch norm where it was shown to come to the same figures, seed by
        seed: on classes of pictures on a CPU, in benchmarks/formats.py.
        """
        facts, answers, device = self.data.facts, self.data.task.kind, self.recipe.train.device
        data = facts.kind
        pictures = data == "image" or (isinstance(facts, TensorFacts) and len(facts.shape) == 3)
        shown = pictures and (answers, device) == ("classify", "cpu") and self.own_step is None
        return data not in EXACT and answers != "regress" and (shown or not batch_norm(self.model))

    def _at_the_end(self, model: nn.Module) -> None:
        """With all thawed that is to thaw: a rate must be borne by the whole, not by the head alone."""
        if self.thawing is not None:
            self.thawing(model, (self.recipe.train.epochs or 1) - 1)

    def moments(self, start: dict[str, Any] | None) -> Generator[Moment, None, None]:
        """The loop, with everything that the recipe asks for."""
        train = self.recipe.train
        total = self.total_steps()
        lr = float(train.lr)
        schedule = schedules.build(
            train.schedule or "constant", total, self.steps_per_epoch, warmup_share=train.warmup or 0.0
        )
        yield from fit(
            self.model,
            self.feed,
            step=self.step,
            optimizer=self.optimizer(self.model, lr),
            epochs=train.epochs or 1,
            batch_size=self.feed.batch_size,
            lr=lr,
            schedule=schedule,
            clip=clip.build(train.clip_by, self.model, train.clip) if train.clip else None,
            l1=train.l1,
            accumulate=train.accumulate,
            average=self._average(total),
            monitor=train.monitor or "valid_loss",
            patience=train.patience or 0,
            valid_every=train.valid_every,
            **vars(self.numbers),
            seed=train.seed,
            measure_every=chart_rhythm(total),
            mode=self.thawing,
            start=start,
            world=self.world,
        )

    def _average(self, total: int) -> Average | None:
        """Of the weights: the mean of the last share of steps, or an exponential one."""
        train = self.recipe.train
        if train.swa:
            return Average(self.model, mean_from(round((1 - train.swa) * total)))
        return Average(self.model, train.ema) if train.ema else None

    def total_steps(self) -> int:
        return self.steps_per_epoch * (self.recipe.train.epochs or 1)


def chart_rhythm(total_steps: int) -> int:
    """Every how many steps a line goes to the chart."""
    return max(1, math.ceil(total_steps / CHART_LINES))


def make_step(recipe: Recipe, data: Prepared, model: nn.Module) -> Step:
    """The Step that fits the task and the network."""
    task = data.task
    if task.kind == "own":
        raise GliaError("what an answer means here only you know", hint="a Step of your own: glia.train(..., step=...)")
    if task.kind in STEPS:
        return STEPS[task.kind](recipe, data, model)
    entry, options = loss_of(recipe, task)
    metric = {"classify": accuracy, "multilabel": label_accuracy, "regress": rmse(task.scale or (1.0,))}[task.kind]
    count = getattr(model, "folds", 0)
    if count:
        per_row, scoring = losses.per_row(entry.name, **options), losses.build(entry.name, **options)
        fold = fold_of(data.train.targets, count, recipe.train.seed)
        apart = partial(combine_apart, task.kind)
        return FoldStep(per_row, scoring, metric, fold, count, apart, valid_on_train=data.valid is None)
    if recipe.train.label_smoothing and "label_smoothing" in entry.facts["options"]:
        options["label_smoothing"] = recipe.train.label_smoothing
    return supervised(entry.name, metric=metric, **options)


def _forecasting(recipe: Recipe, data: Prepared, model: nn.Module) -> Step:
    entry, options = loss_of(recipe, data.task)
    return forecasting(entry.name, quantiles=getattr(data.facts, "quantiles", ()), **options)


def _translating(recipe: Recipe, data: Prepared, model: nn.Module) -> Step:
    loss_of(recipe, data.task)
    return translating(getattr(data.facts, "pad", 0), recipe.train.label_smoothing or 0.0)


STEPS: dict[str, Callable[[Recipe, Prepared, nn.Module], Step]] = {
    "forecast": _forecasting,
    "translate": _translating,
    "transcribe": lambda recipe, data, model: transcribing(),
    "language": lambda recipe, data, model: next_token(getattr(data.facts, "pad", None)),
}
"""Steps of tasks whose answers are no single rows."""


def loss_of(recipe: Recipe, task: Task) -> tuple[catalog.Entry, dict[str, Any]]:
    """The loss that was asked for, or the usual one, with the weights of classes where it takes them.

    Raises GliaError where it does not fit the task.
    """
    entry = catalog.find("losses", recipe.train.loss or task.loss)
    if task.kind not in entry.facts["tasks"]:
        fitting = [one.name for one in catalog.entries("losses") if task.kind in one.facts["tasks"]]
        raise GliaError(f"loss {entry.name} does not fit the task {task.kind}", expected=f"one of {', '.join(fitting)}")
    weighted = task.weights and "weight" in entry.facts["options"]
    return entry, {"weight": torch.tensor(task.weights)} if weighted else {}


def combine_apart(kind: str, outputs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The members' outputs (N, K, C) as one (N, C), of those that `mask` (N, K) lets speak."""
    return combine(outputs, kind, mask)


class Recorder:
    """Writes chart.jsonl, clock.jsonl, hashes.jsonl and checkpoints as Moments go by.

    Nothing in the chart depends on the clock. Epochs are counted from 1 there, as people do.
    """

    def __init__(self, folder: Path, session: Session, start: dict[str, Any] | None):
        kept = start["chart_bytes"] if start else 0
        self.folder, self.rhythm = folder, chart_rhythm(session.total_steps())
        self.checkpoint_s = session.recipe.train.checkpoint_s
        kept = seals.cut(folder, "chart.jsonl", kept)
        self.chart, self.clock = Log(folder / "chart.jsonl", keep_bytes=kept), Log(folder / "clock.jsonl")
        epochs = session.recipe.train.epochs or 1
        if start is None:
            self.hashes = Hashes(folder, epochs, session.model.state_dict())
        else:
            self.hashes = Hashes(folder, epochs, None, kept=start["progress"]["step"])
        self.saved_at = self.epoch_began = time.monotonic()

    def take(self, moment: Moment) -> None:
        """Note a Moment; write a checkpoint when it is time for one."""
        if moment.kind == "step" and (moment.step - 1) % self.rhythm == 0:
            line = {
                "kind": "step",
                "step": moment.step,
                "epoch": moment.epoch + 1,
                "loss": moment.loss,
                "lr": moment.lr,
            }
            self.chart.append({**line, "grad_norm": moment.grad_norm})
        if moment.kind == "epoch":
            line = {"kind": "epoch", "epoch": moment.epoch + 1, "step": moment.step, **moment.figures}
            self.chart.append({**line, "lr": moment.lr, "best": moment.best})
            now = time.monotonic()
            line = {"epoch": moment.epoch + 1, "seconds": round(now - self.epoch_began, 3)}
            self.clock.append(line | ({"steps": moment.way} if moment.way else {}))
            self.epoch_began = now
            self.hashes.take(moment.epoch + 1, moment.step, moment.snapshot, last=moment.last)
        if time.monotonic() - self.saved_at >= self.checkpoint_s:
            self.save(moment)

    def save(self, moment: Moment) -> None:
        """A checkpoint of this very Moment."""
        state = moment.snapshot()
        state["chart_bytes"] = self.chart.sync()
        checkpoint.save(self.folder, moment.step, state, (self.chart, self.clock, self.hashes.log))
        self.hashes.save(moment.step, lambda: state)
        memory.give_back()
        self.saved_at = time.monotonic()

    def close(self) -> None:
        try:
            seals.note(self.folder, (self.chart, self.clock, self.hashes.log))
        finally:
            self.chart.close()
            self.clock.close()
            self.hashes.close()


def run_training(
    folder: RunFolder, session: Session, start: dict[str, Any] | None, watchers: tuple[Watcher, ...], stop: Stop
) -> Moment | None:
    """Train (or go on) until the end or an asked-for stop; the last Moment, or None when nothing was left to do.

    Every end, orderly or asked for, leaves a checkpoint of its last Moment.
    """
    recorder = Recorder(folder.path, session, start)
    moment: Moment | None = None
    try:
        # Closing the loop is what gives the model its best weights, and must not wait for the garbage collector.
        with closing(session.moments(start)) as moments:
            for moment in moments:
                recorder.take(moment)
                for watch in watchers:
                    watch(moment)
                if stop.agreed(session.world) or moment.last:
                    recorder.save(moment)
                    break
    except BaseException:
        with suppress(GliaError):  # a full disk may refuse this too; what it refused first is what counts
            recorder.close()
        raise
    recorder.close()
    return moment
