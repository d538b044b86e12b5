"""The figures and tables of how good the answers are: confusion, ROC, precision-recall, calibration, residuals."""

from typing import Any

import numpy as np

from glia.report.forecast import forecast_plots
from glia.report.language import language_plots
from glia.report.plot import Frame, Mark, Plot, Series, draw
from glia.report.read import Floats, Json, mapping_of, number, rows_of
from glia.report.svg import Axis, fitted
from glia.report.translation import translation_plots
from glia.report.words import clip, count, percent

MOST_CLASSES = 24  # a larger confusion matrix is told by its largest errors alone
MOST_MISTAKES = 8
MOST_ROWS = 8  # of the class table; the rest is folded away
MOST_LINES = 8  # colours that can be told apart
SQUARE = {"width": 380.0, "height": 352.0}
WIDE = {"width": 520.0, "height": 380.0}


def evaluation_plots(curves: Json, part: str) -> list[Plot]:
    """All figures that the curves of one part give."""
    if curves.get("kind") == "forecast":
        return forecast_plots(curves, part)
    if curves.get("kind") == "language":
        return language_plots(curves, part)
    if curves.get("kind") == "translate":
        return translation_plots(curves, part)
    plots = [_areas(curves, "roc", part), _areas(curves, "pr", part), _calibration(curves, part)]
    for i, target in enumerate(rows_of(curves.get("targets"))):
        plots += [_against_truth(target, f"{part}-{i}"), _residuals(target, f"{part}-{i}")]
    return [plot for plot in plots if plot is not None]


def _floats(value: Any) -> Floats:
    """A list of numbers as an array; NaN where one is missing."""
    items = value if isinstance(value, list) else []
    found = [number(item) for item in items]
    return np.array([np.nan if item is None else item for item in found], dtype=np.float64)


def _areas(curves: Json, kind: str, part: str) -> Plot | None:
    """ROC or precision-recall curves, the classes with most rows first."""
    lines = [line for line in rows_of(curves.get(kind)) if line.get("x")]
    if not lines:
        return None
    series = []
    for i, line in enumerate(lines[:MOST_LINES]):
        x, y = _floats(line.get("x")), _floats(line.get("y"))
        name = f"{clip(line.get('name', ''), 24)}: {number(line.get('area')) or 0.0:.3f}"
        look = "line" if len(lines) <= 3 else "thin"
        series.append(Series(name, x, y, f"s{i + 1}", look))
    across, up = ("false positive share", "true positive share") if kind == "roc" else ("recall", "precision")
    frame = Frame(Axis(across, 0.0, 1.0, written="share"), Axis(up, 0.0, 1.02, written="share"), **SQUARE)
    title = "ROC curve" if kind == "roc" else "Precision and recall"
    return draw(
        f"{kind}-{part}", title, series, frame, marks=_chance(kind, lines), note=_area_note(kind, lines), legend_from=1
    )


def _chance(kind: str, lines: list[Json]) -> list[Mark]:
    """What guessing gives: the diagonal of a ROC curve, the share of the class for precision."""
    if kind == "roc":
        return [Mark("diagonal")]
    base = number(lines[0].get("base")) if len(lines) == 1 else None
    return [Mark("y", base, f"guessing: {percent(base)}")] if base is not None else []


def _area_note(kind: str, lines: list[Json]) -> str:
    what = "Dashed: guessing." if kind == "roc" else ""
    each = "Area of each class against the rest." if len(lines) > 1 else ""
    more = f"The {MOST_LINES} with most rows." if len(lines) > MOST_LINES else ""
    return " ".join(word for word in (what, each, more) if word)


def _calibration(curves: Json, part: str) -> Plot | None:
    """How often the network is right, against how sure it was; bars say how many rows lie where."""
    found = mapping_of(curves.get("calibration"))
    bins = [item for item in rows_of(found.get("bins")) if (number(item.get("count")) or 0) > 0]
    if not bins:
        return None
    every = rows_of(found.get("bins"))
    edges = _floats([item.get("low") for item in every])
    shares = _floats([item.get("count") for item in every])
    shares = shares / shares.sum()
    sure, right = (_floats([item.get(key) for item in bins]) for key in ("confidence", "accuracy"))
    counts = [number(item.get("count")) or 0 for item in bins]
    texts = [f"{percent(share)} of {count(rows, 'row')}" for share, rows in zip(right.tolist(), counts, strict=True)]
    low = 0.0 if float(sure.min()) < 0.45 or float(right.min()) < 0.45 else 0.4
    keep = edges >= low - 1e-9
    frame = Frame(
        Axis("stated confidence", low, 1.0, written="share"), Axis("right", low, 1.02, written="share"), **SQUARE
    )
    lift = low + shares * (1.02 - low) * 0.9  # bars stand on the axis and are read under the pointer, not on a scale
    series = [
        Series("share of rows", edges[keep], lift[keep], "muted", "bars", hover=False),
        Series("right answers", sure, right, "s1", "line marked", texts=texts),
    ]
    off = number(found.get("ece"))
    error = f"Expected calibration error {off:.3f}. " if off is not None else ""
    note = f"{error}On the dashed line, 80 % sure means right 80 % of the time. Bars: share of rows."
    return draw(f"calibration-{part}", "Calibration", series, frame, marks=[Mark("diagonal")], note=note)


def _against_truth(target: Json, key: str) -> Plot | None:
    """Predicted against true values."""
    true, said = _floats(target.get("target")), _floats(target.get("predicted"))
    if len(true) == 0 or len(true) != len(said):
        return None
    both = np.concatenate([true, said])
    name = clip(target.get("name", "target"), 30)
    frame = Frame(fitted(f"true {name}", both), fitted("predicted", both), **WIDE)
    dots = Series(name, true, said, "s1", "dots" if len(true) <= 600 else "dots faint")
    note = f"{count(len(true), 'row')}; on the dashed line the answer is exact."
    return draw(f"truth-{key}", f"Predicted and true {name}", [dots], frame, marks=[Mark("diagonal")], note=note)


def _residuals(target: Json, key: str) -> Plot | None:
    """How the errors are spread: predicted minus true."""
    histogram = mapping_of(target.get("histogram"))
    edges, counts = _floats(histogram.get("edges")), _floats(histogram.get("counts"))
    if len(counts) == 0 or len(edges) != len(counts) + 1 or not edges[-1] > edges[0]:
        return None
    frame = Frame(
        Axis("predicted − true", float(edges[0]), float(edges[-1])),
        Axis("rows", 0.0, float(counts.max()) * 1.06 or 1.0, written="whole"),
        **WIDE,
    )
    marks = [Mark("x", 0.0)] if edges[0] < 0 < edges[-1] else []
    bars = Series("rows", edges[:-1], counts, "s1", "bars")
    name = clip(target.get("name", "target"), 30)
    return draw(
        f"residuals-{key}", f"Errors of {name}", [bars], frame, marks=marks, note="Left of zero: predicted too low."
    )


def confusion(curves: Json) -> dict[str, Any] | None:
    """The confusion matrix as rows of cells with a heat of 0 to 10 by their share of the true class."""
    names, table = curves.get("classes"), curves.get("confusion")
    if not isinstance(names, list) or not isinstance(table, list) or len(names) != len(table):
        return None
    counts = np.array(table, dtype=np.float64)
    if counts.shape != (len(names), len(names)):
        return None
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(totals, 1)[:, None]
    mistakes = [(counts[i, j], i, j) for i in range(len(names)) for j in range(len(names)) if i != j and counts[i, j]]
    mistakes.sort(key=lambda item: -item[0])
    return {
        "names": [str(name) for name in names],
        "small": len(names) > 8,
        "wide": len(names) > 8,
        "rows": _heat_rows([str(name) for name in names], counts, shares) if len(names) <= MOST_CLASSES else [],
        "mistakes": [
            {"true": str(names[i]), "said": str(names[j]), "count": int(n), "share": percent(shares[i, j])}
            for n, i, j in mistakes[:MOST_MISTAKES]
        ],
    }


def _heat_rows(names: list[str], counts: Floats, shares: Floats) -> list[dict[str, Any]]:
    rows = []
    for i, name in enumerate(names):
        cells = [
            {
                "count": f"{counts[i, j]:,.0f}",
                "heat": heat(float(shares[i, j])),
                "right": i == j,
                "tip": f"true {name}, predicted {names[j]}: {counts[i, j]:,.0f} ({percent(float(shares[i, j]))})",
            }
            for j in range(len(names))
        ]
        rows.append({"name": name, "cells": cells})
    return rows


def heat(share: float) -> int:
    """0 for none, 1 to 10 for a share: by its root, so that few are seen beside many."""
    return 0 if share <= 0 else max(1, round(10 * share**0.5))


def class_table(curves: Json) -> dict[str, Any] | None:
    """Precision, recall and F1 of each class or label; of many, the worst by F1 come first and the rest is folded."""
    items = rows_of(curves.get("per_class"))
    if not items:
        return None
    if len(items) <= MOST_ROWS:
        return {"title": "By class", "rows": [_class_row(item) for item in items], "folded": []}
    rows = [_class_row(item) for item in sorted(items, key=lambda item: number(item.get("f1")) or 0.0)]
    return {"title": "By class, the worst first", "rows": rows[:MOST_ROWS], "folded": rows[MOST_ROWS:]}


def _class_row(item: Json) -> dict[str, Any]:
    """Each share as text, with the length of its bar (0 to 100)."""
    shares = [number(item.get(key)) for key in ("precision", "recall", "f1")]
    cells = [
        {"text": "–" if value is None else percent(value), "length": round(100 * (value or 0))} for value in shares
    ]
    return {"name": str(item.get("name", "")), "cells": cells, "rows": f"{number(item.get('support')) or 0:,.0f}"}
