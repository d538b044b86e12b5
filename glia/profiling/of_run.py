"""Of a run: its recipe, data and network put together again, trained for some steps in memory, with all that a run
does beside. Nothing is written into the run.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from glia.data.batches import Batches
from glia.data.given import given
from glia.errors import GliaError
from glia.optim import clip
from glia.optim.average import Average
from glia.profiling.trials import Budget
from glia.profiling.work import NOTHING, Rig, Stepper, Work, on_device
from glia.replay.replay import Replay
from glia.runs.folder import RunFolder
from glia.training import loop
from glia.training.feed import Feed
from glia.training.update import Progress, Update, as_outcome, l1_norm
from glia.vitals.timeline import CAPTURED, SETTLE, Timeline
from glia.workbench import pretrained
from glia.workbench.checkup import Checkup
from glia.workbench.prepare import prepare
from glia.workbench.session import Recorder, Session, chart_rhythm
from glia.workbench.train import beside

SECONDS, LEAST_STEPS = 5.0, 30  # of training that are timed, where nothing else was said
ENOUGH = 5000  # steps that a run has at least while it is watched
MEMORY = "in memory>"  # how the recipe ends the name of data that were no file


def session_of(
    path: Path | str, *, source: Any = None, data: Any = None, model: nn.Module | None = None, step: Any = None
) -> Session:
    """What a run was trained with, as new: data, network with its first weights, loss.

    Raises GliaError where it cannot be put together: other data than then, data or a network that were given in Python.
    """
    folder = RunFolder.open(path)
    recipe = folder.recipe
    if recipe.model.model == "custom" and model is None:
        raise GliaError(f"the network of {folder.path} was one of your own", hint="glia.profile(run, model=...)")
    if source is None and data is None and str(recipe.data.source).endswith(MEMORY):
        raise GliaError(f"{folder.path} was trained on data in memory", hint="glia.profile(run, source=...), or data=")
    if torch.device(recipe.train.device).type == "cuda" and not torch.cuda.is_available():
        raise GliaError(f"{folder.path} was trained on {recipe.train.device}", got="a machine without one")
    if source is not None:
        recipe = recipe.updated(source=source)
    prepared = given(data, step=step is not None) if data is not None else prepare(recipe=recipe)
    was, now = folder.read_json("data.json", {}).get("fingerprint"), prepared.card.get("fingerprint")
    if was is not None and was != now:
        raise GliaError(
            f"the data are not those that {folder.path} was trained on", got=f"fingerprint {str(now)[:12]}",
            expected=str(was)[:12], hint="the file as it was, then again",
        )  # fmt: skip
    record = folder.read_json(pretrained.RECORD, {})
    # All else that a process needs to train beside the one that began a run is what is needed here.
    brief = {"recipe": folder.recipe.to_toml(), "fingerprint": now, "record": record}
    return beside(brief, data=prepared, model=model, step=step)


def watch_run(session: Session, steps: int | None, seconds: float | None) -> Timeline:
    """Train it for some steps, with its chart, its checkpoints and its doctor, in a folder that is gone afterwards."""
    if session.total_steps() < ENOUGH:  # a short run goes on for longer, at other rates but in the same time a step
        longer = session.recipe.updated(epochs=math.ceil(ENOUGH / session.steps_per_epoch), patience=0)
        session = replace(session, recipe=longer)
    # Whoever listens to modules keeps steps from being replayed: first it is seen whether they are.
    replays: list[Replay] = []
    light = Timeline(capture=False, marked=True, deep=False)
    light.ready = lambda: bool(replays) and replays[-1].running
    _watch(session, light, steps, seconds, replays)
    if light.steps:
        return light
    deep = Timeline(capture=False, marked=True)
    _watch(session, deep, steps, seconds, None)
    return deep


def _watch(
    session: Session, timeline: Timeline, steps: int | None, seconds: float | None, replays: list[Replay] | None
) -> None:
    """replays: is given those that make steps; where there are none, or they gave up, watching ends."""
    budget = Budget(SECONDS if seconds is None else seconds)
    least = LEAST_STEPS if steps is None and seconds is None else 1
    with TemporaryDirectory(prefix="glia-profile-") as place, ExitStack() as stack:
        folder = RunFolder.create(Path(place), "run")
        checkup = None
        if session.recipe.train.doctor:
            checkup = Checkup(session, lambda finding: None)
            checkup.before(force=True)
            stack.enter_context(checkup.watching(folder, None))
            _timed(checkup, timeline)
        stack.enter_context(timeline.watching())
        if replays is not None:
            stack.enter_context(_noted(replays))
            stack.enter_context(timeline.hearing(Replay, "__call__", "replayed"))
        stack.enter_context(timeline.hearing(loop, "validate", "evaluation"))
        stack.enter_context(timeline.hearing(Update, "_clipped_norm", "optimiser"))
        recorder = stack.enter_context(closing(Recorder(folder.path, session, None)))
        moments = stack.enter_context(closing(session.moments(None)))
        for moment in moments:
            if moment.kind == "step":
                timeline.waited(moment.waited)
                timeline.cut()
            with timeline.span("logging"):
                recorder.take(moment)
            if checkup is not None:
                with timeline.span("doctor"):
                    checkup.watch(moment)
            if replays is not None and (not replays or replays[-1].why):
                break
            counted = len(timeline.steps)
            enough = budget.left <= 0 if steps is None else counted >= steps - SETTLE
            if moment.last or (enough and counted >= least):
                break


@contextmanager
def _noted(replays: list[Replay]) -> Iterator[None]:
    """Replays that are made inside the block."""
    original = Replay.__init__

    def init(replay: Replay, *args: Any, **kwargs: Any) -> None:
        original(replay, *args, **kwargs)
        replays.append(replay)

    Replay.__init__ = init  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Replay.__init__ = original  # type: ignore[method-assign]


def _timed(checkup: Checkup, timeline: Timeline) -> None:
    """Charge what the doctor does within a step to the doctor."""
    listener = checkup.listener
    if listener is None:
        return
    guarded = listener.guarded

    def timed(work: Callable[..., None], *args: Any) -> None:
        with timeline.aside("doctor"):
            guarded(work, *args)

    listener.guarded = timed  # type: ignore[method-assign]


def work_of(session: Session) -> Work:
    """The step that the run makes."""
    train, device = session.recipe.train, next((p.device for p in session.model.parameters()), torch.device("cpu"))
    numbers, mode = session.numbers, session.thawing

    def loss(models: Sequence[nn.Module], batch: Any) -> Tensor:
        (model,) = models
        with numbers.forward(device):
            outcome = as_outcome(session.step(model, batch))
        return outcome.loss + train.l1 * l1_norm(model) if train.l1 else outcome.loss

    def optimizers(models: Sequence[nn.Module], options: Mapping[str, Any]) -> list[Optimizer]:
        if mode is not None:
            mode(models[0], 0)
        return [session.optimizer(models[0], float(train.lr))]

    def average(models: Sequence[nn.Module]) -> Callable[[], Any]:
        return Average(models[0], train.ema).update if train.ema else lambda: None

    def clipping(models: Sequence[nn.Module]) -> Callable[[], Any]:
        return clip.build(train.clip_by, models[0], train.clip) if train.clip else lambda: None

    def batches(rows: int) -> list[Any]:
        return on_device(list(islice(Feed.of(session.data, rows).epoch(train.seed, 0), CAPTURED)), device)

    def larger(times: int) -> list[Any]:
        if times * rows > session.rows:
            raise ValueError(f"there are no {times * rows} rows")
        return batches(times * rows)

    def stepper(rig: Rig) -> Stepper:
        """Steps as the loop makes them."""
        made = replace(numbers, precision="bfloat16") if rig.change.autocast else numbers
        average = Average(rig.models[0], train.ema) if train.ema else None
        clipped = clip.build(train.clip_by, rig.models[0], train.clip) if train.clip else None
        update = Update(
            rig.models[0], session.step, rig.optimizers[0], None, average, clipped, train.l1, made, train.seed, rhythm,
            device,
        )  # fmt: skip
        at = Progress(base_lr=float(train.lr))

        def settled() -> bool:
            return update.short is None or bool(update.short.replay.why) or update.short.replay.running

        return Stepper(lambda group: update(group, at), settled)

    rows, rhythm = session.feed.batch_size, chart_rhythm(session.total_steps())
    usual = replace(NOTHING, contexts=(numbers.step,), layout=numbers.memory_format == "channels_last")
    return Work(
        [session.model], batches(rows), rows, loss, optimizers, clipping, average,
        larger if isinstance(session.data.train, Batches) else None, train.accumulate,
        half=numbers.precision == "bfloat16", onednn=numbers.products == "onednn", usual=usual, stepper=stepper,
        settings=True,
    )  # fmt: skip
