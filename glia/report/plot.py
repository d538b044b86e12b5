"""One plot: axes, lines or dots, marks; and the numbers that the page's script shows under the pointer."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from glia.report.read import Floats
from glia.report.svg import Axis, Points, element, join, path_of

DOT_LAYERS = 40
MOST_POINTS = 400  # a line is no clearer with more points than pixels
LEFT, RIGHT, TOP, BOTTOM = 64.0, 20.0, 14.0, 42.0


@dataclass(frozen=True)
class Series:
    """Points of one colour.

    look: "line", "line marked" (a dot at each point), "thin", "dots", "dots faint" or "bars".
    low, high: a band around the line.
    """

    name: str
    x: Floats
    y: Floats
    colour: str = "s1"
    look: str = "line"
    low: Floats | None = None
    high: Floats | None = None
    legend: bool = True
    hover: bool = True
    texts: list[str] | None = None  # what the pointer shows of each point, where y alone does not say it


@dataclass(frozen=True)
class Mark:
    """A straight line across the plot at one x ("x"), one y ("y"), or along y = x ("diagonal")."""

    kind: str
    at: float = 0.0
    text: str = ""
    low: bool = False  # write the text at the bottom, where the top is taken


@dataclass(frozen=True)
class Plot:
    """A finished figure. svg: drawn. hover: plain JSON for the script. legend: (colour, look, name) each."""

    key: str
    title: str
    svg: Markup
    hover: dict[str, Any]
    legend: list[tuple[str, str, str]]
    note: str = ""


@dataclass(frozen=True)
class Frame:
    """Where the axes lie on the drawing, in its own units."""

    x: Axis
    y: Axis
    width: float = 520.0
    height: float = 300.0

    @property
    def right(self) -> float:
        return self.width - RIGHT

    @property
    def bottom(self) -> float:
        return self.height - BOTTOM

    def across(self, value: float) -> float:
        return LEFT + self.x.at(value) * (self.right - LEFT)

    def up(self, value: float) -> float:
        return self.bottom - self.y.at(value) * (self.bottom - TOP)

    def runs(self, x: Floats, y: Floats) -> list[Points]:
        """Pixels of the points that can be drawn, cut where a value is missing or not finite."""
        runs: list[Points] = [[]]
        for a, b in zip(x.tolist(), y.tolist(), strict=True):
            if self.x.holds(a) and self.y.holds(b):
                runs[-1].append((self.across(a), self.up(b)))
            elif runs[-1]:
                runs.append([])
        return [run for run in runs if run]


def draw(
    key: str,
    title: str,
    series: list[Series],
    frame: Frame,
    *,
    marks: list[Mark] | None = None,
    note: str = "",
    legend_from: int = 2,
) -> Plot:
    """Draw `series` on `frame`. `key` names the plot on the page, `title` says what it shows.

    A legend is given from `legend_from` series on.
    """
    marks = marks or []
    shapes = [_grid(frame)]
    shapes += [_bars(frame, one) for one in series if one.look == "bars"]
    shapes += [_mark(frame, mark) for mark in marks]
    shapes += [_band(frame, one) for one in series if one.low is not None]
    shapes += [_shape(frame, one) for one in series if one.look != "bars"]
    shapes += [_mark_text(frame, mark) for mark in marks if mark.text]
    title_id = f"{key}-title"
    svg = element(
        "svg",
        element("title", title, id=title_id) + join(shapes) + element("g", class_="cursor"),
        class_="plot",
        data_plot=key,
        tabindex="0",
        viewBox=f"0 0 {frame.width:.0f} {frame.height:.0f}",
        role="img",
        aria_labelledby=title_id,
    )
    legend = [(one.colour, one.look, one.name) for one in series if one.legend]
    return Plot(key, title, svg, _hover(frame, series), legend if len(legend) >= legend_from else [], note)


def _grid(frame: Frame) -> Markup:
    parts = []
    for tick in frame.y.ticks(5):
        y = frame.up(tick)
        parts.append(element("line", class_="rule", x1=LEFT, x2=frame.right, y1=y, y2=y))
        parts.append(
            element("text", frame.y.text(tick), class_="tick", x=LEFT - 8, y=y, dy="0.35em", text_anchor="end")
        )
    for tick in frame.x.ticks(6):
        x = frame.across(tick)
        parts.append(element("line", class_="axis", x1=x, x2=x, y1=frame.bottom, y2=frame.bottom + 4))
        parts.append(element("text", frame.x.text(tick), class_="tick", x=x, y=frame.bottom + 18, text_anchor="middle"))
    parts.append(element("line", class_="axis", x1=LEFT, x2=frame.right, y1=frame.bottom, y2=frame.bottom))
    parts.append(element("text", frame.x.name, class_="name", x=frame.right, y=frame.height - 5, text_anchor="end"))
    return element("g", join(parts), aria_hidden="true")


def _mark(frame: Frame, mark: Mark) -> Markup:
    if mark.kind == "diagonal":
        low, high = max(frame.x.low, frame.y.low), min(frame.x.high, frame.y.high)
        ends = (frame.across(low), frame.across(high), frame.up(low), frame.up(high))
    elif mark.kind == "x":
        ends = (frame.across(mark.at), frame.across(mark.at), TOP, frame.bottom)
    else:
        ends = (LEFT, frame.right, frame.up(mark.at), frame.up(mark.at))
    return element("line", class_="mark", x1=ends[0], x2=ends[1], y1=ends[2], y2=ends[3])


def _mark_text(frame: Frame, mark: Mark) -> Markup:
    x = frame.across(mark.at) if mark.kind == "x" else frame.right
    left = x > (LEFT + frame.right) / 2
    y = (frame.bottom - 8 if mark.low else TOP + 10) if mark.kind == "x" else frame.up(mark.at) - 6
    anchor = {"text_anchor": "end", "x": x - 6} if left else {"text_anchor": "start", "x": x + 6}
    return element("text", mark.text, class_="said", y=y, **anchor)


def _band(frame: Frame, one: Series) -> Markup:
    if one.low is None or one.high is None:
        return Markup("")
    upper, lower = frame.runs(one.x, one.high), frame.runs(one.x, one.low)
    outlines = [path_of(a + b[::-1]) + "Z" for a, b in zip(upper, lower, strict=False)]
    return element("path", class_=f"band {one.colour}", d="".join(outlines))


def _shape(frame: Frame, one: Series) -> Markup:
    runs = frame.runs(one.x, one.y)
    look, colour = f"{one.look} {one.colour}", one.colour
    if one.look.startswith("dots"):
        return _dots(look, [pixel for run in runs for pixel in run])
    marked = [p for run in runs for p in run if len(run) == 1 or one.look.endswith("marked")]
    points = [element("circle", class_=f"point {colour}", cx=x, cy=y, r=3.2) for x, y in marked]
    return element("path", class_=look, d="".join(map(path_of, runs)), fill="none") + join(points)


def _dots(look: str, pixels: Points) -> Markup:
    """Dots as lines of no length with round ends, in layers, so that many in one place look darker."""
    layers = [pixels[i::DOT_LAYERS] for i in range(DOT_LAYERS)]
    return join(
        [element("path", class_=look, d="".join(f"M{x:.1f} {y:.1f}h0" for x, y in layer)) for layer in layers if layer]
    )


def _bars(frame: Frame, one: Series) -> Markup:
    """Bars of a histogram. x: the left edges; the last bar is as wide as the one before."""
    edges = np.append(one.x, 2 * one.x[-1] - one.x[-2]) if len(one.x) > 1 else np.array([frame.x.low, frame.x.high])
    parts = []
    for left, right, y in zip(edges[:-1].tolist(), edges[1:].tolist(), one.y.tolist(), strict=True):
        x, width, top = frame.across(left), frame.across(right) - frame.across(left), frame.up(y)
        if y > frame.y.low:
            parts.append(
                element(
                    "rect",
                    class_=f"bar {one.colour}",
                    x=x + 0.5,
                    y=top,
                    width=max(width - 1, 0.8),
                    height=frame.bottom - top,
                )
            )
    return join(parts)


def _hover(frame: Frame, series: list[Series]) -> dict[str, Any]:
    """What the script needs to find the point under the pointer: the frame, and the points in data units."""
    lines = [
        {"name": one.name, "colour": one.colour, "points": _points(frame, one)}
        for one in series
        if one.hover and len(one.x)
    ]
    near = any(one.look.startswith("dots") for one in series)
    return {
        "box": [LEFT, TOP, frame.right, frame.bottom],
        "x": frame.x.name,
        "y": frame.y.name,
        "near": near,
        "lines": lines,
    }


def _points(frame: Frame, one: Series) -> list[list[float | str]]:
    """[pixel x, pixel y, text of x, text of y] for every point that is drawn."""
    middle = (one.x[1] - one.x[0]) / 2 if one.look == "bars" and len(one.x) > 1 else 0.0
    found: list[list[float | str]] = []
    for i, (a, b) in enumerate(zip(one.x.tolist(), one.y.tolist(), strict=True)):
        if frame.x.holds(a) and frame.y.holds(b):
            text = one.texts[i] if one.texts else _precise(frame.y, b)
            found.append([round(frame.across(a + middle), 1), round(frame.up(b), 1), _precise(frame.x, a), text])
    return found


def _precise(axis: Axis, value: float) -> str:
    """A number under the pointer: with more digits than at a tick."""
    return f"{100 * value:.4g}\u00a0%" if axis.written == "share" else axis.text(value)


def thinned(x: Floats, y: Floats, most: int = MOST_POINTS) -> tuple[Floats, Floats, Floats, Floats]:
    """At most `most` points: the middle value of each group of neighbours, its smallest and its largest.

    Returns x, middle, low, high. A group with nothing finite stays a gap.
    """
    if len(x) <= most:
        return x, y, y, y
    groups = np.array_split(np.arange(len(x)), most)
    middle, low, high = np.full((3, most), np.nan)
    for i, group in enumerate(groups):
        values = y[group][np.isfinite(y[group])]
        if len(values):
            middle[i], low[i], high[i] = np.median(values), values.min(), values.max()
    return np.array([x[group[0]] for group in groups]), middle, low, high
