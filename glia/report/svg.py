"""Scales and the few SVG shapes that the figures are drawn with. Colours are classes: a page has no inline style."""

import math
from dataclasses import dataclass

from markupsafe import Markup, escape

from glia.report.read import Floats
from glia.report.words import percent, short

Points = list[tuple[float, float]]


def element(tag: str, content: str | Markup = "", /, **attributes: object) -> Markup:
    """One SVG element; `class_` and `stroke_width` become class and stroke-width; everything is escaped."""
    spelled = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_value(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = escape(content)
    return Markup(f"<{tag}{spelled}>{inner}</{tag}>" if inner else f"<{tag}{spelled}/>")


def _value(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def join(parts: list[Markup]) -> Markup:
    return Markup("").join(parts)


@dataclass(frozen=True)
class Axis:
    """One direction of a plot: its name, its ends in data units, and how its numbers are written."""

    name: str
    low: float
    high: float
    log: bool = False
    written: str = "number"  # or "share" or "whole"

    def at(self, value: float) -> float:
        """Where `value` lies between the ends, 0 to 1."""
        if self.log:
            return (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        return (value - self.low) / (self.high - self.low)

    def holds(self, value: float) -> bool:
        return math.isfinite(value) and (value > 0 or not self.log)

    def text(self, value: float) -> str:
        if self.written == "share":
            return percent(value, 0 if self.high - self.low > 0.08 else 1).replace("\u00a0", "\u2009")
        return short(value)

    def ticks(self, about: int = 5) -> list[float]:
        if self.log:
            return _log_ticks(self.low, self.high, about)
        step = nice_step((self.high - self.low) / max(about, 1))
        if self.written == "whole":
            step = max(1.0, step)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def nice_step(step: float) -> float:
    """The smallest of 1, 2, 2.5, 5 or 10 times a power of ten that is not below `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= step * (1 - 1e-9))


def _log_ticks(low: float, high: float, about: int) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    powers = [10.0**i for i in range(first, last + 1)]
    if len(powers) >= 3:
        return powers[:: max(1, math.ceil(len(powers) / about))]
    return [m * 10.0**i for i in range(first - 1, last + 1) for m in (1, 2, 5) if low <= m * 10.0**i <= high]


def fitted(name: str, values: Floats, written: str = "number", log: bool = False, room: float = 0.06) -> Axis:
    """An axis that holds the finite `values` with a little room. A share never leaves 0 to 1 by much."""
    kept = values[[math.isfinite(value) and (value > 0 or not log) for value in values]]
    if len(kept) == 0:
        return Axis(name, 0.0, 1.0, False, written)
    low, high = float(kept.min()), float(kept.max())
    if log:
        spread = max((high / low) ** room, 1.05)
        return Axis(name, low / spread, high * spread, True, written)
    pad = (high - low) * room or abs(high) * 0.1 or 0.5
    floor = 0.0 if low >= 0 and low - pad < 0 else low - pad
    ceiling = min(high + pad, 1.0) if written == "share" and high <= 1 else high + pad
    return Axis(name, floor, ceiling, False, written)


def path_of(pixels: Points) -> str:
    """M x y L x y ...; pixels to a tenth."""
    return "".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(pixels))
