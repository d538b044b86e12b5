"""ForecastReader: a table of series to the stretches of the past that a trained network takes."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from glia.data.forecast.clock import Clock
from glia.data.forecast.panel import Columns, Panel, read_panel
from glia.data.forecast.windows import Windows, window_starts
from glia.data.prepared import Raw
from glia.data.tables.columns import Plan
from glia.data.tables.read import open_table, read
from glia.data.tables.source import ReadOptions
from glia.errors import GliaError


@dataclass(frozen=True)
class ForecastReader:
    """How rows of a table become windows. mean: of each channel, which stands for what was never there."""

    columns: Columns
    clock: Clock
    window: int
    horizon: int
    mean: tuple[float, ...]
    center: tuple[float, ...]
    scale: tuple[float, ...]
    naive: tuple[float, ...]
    options: ReadOptions

    kind = "forecast"

    @property
    def targets(self) -> tuple[str, ...]:
        return self.columns.channels[: self.columns.targets]

    def panel(self, source: Any) -> Panel:
        """The series of a source, on the clock of the training data."""
        piece = read(open_table(source, self.options), self.options.limits)
        clock = self.clock if self.clock.kind != "order" else None
        return read_panel(piece, self.columns, clock)

    def stream(self, source: Any, *, targets: bool = False, rows: int = 4096) -> Iterator[Raw]:
        """The last window of each series; its name and the step after it are in `cells`.

        `targets=True`: every window that has its horizon behind it, with that as targets (n, horizon, T), standardised.
        """
        panel = self.panel(source)
        shown = self.shown(panel)
        if targets:
            starts = window_starts(panel, self.columns.targets, self.window, self.horizon, None, None)
            if not len(starts):
                raise GliaError(
                    "no series is long enough to compare forecasts with", got=f"{len(panel.values)} steps",
                    expected=f"{self.window} steps to look back on and {self.horizon} to tell",
                )  # fmt: skip
            past, ahead = self.windows(panel, shown, torch.from_numpy(starts))
            for part in torch.arange(len(starts)).split(rows):
                names = [str(panel.rows[starts[i] + self.window]) for i in part.tolist()]
                yield Raw(past.take(part), ahead.take(part), names, None)
            return
        ends = torch.from_numpy(panel.ends)
        lengths = ends - torch.from_numpy(panel.starts)
        if int(lengths.min()) < self.window:
            name = panel.names[int(lengths.argmin())]
            raise GliaError(
                f"series {name!r} is too short" if name else "the series is too short",
                got=f"{int(lengths.min())} steps",
                expected=f"at least the {self.window} that the network looks back on",
            )  # fmt: skip
        last = Windows(shown, ends - self.window, self.window)
        after = torch.from_numpy(panel.first) + lengths
        cells = pl.DataFrame({"series": list(panel.names), "step": after.numpy()})
        for part in torch.arange(len(ends)).split(rows):
            yield Raw(last.take(part), None, [panel.names[i] for i in part.tolist()], cells[part.numpy()])

    def shown(self, panel: Panel) -> Tensor:
        """(steps, channels): what a network is shown, without gaps."""
        filled = torch.from_numpy(panel.filled())
        return torch.where(filled.isnan(), torch.tensor(self.mean, dtype=torch.float32), filled)

    def windows(self, panel: Panel, shown: Tensor, starts: Tensor) -> tuple[Windows, Windows]:
        """What is shown and what is to be told, standardised, of windows that begin at `starts`."""
        count = self.columns.targets
        told = (torch.from_numpy(panel.values[:, :count]) - torch.tensor(self.center)) / torch.tensor(self.scale)
        return Windows(shown, starts, self.window), Windows(told.float(), starts + self.window, self.horizon)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ForecastReader":
        plan = data["columns"]["time"]
        time = None if plan is None else Plan(**{**plan, "stray": tuple(plan["stray"])})
        options: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data["options"].items()}
        columns = data["columns"]
        return cls(
            Columns(time, columns["series"], tuple(columns["channels"]), columns["targets"]),
            Clock(**data["clock"]),
            data["window"],
            data["horizon"],
            tuple(data["mean"]),
            tuple(data["center"]),
            tuple(data["scale"]),
            tuple(data["naive"]),
            ReadOptions(**options),
        )


def naive_errors(panel: Panel, known: np.ndarray[Any, Any], targets: int, lag: int) -> tuple[float, ...]:
    """Mean absolute difference of each target's values `lag` steps apart, within `known` steps of one series."""
    pairs = []
    for start, end in zip(panel.starts.tolist(), panel.ends.tolist()):
        one = np.where(known[start:end, None], panel.values[start:end, :targets], np.nan)
        pairs.append(np.abs(one[lag:] - one[:-lag]))
    apart = np.concatenate(pairs)
    there = ~np.isnan(apart)
    found = np.where(there, apart, 0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    return tuple(np.where(found > 0, found, 1.0).tolist())


def spread(values: np.ndarray[Any, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, of what is there; 0 and 1 where nothing is or varies."""
    there = ~np.isnan(values)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, values, 0).sum(axis=0, dtype=np.float64) / count
    std = np.sqrt(np.where(there, (values - mean) ** 2, 0).sum(axis=0) / count)
    return tuple(mean.tolist()), tuple(np.where(std > 1e-8, std, 1.0).tolist())
