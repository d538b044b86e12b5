"""After training: the model folder, figures on every part, baselines, curves, worst examples, the page."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch

from glia.data.batches import Batches
from glia.data.facts import facts_to_dict
from glia.data.mapped import ENOUGH, MappedRows
from glia.errors import DiskError
from glia.runs import checkpoint
from glia.runs.folder import RunFolder
from glia.training.steps import FoldStep
from glia.workbench.session import Session

if TYPE_CHECKING:
    from glia.predict.job import Job, Judged

Tell = Callable[[str], None]


def save_model(folder: RunFolder, session: Session) -> None:
    """model/: the best weights, those of the last step, and all that is needed to build the network again."""
    data, model = session.data, session.model
    name = session.recipe.model.model
    network: dict[str, Any] = {"name": name, "options": session.recipe.model.options()}
    if name == "custom":
        network = {"name": None, "class": f"{type(model).__module__}:{type(model).__qualname__}", "options": {}}
    network["parameters"] = sum(p.numel() for p in model.parameters())
    # The weights alone: the rest of a state is several times as large, and must not be held while these are written.
    last = (checkpoint.latest(folder.path) or {"model": model.state_dict()})["model"]
    parts = {
        "network": network,
        "facts": facts_to_dict(data.facts),
        "task": data.task.to_dict(),
        "reader": {"kind": data.reader.kind, "fitted": data.reader.to_dict()},
    }
    folder.save_model(parts, {"best": dict(model.state_dict()), "last": last})


def finish(folder: RunFolder, session: Session, tell: Tell) -> None:
    """Everything that a reader of the run wants, worked out once and written down."""
    from glia.predict.jobs import JOBS  # a training that begins has no use for it yet

    job = JOBS.get(session.data.task.kind)
    if job is not None:
        job.fitted(session.model, session.data)
    save_model(folder, session)
    folder.write_history()
    if job is None:
        folder.write_json("metrics.json", _measured_by_its_step(folder))
        return
    found = _judged(session, job)
    metrics: dict[str, Any] = {name: part.metrics for name, part in found.items()}
    if session.recipe.train.baselines:
        tell("training baselines beside the network")
        metrics["baselines"] = job.baselines(session.data)
    folder.write_json("metrics.json", metrics)
    folder.write_json("curves.json", {name: part.curves for name, part in found.items()})
    last = "test" if "test" in found else "valid" if "valid" in found else "train"
    files = {
        f"{n}.safetensors": safetensors.torch.save(p.tensors) for n, p in found.items() if n != "train" and p.tensors
    }
    rows = getattr(session.data, last) or session.data.train
    given = session.recipe.data
    source = {"test": given.test, "valid": given.valid}.get(last) or given.source
    files |= job.examples(session.model, found[last], rows, session.data, source)
    folder.write_folder("predictions", files)


def write_report(folder: RunFolder, tell: Tell) -> None:
    """The page is a convenience: if the disk refuses it, the run is none the worse."""
    from glia.report.page import render

    try:
        folder.write("report.html", render(folder.path))
    except DiskError as error:
        tell(str(error))


def _measured_by_its_step(folder: RunFolder) -> dict[str, dict[str, float]]:
    """What a Step of the user's own said of the epoch whose weights were kept: nobody else knows how to measure."""
    history = folder.history()
    best = [place for place, is_best in enumerate(history.get("best", [])) if is_best]
    place = best[-1] if best else -1
    return {
        part: {
            name.removeprefix(f"{part}_"): values[place]
            for name, values in history.items()
            if name.startswith(f"{part}_")
        }
        for part in ("train", "valid")
        if f"{part}_loss" in history
    }


def _judged(session: Session, job: "Job") -> "dict[str, Judged]":
    """How good the network is on each part. Packed folds are validated on the training rows, each by the members that
    never saw it.
    """
    from glia.predict.jobs import ROWS
    from glia.predict.measure import own_units

    data, found = session.data, dict[str, "Judged"]()
    if isinstance(session.step, FoldStep) and session.step.valid_on_train:
        outputs = data.task.decode(session.step.out_of_fold(session.model, data.train))
        targets = own_units(data.task, data.train.targets)
        found["valid"] = ROWS.judged(data.task, {"rows": data.train.rows, "targets": targets, "outputs": outputs})
    for name, part in (("train", data.train), ("valid", data.valid), ("test", data.test)):
        if part is not None and len(part):
            found[name] = job.judge(session.model, _enough(part), data)
    return found


def _enough(part: Batches) -> Batches:
    """Of a part that memory does not hold, so many rows as its figures need, drawn evenly."""
    if len(part) <= ENOUGH or not isinstance(part.inputs, MappedRows):
        return part
    index = torch.linspace(0, len(part) - 1, ENOUGH, dtype=torch.float64).long()
    return Batches(part.inputs.only(index.numpy()), part.targets[index], part.rows[index])


def status(
    folder: RunFolder, state: str, why: str, history: dict[str, list[float]], began: float, **more: dict[str, Any]
) -> None:
    """status.json: how the run stands, and what more there is to say of it."""
    best = [epoch for epoch, is_best in zip(history.get("epoch", []), history.get("best", []), strict=True) if is_best]
    folder.write_json(
        "status.json",
        {
            "state": state,
            "why": why,
            "epoch": int(history["epoch"][-1]) if history.get("epoch") else None,
            "step": int(history["step"][-1]) if history.get("step") else 0,
            "best_epoch": int(best[-1]) if best else None,
            "seconds": round(time.monotonic() - began, 2),
            **more,
        },
    )
