"""A trace as a page: one card an operation, forward on the left, backward on the right."""

import math
import re
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup, escape
from torch import Tensor

from glia.report.sheet import environment, policy, source
from glia.report.words import minus
from glia.tracing import diagram, worked
from glia.tracing.numbers import Grid, grids, number, summary
from glia.tracing.rows import Row, Trace, Weight
from glia.tracing.terminal import name_of, through_sums

_STEPS = 7  # shades of a number's cell
_WIDE = 5  # columns from which on numbers are shorter and closer
_SYMBOLS = re.compile(r"(?<![A-Za-z0-9#&])([zanhwbgs])(\d+[a-z]?)(?![0-9])")
_POWERS = re.compile(r"\^(T|−?(?:<i>.</i><sub>\w+</sub>|[\w.]+))")


def render(trace: Trace) -> str:
    """The page as HTML. It loads nothing; everything that came from the network is escaped."""
    pages = environment("glia.tracing")
    style = source(pages, "page.css", "trace.css")  # the report's, with a few lines of our own after it
    return pages.get_template("trace.html.jinja").render(**_view(trace), style=style, policy=policy(style))


def framed(trace: Trace) -> str:
    """For a notebook: the page in a frame, so that neither's style touches the other."""
    height = min(340 + 230 * len(trace.rows), 820)
    style = f"width:100%;height:{height}px;border:0;border-radius:12px"
    return f'<iframe title="trace" style="{style}" srcdoc="{escape(render(trace))}"></iframe>'


def _view(trace: Trace) -> dict[str, Any]:
    parameters = sum(weight.value.numel() for weight in trace.weights())
    return {
        "title": trace.title,
        "parameters": f"{parameters:,}",
        "operations": len(trace.rows),
        "output": _entry(trace.output.symbol, trace.output.value),
        "x": _entry("x", trace.x),
        "rows": [_row(trace, row) for row in trace.rows],
        "loss": _loss(trace),
        "start": [_entry("dL/dx", trace.gradient, trace.back)] if trace.gradient is not None else [],
        "lr": number(trace.lr) if trace.lr is not None else "",
        "updates": list(_updates(trace)),
        "diagram": diagram.draw(trace),
    }


def _row(trace: Trace, row: Row) -> dict[str, Any]:
    name, kind = name_of(row)
    user = next((one for one in trace.rows if one.given and one.given[0].symbol == row.out.symbol), None)
    forward = [_entry(weight.symbol, weight.value) for weight in row.weights]
    forward.append(_entry(row.out.symbol, row.out.value, row.formula.partition(" = ")[2], worked.forward(row)))
    backward = []
    if row.gradient is not None:
        backward.append(_entry(f"dL/d{row.out.symbol}", row.gradient, row.back, through_sums(row, user)))
    backward += [_gradient(row, weight) for weight in row.weights if weight.gradient is not None]
    return {"name": name, "kind": kind, "part": row.part, "forward": forward, "backward": backward}


def _gradient(row: Row, weight: Weight) -> dict[str, Any]:
    sums = worked.weight(row, weight)
    return _entry(f"dL/d{weight.symbol}", weight.gradient, weight.back, [sums] if sums else [])


def _loss(trace: Trace) -> dict[str, Any] | None:
    loss = trace.loss
    if loss is None or trace.y is None:
        return None
    made = f"{loss.made}({loss.of})" if loss.made else loss.of
    formula = loss.formula.removeprefix("L = ") or f"{loss.name}(output, y)"
    sums = worked.loss(trace)
    return {
        "name": loss.name.replace("_", " "),
        "value": minus(number(loss.value)),
        "entries": [_entry("ŷ", loss.prediction, made, worked.shares(loss, trace.output.value)), _entry("y", trace.y)],
        "formula": written(formula),
        "sums": written(sums),
    }


def _updates(trace: Trace) -> Iterator[dict[str, Any]]:
    for weight in trace.weights():
        if weight.new is not None and trace.lr is not None:
            sums = worked.update(weight, trace.lr)
            old, new = _entry(weight.symbol, weight.value), _entry(weight.symbol, weight.new)
            yield {"symbol": old["symbol"], "old": old, "new": new, "sums": written(sums)}


def _entry(symbol: str, values: Tensor | None, formula: str = "", sums: list[str] | None = None) -> dict[str, Any]:
    """A symbol with its numbers: cells with shades of what is small, a line of words for what is larger."""
    found = grids(values) if values is not None else None
    entry: dict[str, Any] = {"symbol": written(symbol), "formula": written(formula), "grids": [], "words": ""}
    entry["sums"] = [written(line) for line in sums or []]
    if found is not None:
        most = max(abs(value) for grid in found for row in grid for value in row)
        columns = sum(len(grid[0]) for grid in found)
        entry["tight"] = columns > _WIDE
        entry["grids"] = [_cells(grid, most, 3 if columns > _WIDE else 4) for grid in found]
    elif values is not None:
        entry["words"] = minus("; ".join(summary(values)))
    return entry


def _cells(grid: Grid, most: float, digits: int) -> list[list[dict[str, str]]]:
    """Each number's text, and its shade by its share of the largest beside it."""
    return [[{"text": minus(number(value, digits)), "shade": _shade(value, most)} for value in row] for row in grid]


def _shade(value: float, most: float) -> str:
    if not math.isfinite(value) or not math.isfinite(most) or value == 0:
        return "h0"
    step = min(_STEPS, max(1, round(abs(value) / most * _STEPS)))
    return f"h{step} {'right' if value > 0 else 'wrong'}"


def written(formula: str) -> Markup:
    """Symbols with their numbers below the line, powers above it."""
    out = str(escape(formula)).replace(" * ", " · ").replace("*", "·").replace("&#39;", "′").replace("dL/d", "∂L/∂")
    return Markup(_POWERS.sub(r"<sup>\1</sup>", _SYMBOLS.sub(r"<i>\1</i><sub>\2</sub>", minus(out))))
