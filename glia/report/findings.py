"""What the doctor found: each finding in words, with the cures that were tried and one small figure as evidence."""

import math
from typing import Any

import numpy as np

from glia.report.plot import Frame, Mark, Plot, Series, draw, thinned
from glia.report.read import Json, RunFiles, mapping_of, number, rows_of
from glia.report.svg import Axis, element, fitted, join
from glia.report.training import STEP, by_epoch, spans_far
from glia.report.words import clip, count, digits, percent, plain

TONES = {"error": "bad", "note": "calm", "info": "calm"}
LINES = [("Where", "where"), ("Why", "why"), ("Evidence", "evidence"), ("Cause", "cause"), ("Cure", "cure")]

COUNTED = ("GL106", "GL107", "GL220")  # rules whose evidence are rows of each class
SHARES = ("GL109", "GL110", "GL111", "GL113", "GL114")  # whose figures between 0 and 1 stand side by side
BY_EPOCH = ("GL401", "GL402", "GL403", "GL405")
BY_STEP = ("GL301", "GL302", "GL306", "GL307", "GL311", "GL312", "GL313", "GL202", "GL204")
BY_LAYER = {
    "GL303": ("zeros", "Share of zeros behind each layer"),
    "GL309": ("update_ratio", "Change of each layer's weights in a step, to their size"),
    "GL310": ("update_ratio", "Change of each layer's weights in a step, to their size"),
    **dict.fromkeys(
        ("GL205", "GL206", "GL208", "GL209", "GL219", "GL304", "GL305", "GL308"),
        ("grad_norm", "Gradient norm by layer"),
    ),
}
MOST_BARS, MOST_NAME = 16, 24
NAMES, ROW, TEXT = 206.0, 26.0, 86.0  # width of names, height of a row, width of what is written behind a bar
FULL = 520.0


def findings(run: RunFiles) -> list[dict[str, Any]]:
    """The findings in the order in which they stand in the run folder."""
    return [_shown(run, item, place) for place, item in enumerate(run.findings)]


def _shown(run: RunFiles, item: Json, place: int) -> dict[str, Any]:
    severity = str(item.get("severity") or "note")
    code = str(item.get("code", ""))
    return {
        "code": code,
        "name": str(item.get("name") or code),
        "severity": severity,
        "tone": TONES.get(severity.lower(), "warn"),
        "lines": [(label, _words(item, key)) for label, key in LINES if item.get(key) not in (None, "", [], {})],
        "tried": [line for one in rows_of(item.get("remedies")) if (line := _tried(one))],
        "figure": _figure(run, code, mapping_of(item.get("figures")), f"finding-{place}"),
    }


def _words(item: Json, key: str) -> str:
    text = plain(item[key])
    if key == "cause":
        return text.replace("_", " ")
    if key != "cure":
        return text
    # What is to be typed, where it was not tried: a trial says it itself.
    remedies = [one for one in rows_of(item.get("remedies")) if not one.get("trial")]
    text += "".join(f": {says}" for one in remedies if (says := str(one.get("says", ""))).startswith("--"))
    return f"{text} (safe: it makes no run worse)" if item.get("safe") is True else text


def _tried(remedy: Json) -> dict[str, Any] | None:
    """A cure that was tried: what it is, and the figure before and after."""
    trial = mapping_of(remedy.get("trial"))
    before, after = number(trial.get("before")), number(trial.get("after"))
    if not trial or after is None:
        return None
    broke = before is None  # the run did not come to any figure
    before = before or 0.0
    steps, seeds = number(trial.get("steps")), number(trial.get("seeds"))
    how = [count(steps, "step")] if steps is not None else []
    how += [count(seeds, "seed")] if seeds is not None and seeds > 1 else []
    return {
        "says": str(remedy.get("says", "")),
        "metric": str(trial.get("metric", "")),
        "before": "not finite" if broke else digits(before, 3),
        "after": digits(after, 3),
        "how": ", ".join(how),
        "better": after > before,
        "bars": [f"{100 * value:.1f}" for value in (before, after)] if 0 <= min(before, after) <= 1 >= after else [],
    }


def _figure(run: RunFiles, code: str, figures: Json, key: str) -> Plot | None:
    """The figure that shows a finding of this rule best; None where the run has no numbers for it."""
    if code in COUNTED:
        counts = {str(name): value for name, n in mapping_of(run.vitals.get("counts")).items() if (value := number(n))}
        return bars(key, "Training rows of each class", [(name, n, f"{n:,.0f}") for name, n in counts.items()])
    if code in SHARES:
        shares = [
            (name.replace("_", " "), value) for name, v in figures.items() if (value := _share(name, v)) is not None
        ]
        return bars(key, "How much the parts share", [(name, v, percent(v)) for name, v in shares], most=1.0)
    if code in BY_LAYER:
        name, title = BY_LAYER[code]
        layers = [(str(one.get("place", "")), number(one.get(name))) for one in rows_of(run.vitals.get("layers"))]
        known = [(place, value, _written(name, value)) for place, value in layers if value is not None]
        return bars(key, title, known, most=1.0 if name == "zeros" else None, log=name != "zeros")
    if code in BY_EPOCH:
        return by_epoch(run, "loss", "Loss of training and validation rows", name=key)
    return _losses(run, figures, key) if code in BY_STEP else None


def _share(name: str, value: Any) -> float | None:
    found = number(value)
    return found if found is not None and 0 <= found <= 1 and not name.startswith(("rows", "scale")) else None


def _written(name: str, value: float) -> str:
    return percent(value) if name == "zeros" else digits(value, 3)


def _losses(run: RunFiles, figures: Json, key: str) -> Plot | None:
    """The loss of each step, with the place that the finding names marked."""
    steps, losses = run.steps.get("step"), run.steps.get("loss")
    if steps is None or losses is None or not np.isfinite(losses).any():
        return None
    at = number(figures.get("step"))
    x, middle, low, high = thinned(steps, losses)
    last = max(float(steps[-1]), float(steps[0]) + 1, at or 0.0)
    frame = Frame(
        Axis("step", float(steps[0]), last, written="whole"),
        fitted("loss", losses, log=spans_far(losses)),
        height=220.0,
    )
    band = (low, high) if len(x) < len(steps) else (None, None)
    marks = [Mark("x", at, f"step {at:,.0f}")] if at is not None and steps[0] <= at <= last else []
    note = "Log scale." if frame.y.log else ""
    return draw(
        key, "Loss of each step", [Series("loss", x, middle, STEP, "thin", *band)], frame, marks=marks, note=note
    )


def bars(
    key: str, title: str, given: list[tuple[str, float, str]], *, most: float | None = None, log: bool = False
) -> Plot | None:
    """Lying bars: (name, value, what is written behind it) each. most: value of a full bar; the largest if None."""
    shown = _chosen(given)
    if not shown:
        return None
    positive = [value for _, value, _ in shown if value > 0]
    lengths = _lengths([value for _, value, _ in shown], most, log=log and len(positive) > 0)
    rows = []
    for place, ((name, _, text), length) in enumerate(zip(shown, lengths, strict=True)):
        y = 8 + ROW * place
        label = clip(name, MOST_NAME)
        rows += [
            element("text", label, class_="tick", x=NAMES - 8, y=y + 8, dy="0.35em", text_anchor="end"),
            element("rect", class_="bar s1", x=NAMES, y=y, width=max(length * (FULL - NAMES - TEXT), 1.0), height=16.0),
            element("text", text, class_="tick", x=FULL, y=y + 8, dy="0.35em", text_anchor="end"),
        ]
    svg = element(
        "svg", element("title", title, id=f"{key}-title") + join(rows), class_="plot lying",
        viewBox=f"0 0 {FULL:.0f} {16 + ROW * len(shown):.0f}", role="img", aria_labelledby=f"{key}-title",
    )  # fmt: skip
    notes = ["Log scale."] if log and positive else []
    notes += [f"{len(shown)} of {len(given)} are shown."] if len(shown) < len(given) else []
    return Plot(key, title, svg, {}, [], " ".join(notes))


def _chosen(given: list[tuple[str, float, str]]) -> list[tuple[str, float, str]]:
    """All, or so many at even distances, the first and the last among them."""
    if len(given) <= MOST_BARS:
        return given
    return [given[int(place)] for place in np.linspace(0, len(given) - 1, MOST_BARS).round()]


def _lengths(values: list[float], most: float | None, *, log: bool) -> list[float]:
    """0 to 1 each. On a log scale the smallest keeps a tenth of the way."""
    if not log:
        full = most or max([*values, 0.0]) or 1.0
        return [min(1.0, max(0.0, value / full)) for value in values]
    powers = [math.log10(value) for value in values if value > 0]
    low, high = min(powers), max(powers)
    spread = max(high - low, 1.0)
    return [0.1 + 0.9 * (math.log10(value) - high + spread) / spread if value > 0 else 0.0 for value in values]
