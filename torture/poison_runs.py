"""The same poisons in whole runs: `glia.train` with a network of one's own, and what its folder then holds."""

import math
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import safetensors.torch
import torch
from torch import Tensor, nn

import glia
from glia.runs import checkpoint
from glia.seed import mix
from glia.training.loop import Moment
from glia.training.nonfinite import NonFinite

ROWS = 90
SETTINGS: dict[str, Any] = {
    "epochs": 3, "batch_size": 16, "lr": 0.01, "checkpoint_s": 0.0, "baselines": False, "threads": 1, "trial_time": 0,
}  # fmt: skip
PLACES = ("output", "gradient", "weights", "buffer", "row")


class Own(nn.Module):
    """A network without a preparation of its own, which is poisoned where `wrong` says."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.norm, self.first, self.last = nn.BatchNorm1d(3), nn.Linear(3, 8), nn.Linear(8, 2)
        self.wrong, self.value, self.due = "", math.nan, False

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(self.norm(x)).relu()
        if self.training and self.due and self.wrong == "output":
            hidden = hidden * self.value
        if self.training and self.due and self.wrong == "gradient":
            hidden.register_hook(lambda gradient: gradient * self.value)
        out: Tensor = self.last(hidden)
        return out


def table(row: int | None = None, value: float = math.nan) -> pl.DataFrame:
    """Two classes that a small network tells apart; one cell holds `value` where a row is given."""
    x = torch.randn(ROWS, 3, generator=torch.Generator().manual_seed(0))
    label = ["yes" if one > 0 else "no" for one in (x[:, 1] + x[:, 2]).tolist()]
    if row is not None:
        x[row, 0] = value
    return pl.DataFrame({"a": x[:, 0].tolist(), "b": x[:, 1].tolist(), "c": x[:, 2].tolist(), "label": label})


def in_a_run(number: int, folder: Path, seed: int) -> tuple[list[str], bool]:
    """What went wrong with the number-th poisoned run, a line each; and did it end by NonFinite?"""
    random = Random(mix(seed, "nan in a run", number))
    place, value = PLACES[number % len(PLACES)], random.choice([math.nan, math.inf])
    step, ema, clip = random.randrange(2, 11), random.choice([0.0, 0.9]), random.choice([0.0, 1.0])
    settings = {**SETTINGS, "ema": ema, "clip": clip, "doctor": random.random() < 0.3}
    row = random.choice(glia.prepare(table(), target="label").train.rows.tolist()) if place == "row" else None
    what = f"{value} in {place} of a run at step {step}, {settings}"
    name = f"run-{number}"
    given: dict[str, Any] = {"target": "label", "runs": folder, **settings}
    said = list(_poisoned_run(given, name, place, value, step, row))
    if not said and row is None:
        said = list(_goes_on(given, folder / name, name))
    return [f"{what}: {line}" for line in said], not said


def _poisoned_run(
    given: dict[str, Any], name: str, place: str, value: float, step: int, row: int | None
) -> Iterator[str]:
    model = Own()
    found: list[str] = []

    def begin(session: Any, folder: Any, choices: Any) -> Any:
        def watch(moment: Moment) -> None:
            model.wrong, model.value, model.due = place, value, moment.step == step
            with torch.no_grad():
                if moment.kind == "step" and model.due and place == "weights":
                    model.first.weight[0, 0] = value
                if moment.kind == "step" and model.due and place == "buffer":
                    assert model.norm.running_var is not None
                    model.norm.running_var[0] = value
            found.extend(f"a checkpoint holds {name}" for name in wrong(checkpoint.latest(folder.path)))

        return (watch,)

    source = table(row, value)
    try:
        glia.train(source, model=model, name=name, begin=begin, force=True, **given)
    except NonFinite as error:
        yield from found
        path = given["runs"] / name
        status = glia.open(path).status
        kept = status.get("non_finite", {})
        batch = kept.get("batch") or place in ("weights", "buffer")  # which are seen when they are to be kept
        if status["state"] != "failed" or kept.get("step") != error.step or not batch:
            yield f"status.json does not tell enough: {status}"
        if row is not None and kept["rows"] != [row]:
            yield f"row {row} is not blamed: {error}"
        for file in (path / "model").glob("*.safetensors"):
            yield from (f"{file.name} holds {name}" for name in wrong(safetensors.torch.load_file(file)))
        answers = glia.open(path, model=Own()).predict(table())
        numbers = torch.from_numpy(answers.select(pl.col(pl.Float32, pl.Float64)).to_numpy())
        if not torch.isfinite(numbers).all() or not len(numbers):
            yield "the run's best weights answer with NaN"
        return
    yield "the run went on to its end"


def _goes_on(given: dict[str, Any], path: Path, name: str) -> Iterator[str]:
    run = glia.resume(path, source=table(), model=Own())
    twin = glia.train(table(), model=Own(), name=f"{name}-twin", force=True, **given)
    found, wanted = run.model.state_dict(), twin.model.state_dict()
    if not all(torch.equal(value, wanted[key]) for key, value in found.items()):
        yield "glia resume does not end with the weights of a run that was never poisoned"


def wrong(tree: Any, path: str = "") -> Iterator[str]:
    """What in nested dicts and lists is a tensor that is not finite."""
    if isinstance(tree, Tensor):
        if tree.is_floating_point() and not torch.isfinite(tree).all():
            yield f"{path.strip()} that is not finite"
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from wrong(value, f"{path} {key}")
    elif isinstance(tree, list | tuple):
        for number, value in enumerate(tree):
            yield from wrong(value, f"{path} {number}")
