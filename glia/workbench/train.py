"""The whole river: a source and some settings in, a Run out. Begun with `train`, gone on with by `resume`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from glia.catalog import entry as catalog
from glia.data.given import given
from glia.data.prepared import Prepared
from glia.doctor.finding import Finding
from glia.errors import GliaError
from glia.models.build import build
from glia.nn.init import initialise, lsuv
from glia.recipe import Recipe
from glia.report.tensorboard import tensorboard
from glia.runs import checkpoint, machine
from glia.runs.folder import RunFolder, check_name, plain_name
from glia.seed import mix
from glia.training import memory
from glia.training.nonfinite import NonFinite
from glia.training.steps import Step
from glia.workbench import pretrained
from glia.workbench import processes as several
from glia.workbench.believed import sound_state
from glia.workbench.checkup import Busy, Checkup
from glia.workbench.finish import finish, save_model, status, write_report
from glia.workbench.halt import Halt, Stop, Stopped, stop_on_signal
from glia.workbench.plan import Choice, plan, weighted
from glia.workbench.prepare import prepare, with_full_paths, with_usual
from glia.workbench.run import Run
from glia.workbench.session import Session, Watcher, chart_rhythm, run_training
from glia.workbench.watchdog import watched

Tell = Callable[[str], None]
Found = Callable[[Finding], None]
"""Given each thing that the doctor finds, once."""
Begin = Callable[[Session, RunFolder, list[Choice]], tuple[Watcher, ...]]
"""Called when training is about to begin; what it gives watches every Moment."""


LSUV_ROWS = 256  # of the training set, from which first weights are scaled


def _quiet(line: str) -> None:
    """Say nothing."""


def beside(brief: several.Brief, source: Any = None, data: Any = None, model: Any = None, step: Any = None) -> Session:
    """The session of a process that trains beside the first one, as that one planned it.

    source, data, model, step: as they were given to this process, where they were.
    """
    recipe = Recipe.from_toml(brief["recipe"])
    if source is not None and not isinstance(source, str | Path):
        recipe = recipe.updated(source=source)
    _use_threads(recipe)
    prepared = _given(data, None, step) or prepare(recipe=recipe)
    _same_data(prepared, brief["fingerprint"], "the data are not the same in all processes")
    session = _session(recipe, prepared, model if isinstance(model, nn.Module) else None, step, None)
    if pretrained.wanted(recipe):
        record = brief["record"] or {}
        session.thawing = pretrained.again(recipe, session.model, session.data.task, record, anew=False)
    return session


def _same_data(data: Prepared, before: Any, what: str) -> None:
    now = data.card.get("fingerprint")
    if before != now:
        hint = "train a new run"
        raise GliaError(what, got=f"fingerprint {str(now)[:12]}", expected=str(before)[:12], hint=hint)


@several.led(beside)
def train(
    source: Any = None,
    *,
    recipe: Recipe | None = None,
    model: str | nn.Module | None = None,
    data: Any = None,
    step: Step | None = None,
    name: str | None = None,
    runs: Path | str = "runs",
    tell: Tell = _quiet,
    found: Found | None = None,
    begin: Begin | None = None,
    busy: Busy | None = None,
    force: bool = False,
    **settings: Any,
) -> Run:
    """Prepare, choose, train, evaluate and report: ``glia.train("titanic.csv", target="survived", epochs=20)``.

    source: as in `glia.prepare`, which may also be done first and given as `data`; so may tensors, arrays and loaders
    (`glia.data.given.given`). model: a name in the catalogue, or any module that takes what `data` yields. step: what
    a batch means to the model (`glia.supervised`, `glia.adversarial`, or a function of your own), where the data and
    the loss do not say. name, runs: the run goes to ``runs/name``. settings: names of `Recipe`.
    tell: is given lines for people; found: each finding of the doctor, which are lines too where it is not given.
    busy: wraps what the doctor tries after a run that failed. force: train though the doctor sees an error before the
    first step. Raises GliaError for bad input or such an error,
    NonFinite when a loss, gradient or weight is not finite (the run folder keeps the best weights, and in status.json
    where it arose and in which rows), Stopped after Ctrl-C.
    """
    began = time.monotonic()
    if name is not None:
        check_name(name)  # before hours of work
    recipe = (recipe or Recipe()).updated(**settings, **({"model": model} if isinstance(model, str) else {}))
    if source is not None:
        recipe = recipe.updated(source=source)
    recipe = with_usual(with_full_paths(recipe))
    own = model if isinstance(model, nn.Module) else None
    recipe = several.settled(recipe, own=any(one is not None for one in (data, own, step)))
    recipe = pretrained.checked(recipe, own=own is not None)
    _use_threads(recipe)
    made = plan(recipe if own is None else recipe.updated(model="custom"), _given(data, source, step))
    for note in made.data.notes:
        tell(note)
    planned, choices = made.recipe, made.choices
    _use_threads(planned)
    session = _session(planned, made.data, own, step, made.usual_lr)
    record = _transfer(session, choices, tell)
    planned = session.recipe
    checkup = _checkup(session, found or _as_lines(tell), busy or _as_line(tell), force=force)
    with memory.held():  # as training will have it, so that times are those of its steps
        if planned.train.lr == "auto":
            choice = session.find_lr()
            choices.append(choice)
            session.recipe = planned.updated(lr=choice.value)
        choices += session.find_pace(threads=recipe.train.threads is None)
    planned = session.recipe
    folder = RunFolder.create(Path(runs), name or _name_for(recipe))
    if record is not None:
        folder.write_json(pretrained.RECORD, record)
    folder.write_json("choices.json", [choice.to_dict() for choice in choices])
    folder.write_json("data.json", made.data.card)
    began_at = {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "sealed": True}
    folder.write_json("machine.json", _machine(planned) | began_at)
    folder.write("recipe.toml", planned.to_toml())  # last: a folder with a recipe can be resumed
    return _Work(folder, session, None, choices, tell, begin, began, checkup).go()


@several.led(beside)
def resume(
    path: Path | str,
    *,
    source: Any = None,
    data: Any = None,
    model: nn.Module | None = None,
    step: Step | None = None,
    processes: int | None = None,
    tell: Tell = _quiet,
    found: Found | None = None,
    begin: Begin | None = None,
    busy: Busy | None = None,
) -> Run:
    """Go on with a run that was stopped or killed, to the same weights and figures as if it never had been.

    source, data: the data, when they were given in memory and not as a path. model, step: when they were your own.
    processes: another number of them than before.
    """
    began = time.monotonic()
    folder = RunFolder.open(path)
    recipe = folder.recipe.updated(source=source) if source is not None else folder.recipe
    if folder.read_json("status.json", {}).get("state") == "finished":
        raise GliaError(f"{folder.path} is finished already", hint=f"glia report {folder.path}")
    recipe = recipe.updated(processes=processes) if processes is not None else recipe
    recipe = several.settled(recipe, own=any(one is not None for one in (data, model, step)))
    _use_threads(recipe)
    prepared = _given(data, source, step) or prepare(recipe=recipe)
    before = folder.read_json("data.json", {}).get("fingerprint")
    _same_data(prepared, before, "the data changed since this run began")
    state = checkpoint.latest(folder.path, tell)
    if state is not None:
        sound_state(state, str(folder.path / "checkpoints"))
    _compare_machines(folder, recipe, state["progress"]["step"] if state else 0, tell)
    tell(f"going on from step {state['progress']['step']}" if state else "no checkpoint yet: starting again")
    session = _session(recipe, prepared, model, step, None)
    if pretrained.wanted(recipe):
        record = folder.read_json(pretrained.RECORD, {})
        task = session.data.task
        session.thawing = pretrained.again(recipe, session.model, task, record, anew=state is None)
    checkup = _checkup(session, found or _as_lines(tell), busy or _as_line(tell), force=True)
    return _Work(folder, session, state, [], tell, begin, began, checkup).go()


def _checkup(session: Session, found: Found, busy: Busy, *, force: bool) -> Checkup | None:
    """The doctor's part, with a first look taken; None where it was not wanted."""
    if not session.recipe.train.doctor:
        return None
    checkup = Checkup(session, found, busy)
    checkup.before(force=force)
    if session.thawing is not None:  # at the first look all parts train; afterwards some rest by plan
        checkup.skip |= pretrained.planned(session.thawing)
    return checkup


def _as_lines(tell: Tell) -> Found:
    return lambda f: tell(
        "; ".join([f"{f.severity} {f.code} {f.name}, {f.where}: {f.why}", f.cure, *(r.in_words() for r in f.remedies)])
    )


def _as_line(tell: Tell) -> Busy:
    @contextmanager
    def told(line: str) -> Iterator[None]:
        tell(line)
        yield

    return told


def _given(data: Any, source: Any, step: Step | None) -> Prepared | None:
    """The data that were given as they are to be used; None where a source is to be read."""
    if data is None:
        return None
    if source is not None:
        raise GliaError("both a source and data were given", expected="one of them")
    return given(data, step=step is not None)


def _session(
    recipe: Recipe, data: Prepared, own: nn.Module | None, step: Step | None, usual_lr: float | None
) -> Session:
    task = weighted(data.task, data, recipe.train.class_weights)
    data = Prepared(data.train, data.valid, data.test, task, data.facts, data.reader, data.card, data.notes)
    if own is None and recipe.model.model == "custom":
        raise GliaError("this run's network was one of your own", hint="glia.resume(folder, model=your_network)")
    options = recipe.model.options()
    model = own or build(recipe.model.model, data.facts, task, seed=recipe.train.seed, train=data.train, **options)
    if recipe.model.init is not None:
        _begin_with(recipe.model.init, recipe, model, data)
    return Session(recipe, data, _moved(model, recipe.train.device), usual_lr, own_step=step)


def _moved(model: nn.Module, device: str) -> nn.Module:
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        said = str(error).strip().partition("\n")[0][:160]
        raise GliaError(f"the device {device!r} is not there", got=said, expected="cpu, cuda, mps, or auto") from None


def _begin_with(name: str, recipe: Recipe, model: nn.Module, data: Prepared) -> None:
    """Draw the first weights by another rule than the network's own."""
    generator = torch.Generator().manual_seed(mix(recipe.train.seed, "init"))
    if catalog.find("inits", name).name == "lsuv":
        rows = torch.arange(min(LSUV_ROWS, len(data.train)))
        lsuv(model, data.train.at(rows).inputs, generator)
    else:
        initialise(model, recipe.model.activation or "relu", generator, scheme=name)


def _transfer(session: Session, choices: list[Choice], tell: Tell) -> dict[str, Any] | None:
    """Fill the network with the weights that were asked for; what the run must remember of it."""
    if not pretrained.wanted(session.recipe):
        return None
    begun = pretrained.begin(session.recipe, session.model, session.data.task)
    for line in begun.lines:
        tell(line)
    choices += begun.choices
    session.recipe, session.thawing = begun.recipe, begun.thawing
    return begun.record


@dataclass(frozen=True)
class _Work:
    """All that one life of a run takes from its first step, or the checkpoint `state`, to its page."""

    folder: RunFolder
    session: Session
    state: dict[str, Any] | None
    choices: list[Choice]
    tell: Tell
    begin: Begin | None
    began: float
    checkup: Checkup | None

    def go(self) -> Run:
        """Raises Stopped where it was asked to stop, and has."""
        with self.folder.writing(), stop_on_signal(self.tell) as stop:
            try:
                self._to_the_end(stop)
            except (GliaError, NonFinite):
                raise
            except (Halt, Exception) as end:
                # A signal within C, in the import of a library say, comes out of it as an error of its own.
                if not stop.asked or (isinstance(end, Halt) and end.again):
                    raise
                with stop.between_steps(""):
                    self._end("stopped", "asked to stop")
                raise Stopped(self.folder.path, stop.signal) from None
        return Run(self.folder, self.session.model)

    def _to_the_end(self, stop: Stop) -> None:
        """Train, measure, report. Raises Halt when it was asked to stop and has."""
        folder, session = self.folder, self.session
        status(folder, "running", "", {}, self.began)
        try:
            self._train(stop)
        except NonFinite as error:
            if all(p.isfinite().all() for p in session.model.parameters()):  # they may have been given so
                save_model(folder, session)
            with stop.between_steps(""):
                self._end("failed", str(error), non_finite=error.to_dict())
            raise
        except GliaError as error:
            with suppress(GliaError):  # a full disk may refuse this too; what it refused first is what counts
                status(folder, "failed", str(error), folder.history(), self.began)
            raise
        except RuntimeError as error:
            # Who ends a job may end all its processes: a loader that lost its workers is then part of being stopped.
            if stop.error is not None:  # workers were ended because nothing came from them
                status(folder, "failed", str(stop.error), folder.history(), self.began)
                raise stop.error from error
            if not stop.asked:
                raise
            self.tell(f"stopped without a checkpoint of the last step ({error})")
        if stop.asked:
            raise Halt(stop.signal)
        finish(folder, session, self.tell)
        seconds = {"seconds": round(time.monotonic() - self.began, 2), "peak_memory_bytes": machine.peak_memory_bytes()}
        folder.write_json("machine.json", folder.read_json("machine.json", {}) | seconds)
        epochs = folder.history().get("epoch", [])
        early = len(epochs) < (session.recipe.train.epochs or 0)
        with stop.between_steps(""):
            self._end("finished", "no gain any more" if early else "all epochs done")

    def _train(self, stop: Stop) -> None:
        folder, session, checkup = self.folder, self.session, self.checkup
        watchers = self.begin(session, folder, self.choices) if self.begin else ()
        if session.data.task.kind == "language":
            from glia.workbench.generate import sampled

            watchers += sampled(session, folder, self.tell)
        if session.recipe.train.tensorboard:
            watchers += (tensorboard(folder.path, chart_rhythm(session.total_steps()), self.tell),)
        if checkup is not None:
            watchers += (checkup.watch,)
        record = folder.read_json(pretrained.RECORD)
        company = several.together(session, self.state, folder.path, record, lambda: stop.signal if stop.asked else 0)
        looking = checkup.watching(folder, self.state) if checkup is not None else nullcontext()
        dog = watched(folder.path, several.patience(session.recipe), stop)
        with company, looking, stop.between_steps(), dog:
            run_training(folder, session, self.state, watchers, stop)

    def _end(self, state: str, why: str, **more: dict[str, Any]) -> None:
        """The last findings, how the run stands (with `more` of it), the page."""
        if self.checkup is not None:
            self.checkup.finish(self.folder.read_json("metrics.json", {}))
        status(self.folder, state, why, self.folder.history(), self.began, **more)
        write_report(self.folder, self.tell)


def _compare_machines(folder: RunFolder, recipe: Recipe, step: int, tell: Tell) -> None:
    """Say whether this machine computes as the one that the run began on, and keep the answer for its readers."""
    was = folder.read_json("machine.json", {})
    changed = machine.changes(was, _machine(recipe))
    if changed:
        tell(machine.inexact(changed))
    once = {"step": step, "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "changed": changed}
    folder.write_json("machine.json", was | {"resumed": [*was.get("resumed", []), once]})


def _machine(recipe: Recipe) -> dict[str, Any]:
    return machine.describe() | {"processes": recipe.train.processes}


def _use_threads(recipe: Recipe) -> None:
    # Also where none were asked for: setting a number stops MKL from choosing a smaller one by itself, so that a run
    # that is resumed, which sets what was recorded, adds up in the same order.
    torch.set_num_threads(recipe.train.threads or torch.get_num_threads())


def _name_for(recipe: Recipe) -> str:
    source = recipe.data.source
    return plain_name(Path(source).name.partition(".")[0] if isinstance(source, str) else "run")
