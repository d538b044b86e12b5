"""The figures of how training went: loss, measure, learning rate, gradient norm."""

import numpy as np

from glia.report.plot import Frame, Mark, Plot, Series, draw, thinned
from glia.report.read import Floats, RunFiles, number
from glia.report.svg import Axis, fitted
from glia.report.verdict import headline
from glia.report.words import SHARES, measure_name, sentence

TRAIN, VALID, STEP = "s2", "s1", "s5"
BAND = "The light band holds what lies between the drawn points."
LOG_FROM = 30.0  # a positive quantity whose largest value is this many times its median is drawn on a log axis


def training_plots(run: RunFiles) -> list[Plot]:
    """The figures that this run has numbers for."""
    key = headline(run)
    plots = [by_epoch(run, "loss", "Loss"), by_epoch(run, key, sentence(measure_name(key)))]
    if not np.isfinite(run.steps.get("loss", np.zeros(1))).all() and run.epochs:
        plots.insert(1, _by_step(run, "loss", "Training loss by step", "Of one batch each."))
    plots += [
        _by_step(run, "lr", "Learning rate", "How far each step may go."),
        _by_step(run, "grad_norm", "Gradient norm", "Before clipping."),
    ]
    return [plot for plot in plots if plot is not None]


def best_epoch(run: RunFiles) -> int | None:
    """The epoch whose weights were kept."""
    found = number(run.status.get("best_epoch"))
    if found is None:
        best = [number(line.get("epoch")) for line in run.epochs if line.get("best") is True]
        found = best[-1] if best else None
    return None if found is None else int(found)


def _column(run: RunFiles, name: str) -> Floats:
    """One figure of every epoch; NaN where it was not measured."""
    values = [number(line.get(name)) for line in run.epochs]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def by_epoch(run: RunFiles, key: str, title: str, name: str = "") -> Plot | None:
    """Training and validation side by side, one point an epoch. name: of the plot, where the page has two of them."""
    epochs = _column(run, "epoch")
    train, valid = _column(run, f"train_{key}"), _column(run, f"valid_{key}")
    if not (np.isfinite(train).any() or np.isfinite(valid).any()):
        return _loss_by_step(run) if key == "loss" and not name else None
    both = np.concatenate([train, valid])
    written = "share" if key in SHARES else "number"
    y = fitted(measure_name(key), both, written, log=key == "loss" and spans_far(both))
    series = [Series("train", epochs, train, TRAIN), Series("valid", epochs, valid, VALID)]
    series = [one for one in series if np.isfinite(one.y).any()]
    series = [_short_line(one) for one in series] + _best_point(epochs, valid, best_epoch(run))
    marks = _best_mark(epochs, valid, best_epoch(run), y)
    note = "Log scale." if y.log else ""
    return draw(name or f"epoch-{key}", title, series, Frame(_epoch_axis(epochs), y), marks=marks, note=note)


def _best_point(epochs: Floats, values: Floats, best: int | None) -> list[Series]:
    """A ring on the validation curve where the kept weights come from."""
    there = epochs == best
    if best is None or not np.isfinite(values[there]).any():
        return []
    return [Series("best", epochs[there], values[there], VALID, legend=False, hover=False)]


def _best_mark(epochs: Floats, values: Floats, best: int | None, axis: Axis) -> list[Mark]:
    if best is None or len(epochs) < 2 or not epochs[0] <= best <= epochs[-1]:
        return []
    return [Mark("x", float(best), f"best: epoch {best}", low=_high(values, epochs, best, axis))]


def _high(values: Floats, epochs: Floats, best: int, axis: Axis) -> bool:
    """Whether the curve passes through the upper half at the best epoch, where a text would cover it."""
    there = values[epochs == best]
    return len(there) > 0 and axis.holds(float(there[0])) and axis.at(float(there[0])) > 0.5


def _short_line(one: Series) -> Series:
    x, y, low, high = thinned(one.x, one.y)
    return (
        Series(one.name, x, y, one.colour)
        if len(x) == len(one.x)
        else Series(one.name, x, y, one.colour, low=low, high=high)
    )


def _epoch_axis(epochs: Floats) -> Axis:
    low, high = float(epochs.min()), float(epochs.max())
    return (
        Axis("epoch", low, high, written="whole") if high > low else Axis("epoch", low - 1, high + 1, written="whole")
    )


def _loss_by_step(run: RunFiles) -> Plot | None:
    """A run that ended within its first epoch has only the losses of its steps."""
    return _by_step(run, "loss", "Training loss", "No epoch was finished.")


def _by_step(run: RunFiles, key: str, title: str, note: str) -> Plot | None:
    """One quantity over all optimiser steps."""
    steps, values = run.steps.get("step"), run.steps.get(key)
    if steps is None or values is None or not np.isfinite(values).any():
        return None
    x, middle, low, high = thinned(steps, values)
    log = spans_far(values)
    name = {"lr": "learning rate", "grad_norm": "gradient norm"}.get(key, key)
    across = Axis("step", float(steps[0]), float(max(steps[-1], steps[0] + 1)), written="whole")
    band = (low, high) if len(x) < len(steps) and key != "lr" else (None, None)
    one = Series(name, x, middle, STEP, "line" if key == "lr" else "thin", *band)
    frame = Frame(across, fitted(name, values, log=log))
    notes = [note, BAND if band[0] is not None else "", "Log scale." if log else ""]
    marks = _broken(steps, values)
    return draw(f"step-{key}", title, [one], frame, marks=marks, note=" ".join(part for part in notes if part))


def _broken(steps: Floats, values: Floats) -> list[Mark]:
    """Where a quantity first stopped being a finite number."""
    bad = np.flatnonzero(~np.isfinite(values))
    return [Mark("x", float(steps[bad[0]]), f"not finite from step {steps[bad[0]]:,.0f}")] if len(bad) else []


def spans_far(values: Floats) -> bool:
    """Whether a log axis shows more: all positive, and the largest far above the middle."""
    kept = values[np.isfinite(values)]
    return len(kept) > 2 and bool((kept > 0).all()) and float(kept.max() / np.median(kept)) > LOG_FROM
