"""The job of forecasts: measured on every window of a part (a rolling back-test), beside what needs no network."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from glia.data.batches import Batches
from glia.data.facts import ForecastFacts
from glia.data.forecast.reader import ForecastReader
from glia.data.prepared import Prepared, Reader
from glia.data.task import Task
from glia.errors import GliaError
from glia.predict.job import Judged
from glia.predict.outputs import evaluating

LOW, HIGH = 0.1, 0.9  # ends of the interval that is told with a single forecast
MOST_WINDOWS = 20_000  # of a part that are measured; of more, so many at even distances
_BATCH = 256
_EPS = 1e-9
_SHOWN_TARGETS, _SHOWN_PAST = 4, 3  # in the page: targets, and horizons of the past before a forecast

Told = Callable[[Tensor], Tensor]
"""Raw windows (n, window, C) -> standardised forecasts (n, horizon, T)."""


@dataclass
class Tally:
    """Errors added up over windows, in the targets' own units. naive: what each target's MASE is measured by."""

    task: Task
    naive: tuple[float, ...]
    windows: int = 0
    count: Any = 0  # (horizon, T) values that were there
    absolute: Any = 0
    squared: Any = 0
    relative: Any = 0
    inside: Any = 0
    means: list[float] = field(default_factory=list)  # each window's MAE in standard deviations

    def add(self, told: Tensor, truth: Tensor, ends: tuple[Tensor, Tensor] | None = None) -> None:
        """told, truth (n, horizon, T), both standardised, NaN where nothing was there; ends: of the interval."""
        known = truth.isfinite()
        said, want = self.task.decode(told).double(), self.task.decode(truth).double()
        error = (said - want).nan_to_num()
        self.windows += len(told)
        self.count = self.count + known.sum(0)
        self.absolute = self.absolute + error.abs().sum(0)
        self.squared = self.squared + error.square().sum(0)
        scale = ((said.abs() + want.abs()) / 2).clamp_min(_EPS)
        self.relative = self.relative + (error.abs() / scale).nan_to_num().where(known, torch.tensor(0.0)).sum(0)
        if ends is not None:
            self.inside = self.inside + ((truth >= ends[0]) & (truth <= ends[1])).sum(0)
        apart = ((told - truth).abs().nan_to_num().flatten(1).sum(1)) / known.flatten(1).sum(1).clamp_min(1)
        self.means += apart.tolist()

    def metrics(self, *, interval: bool = False) -> dict[str, float]:
        """Of all steps of the horizon: the mean over the targets of each measure."""
        count = self.count.sum(0).double().clamp_min(1)
        mae, mse = self.absolute.sum(0) / count, self.squared.sum(0) / count
        scale = torch.tensor(self.task.scale, dtype=torch.float64)
        naive = torch.tensor(self.naive, dtype=torch.float64)
        found = {
            "mae": mae.mean().item(),
            "rmse": mse.sqrt().mean().item(),
            "smape": (self.relative.sum(0) / count).mean().item(),
            "mase": (mae / naive.clamp_min(_EPS)).mean().item(),
            "mse": (mse / scale**2).mean().item(),
        }
        if interval:
            found["coverage"] = (self.inside.sum(0) / count).mean().item()
        return found | {"mae_error": self._error(mae.mean().item())}

    def _error(self, mae: float) -> float:
        """Standard error of the MAE: windows that share steps are not independent, so blocks of a horizon count."""
        horizon = self.count.shape[0]
        blocks = [float(np.mean(self.means[i : i + horizon])) for i in range(0, len(self.means), horizon)]
        middle = float(np.mean(self.means)) if self.means else 0.0
        if len(blocks) < 2 or middle <= 0:
            return float("nan")
        return mae * float(np.std(blocks, ddof=1)) / middle / len(blocks) ** 0.5

    def by_step(self) -> list[float]:
        """MAE of each step ahead, in standard deviations of the target, the mean over the targets."""
        scale = torch.tensor(self.task.scale, dtype=torch.float64)
        each = self.absolute / self.count.double().clamp_min(1) / scale
        return [round(value, 6) for value in each.mean(1).tolist()]


def rivals(facts: ForecastFacts, task: Task) -> dict[str, Told]:
    """Forecasts that need no training: the last value, the last season again, the line from the first to the last."""
    count = len(task.targets)
    center, scale = torch.tensor(task.center), torch.tensor(task.scale)
    ahead = torch.arange(1, facts.horizon + 1).view(1, -1, 1)

    def past(x: Tensor) -> Tensor:
        return (x[:, :, :count] - center) / scale

    def last(x: Tensor) -> Tensor:
        return past(x)[:, -1:].expand(-1, facts.horizon, -1)

    def season(x: Tensor) -> Tensor:
        places = facts.window - facts.period + (ahead.flatten() - 1) % facts.period
        return past(x)[:, places]

    def drift(x: Tensor) -> Tensor:
        z = past(x)
        return z[:, -1:] + ahead * (z[:, -1:] - z[:, :1]) / max(facts.window - 1, 1)

    found: dict[str, Told] = {"last value": last}
    if 1 < facts.period <= facts.window:
        found["seasonal naive"] = season
    return found | {"drift": drift}


def point(outputs: Tensor, quantiles: tuple[float, ...]) -> Tensor:
    """The single forecast (n, horizon, T): the middle one of quantiles."""
    return outputs[..., len(quantiles) // 2] if quantiles else outputs


class Forecasts:
    """The next steps of one or several series."""

    def fitted(self, model: nn.Module, data: Prepared) -> None:
        """After training: how far truths lay from forecasts in the validation part, step by step, is the interval.

        Split conformal prediction (Lei et al. 2018, section 2.2), for each target and each step ahead by itself.
        """
        if not hasattr(model, "below") or getattr(model, "quantiles", None):
            return
        part = data.valid or data.train
        errors = [truth - point(out, ()) for out, truth, _ in _told(model, part)]
        apart = torch.cat(errors)
        model.below.copy_(apart.nanquantile(LOW, dim=0))  # type: ignore[operator]
        model.above.copy_(apart.nanquantile(HIGH, dim=0))  # type: ignore[operator]

    def judge(self, model: nn.Module, part: Batches, data: Prepared) -> Judged:
        facts, task = _facts(data), data.task
        network = Tally(task, facts.naive)
        made = rivals(facts, task)
        others = {name: Tally(task, facts.naive) for name in made}
        shown: dict[str, Any] = {}
        for outputs, truth, x in _told(model, part):
            ends = interval(model, outputs)
            network.add(point(outputs, facts.quantiles), truth, ends)
            for name, told in made.items():
                others[name].add(told(x), truth)
            shown = {"out": outputs[-1:], "truth": truth[-1:], "x": x[-1:]}
        steps = {"this network": network.by_step(), **{name: one.by_step() for name, one in others.items()}}
        curves = {
            "kind": "forecast", "rows": network.windows, "left_out": 0, "steps": steps,
            "step": data.card.get("step", ""), "shown": _shown(model, shown, data, made) if shown else [],
        }  # fmt: skip
        return Judged(network.metrics(interval=True), curves)

    def examples(
        self, model: nn.Module, judged: Judged, part: Batches, data: Prepared, source: Any
    ) -> dict[str, bytes]:
        return {}

    def baselines(self, data: Prepared) -> list[dict[str, Any]]:
        facts, task, entries = _facts(data), data.task, []
        for name, told in rivals(facts, task).items():
            began, entry = time.perf_counter(), dict[str, Any](name=name)
            for where in ("valid", "test"):
                part = getattr(data, where)
                if part is not None:
                    tally = Tally(task, facts.naive)
                    for batch in _batches(part):
                        tally.add(told(batch.inputs), batch.targets)
                    entry[where] = tally.metrics()
            entries.append({**entry, "seconds": round(time.perf_counter() - began, 3)})
        return entries

    def evaluate(self, model: nn.Module, task: Task, reader: Reader, source: Any) -> dict[str, float]:
        """On every window of a source that has its horizon behind it."""
        naive = getattr(reader, "naive", (1.0,) * len(task.targets))
        tally = Tally(task, naive)
        with evaluating(model), torch.no_grad():
            for raw in reader.stream(source, targets=True, rows=_BATCH):
                if raw.targets is not None:
                    outputs = model(raw.inputs)
                    tally.add(point(outputs, getattr(model, "quantiles", ())), raw.targets, interval(model, outputs))
        return tally.metrics(interval=True)

    def frames(
        self, model: nn.Module, task: Task, reader: Reader, source: Any, *, batch_rows: int = 4096, keep: bool = False,
        horizon: int | None = None,
    ) -> Iterator[pl.DataFrame]:  # fmt: skip
        """The steps after the end of each series. Columns: "series" where there are several, "time", and for each
        target its forecast ("prediction", or "prediction_<target>" of several) with the ends of the interval ("low",
        "high"), or one column a quantile ("q0.1").

        horizon: fewer steps than it was trained for, or more: then forecasts are shown to the network as if they had
        come true.
        """
        if not isinstance(reader, ForecastReader):
            raise GliaError("this reader gives no series", got=type(reader).__name__)
        asked = horizon or reader.horizon
        if asked > reader.horizon and reader.columns.targets < len(reader.columns.channels):
            raise GliaError(
                "the horizon is longer than it was trained for", got=asked, expected=f"at most {reader.horizon}",
                hint="the covariates of later steps are not known",
            )  # fmt: skip
        with evaluating(model), torch.no_grad():
            for raw in reader.stream(source, rows=_BATCH):
                outputs, low, high = _rolled(model, raw.inputs, task, asked, reader.horizon)
                yield _frame(reader, task, raw.cells, outputs[:, :asked], low[:, :asked], high[:, :asked], model)


def interval(model: nn.Module, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Ends (n, horizon, T) of what is told, standardised: the outer quantiles, or what validation showed."""
    if getattr(model, "quantiles", ()):
        return outputs[..., 0], outputs[..., -1]
    below, above = (getattr(model, name, torch.zeros(())) for name in ("below", "above"))
    return outputs + below, outputs + above


def _facts(data: Prepared) -> ForecastFacts:
    if not isinstance(data.facts, ForecastFacts):
        raise GliaError("the data are no windows of series", got=data.facts.kind)
    return data.facts


def _batches(part: Batches) -> Iterator[Any]:
    """The windows of a part, at even distances where they are very many."""
    count = min(len(part), MOST_WINDOWS)
    index = torch.linspace(0, len(part) - 1, count, dtype=torch.float64).long()
    yield from (part.at(one) for one in index.split(_BATCH))


def _told(model: nn.Module, part: Batches) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Outputs, truths and inputs."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with evaluating(model), torch.no_grad():
        for batch in _batches(part):
            yield model(batch.inputs.to(device)).float().cpu(), batch.targets, batch.inputs


def _rolled(model: nn.Module, x: Tensor, task: Task, asked: int, horizon: int) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs and interval of `asked` steps or a few more, as often as it takes."""
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    quantiles = getattr(model, "quantiles", ())
    while len(found) * horizon < asked:
        if found:  # go on from what was told last
            x = torch.cat([x, task.decode(point(found[-1][0], quantiles))], dim=1)[:, -x.shape[1] :]
        outputs = model(x)
        found.append((outputs, *interval(model, outputs)))
    first, second, third = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
    return first, second, third


def _frame(
    reader: ForecastReader, task: Task, cells: pl.DataFrame, out: Tensor, low: Tensor, high: Tensor, model: nn.Module
) -> pl.DataFrame:
    count, steps = out.shape[:2]
    quantiles = getattr(model, "quantiles", ())
    places = cells["step"].to_numpy()[:, None] + np.arange(steps)
    columns = [pl.Series("series", cells["series"]).gather(np.repeat(np.arange(count), steps))]
    columns = columns if reader.columns.series is not None else []
    columns.append(reader.clock.times(places.flatten()).alias("time"))
    for i, name in enumerate(task.targets):
        end = f"_{name}" if len(task.targets) > 1 else ""
        if quantiles:
            parts = {f"q{level:g}{end}": out[:, :, :, j] for j, level in enumerate(quantiles)}
        else:
            parts = {f"prediction{end}": out, f"low{end}": low, f"high{end}": high}
        columns += [pl.Series(key, task.decode(part)[:, :, i].flatten().numpy()) for key, part in parts.items()]
    return pl.DataFrame(columns)


def _shown(model: nn.Module, one: dict[str, Tensor], data: Prepared, made: dict[str, Told]) -> list[dict[str, Any]]:
    """The last window of a part, for a few targets: its past, what came, what was told."""
    facts, task = _facts(data), data.task
    low, high = interval(model, one["out"])
    told = point(one["out"], facts.quantiles)
    naive = next(name for name in ("seasonal naive", "last value") if name in made)
    other = made[naive](one["x"])
    past = min(facts.window, _SHOWN_PAST * facts.horizon)
    kinds = {"truth": one["truth"], "told": told, "low": low, "high": high, "naive": other}
    found = []
    for i, name in enumerate(task.targets[:_SHOWN_TARGETS]):
        lines = {key: _plain(task.decode(value)[0, :, i]) for key, value in kinds.items()}
        found.append({"target": name, "past": _plain(one["x"][0, -past:, i]), **lines, "against": naive})
    return found


def _plain(values: Tensor) -> list[float | None]:
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values.tolist()]
