"""The figures of forecasts: the last one beside what came, and how errors grow with the steps ahead."""

from typing import Any

import numpy as np

from glia.report.plot import Frame, Mark, Plot, Series, draw
from glia.report.read import Floats, Json, mapping_of, number, rows_of
from glia.report.svg import Axis, fitted
from glia.report.words import clip

WIDE = {"width": 720.0, "height": 320.0}
COLOURS = {"this network": "s1", "last value": "s2", "seasonal naive": "s3", "drift": "s4"}


def forecast_plots(curves: Json, part: str) -> list[Plot]:
    """All figures that the curves of one part give."""
    plots = [_one(one, f"{part}-{i}") for i, one in enumerate(rows_of(curves.get("shown")))]
    return [plot for plot in (*plots, _by_step(curves, part)) if plot is not None]


def _floats(value: Any) -> Floats:
    found = [number(item) for item in value] if isinstance(value, list) else []
    return np.array([np.nan if item is None else item for item in found], dtype=np.float64)


def _one(shown: Json, key: str) -> Plot | None:
    """The past, what came, what was told with its interval, and the simple forecast."""
    past, truth, told, low, high, naive = (
        _floats(shown.get(k)) for k in ("past", "truth", "told", "low", "high", "naive")
    )
    if not len(past) or not len(told) or {len(truth), len(low), len(high), len(naive)} != {len(told)}:
        return None
    before, ahead = np.arange(1 - len(past), 1, dtype=np.float64), np.arange(1, len(told) + 1, dtype=np.float64)
    name = clip(shown.get("target", "target"), 30)
    every = np.concatenate([past, truth, told, low, high, naive])
    frame = Frame(
        Axis("steps from now", float(before[0]), float(ahead[-1]), written="whole"), fitted(name, every), **WIDE
    )
    against = str(shown.get("against", "naive"))
    series = [
        Series("what was", np.concatenate([before, ahead]), np.concatenate([past, truth]), "muted", "thin"),
        Series(against, ahead, naive, "s3", "thin"),
        Series("this network", ahead, told, "s1", low=low, high=high),
    ]
    note = "The last window of the part. The light band is the interval that four of five truths should lie in."
    return draw(f"forecast-{key}", f"Forecast of {name}", series, frame, marks=[Mark("x", 0.0, "now")], note=note)


def _by_step(curves: Json, part: str) -> Plot | None:
    """Mean absolute error of each step ahead, in standard deviations."""
    lines = {name: _floats(values) for name, values in mapping_of(curves.get("steps")).items()}
    lines = {name: values for name, values in lines.items() if len(values) > 1}
    if not lines:
        return None
    longest = max(len(values) for values in lines.values())
    frame = Frame(
        Axis("steps ahead", 1.0, float(longest), written="whole"),
        fitted("mean absolute error", np.concatenate([*lines.values(), np.zeros(1)])),
        **WIDE,
    )
    series = [
        Series(str(name), np.arange(1, len(values) + 1, dtype=np.float64), values, COLOURS.get(str(name), "s5"),
               "line" if name == "this network" else "thin")
        for name, values in lines.items()
    ]  # fmt: skip
    note = "In standard deviations of the training rows, the mean over all targets and windows."
    return draw(f"steps-{part}", "Error by steps ahead", series, frame, note=note)
