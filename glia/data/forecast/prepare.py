"""A table with a column of time to Prepared: one clock, a cut in time, windows in which nothing of the future shows."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from glia.data.batches import Batches
from glia.data.facts import ForecastFacts
from glia.data.forecast.panel import Panel, find_columns, read_panel
from glia.data.forecast.reader import ForecastReader, naive_errors, spread
from glia.data.forecast.windows import Cuts, window_starts
from glia.data.prepared import Prepared
from glia.data.split import split_by_time
from glia.data.tables.read import open_table, read
from glia.data.tables.reader import options_like
from glia.data.tables.source import ReadOptions
from glia.data.task import Task
from glia.errors import GliaError

if TYPE_CHECKING:
    from glia.recipe import Data

LOOK_BACK = 3.5  # horizons that are shown, where nobody says how many steps; 336 hours for four days


def prepare_forecast(data: "Data", seed: int) -> Prepared:
    """Everything between a table of series and training, as the settings `data` (glia.recipe.Data) ask.

    The latest steps test, those before them validate, for all series at the same times. The past that a window shows
    may reach into the part before; what it is to tell never lies in another part.
    """
    horizon = _asked(data)
    options = ReadOptions(data.header, data.separator, data.decimal, data.encoding, limits=data.limits)
    opened = open_table(data.source, options)
    piece = read(opened, data.limits)
    if data.limit_rows:
        piece = piece.take(np.arange(min(data.limit_rows, len(piece))))
    columns = find_columns(piece, targets=data.target, time=data.time, series=data.series, covariates=data.covariates)
    panel = read_panel(piece, columns)
    longest = int(np.diff(panel.ends, prepend=0).max())
    if horizon >= longest:
        raise GliaError("the horizon is as long as the series", got=f"{horizon} of {longest} steps", hint="--horizon")
    cuts = _cuts(panel, data)
    window = data.window or _window(panel, horizon, cuts)
    known = _before(panel, _first(cuts))
    mean, std = spread(panel.values[known])
    naive = naive_errors(panel, known, columns.targets, max(1, panel.clock.period))
    reader = ForecastReader(
        columns, panel.clock, window, horizon, mean, mean[: columns.targets], std[: columns.targets], naive,
        options_like(opened, options),
    )  # fmt: skip
    parts = _parts(panel, reader, cuts)
    facts = ForecastFacts(
        len(columns.channels), window, horizon, mean, std, panel.clock.period, len(panel.names) > 1,
        tuple(sorted(data.quantiles)), naive, len(parts["train"]),
    )  # fmt: skip
    task = Task("forecast", reader.targets, center=reader.center, scale=reader.scale)
    card = _card(data, panel, reader, cuts, parts)
    notes = (*opened.notes, *panel.notes)
    card["notes"] = list(notes)
    return Prepared(parts["train"], parts.get("valid"), parts.get("test"), task, facts, reader, card, notes)


def _asked(data: "Data") -> int:
    """The horizon; settings that mean nothing here are refused."""
    if data.horizon is None:
        raise GliaError("how many steps ahead to forecast is not said", hint="--horizon 24")
    for name in ("valid", "test", "group"):
        if getattr(data, name):
            raise GliaError(f"forecasts have no {name} of their own", hint="series are divided by time: --test-share")
    return data.horizon


def _before(panel: Panel, cut: int | None) -> np.ndarray[Any, Any]:
    """Which steps of the panel lie before a step of the clock."""
    if cut is None:
        return np.ones(len(panel.values), dtype=bool)
    return _places(panel) < cut


def _places(panel: Panel) -> np.ndarray[Any, Any]:
    """The step of the clock of every step of the panel."""
    lengths = np.diff(panel.ends, prepend=0)
    return np.arange(len(panel.values)) - np.repeat(panel.starts - panel.first, lengths)


def _cuts(panel: Panel, data: "Data") -> Cuts:
    places = _places(panel)[panel.rows >= 0]
    split = split_by_time(places, data.valid_share, data.test_share)
    valid, test = (int(places[part].min()) if len(part) else None for part in (split.valid, split.test))
    return Cuts(valid, test)


def _window(panel: Panel, horizon: int, cuts: Cuts) -> int:
    """Steps to look back on: some horizons, two seasons at least, and so few that enough windows are left."""
    lengths = [int(part.sum()) for part in np.split(_before(panel, _first(cuts)), panel.ends[:-1])]
    room = max(lengths) - horizon
    wanted = max(round(LOOK_BACK * horizon), 2 * panel.clock.period)
    return max(1, min(wanted, room - max(room // 2, 1)))


def _first(cuts: Cuts) -> int | None:
    return cuts.valid if cuts.valid is not None else cuts.test


def _parts(panel: Panel, reader: ForecastReader, cuts: Cuts) -> dict[str, Batches]:
    ends = {"train": (None, _first(cuts)), "valid": (cuts.valid, cuts.test), "test": (cuts.test, None)}
    shown = reader.shown(panel)
    found = {}
    for name, (low, high) in ends.items():
        if name != "train" and low is None:
            continue
        starts = window_starts(panel, reader.columns.targets, reader.window, reader.horizon, low, high)
        if not len(starts):
            steps = int((_before(panel, high) & ~(_before(panel, low) if low is not None else False)).sum())
            hint = "a shorter --window or --horizon" if name == "train" else f"a shorter --horizon, or --{name}-share 0"
            raise GliaError(
                f"the {name} part is too short for one forecast", got=f"{steps} steps",
                expected=f"{reader.horizon} to tell{f', {reader.window} to look back on' if name == 'train' else ''}",
                hint=hint,
            )  # fmt: skip
        at = torch.from_numpy(starts)
        past, ahead = reader.windows(panel, shown, at)
        found[name] = Batches(past, ahead, torch.from_numpy(panel.rows[starts + reader.window]))
    return found


def _card(data: "Data", panel: Panel, reader: ForecastReader, cuts: Cuts, parts: dict[str, Batches]) -> dict[str, Any]:
    count = reader.columns.targets
    at = {name: _when(panel, cut) for name, cut in (("valid", cuts.valid), ("test", cuts.test)) if cut is not None}
    source = data.source if isinstance(data.source, str | Path) else "the table given"
    said = ", ".join(f"{name} from {when}" for name, when in at.items())
    digest = hashlib.sha256(panel.values.tobytes())
    digest.update(repr((panel.names, panel.first.tolist(), panel.ends.tolist(), panel.clock)).encode())
    used = [
        {"name": name, "kind": "number", "role": "target" if i < count else "input", "why": "as asked"}
        for i, name in enumerate(reader.columns.channels)
    ]  # fmt: skip
    return {
        "kind": "forecast", "source": str(source), "rows": int((panel.rows >= 0).sum()), "series": len(panel.names),
        "step": panel.clock.words, "period": panel.clock.period, "window": reader.window, "horizon": reader.horizon,
        "columns": used, "parts": {name: len(part) for name, part in parts.items()}, "classes": {}, "imbalance": None,
        "dropped": [], "split": f"by time: {said or 'no part held out'}", "fingerprint": digest.hexdigest(),
    }  # fmt: skip


def _when(panel: Panel, step: int) -> str:
    """A step of the clock as people say it."""
    time = panel.clock.times(np.array([step]))[0]
    return f"row {step}" if panel.clock.kind == "order" else str(time)
