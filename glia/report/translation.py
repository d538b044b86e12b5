"""The figures of translations: how good they are by length, and where the network looked while it wrote."""

from typing import Any

import numpy as np

from glia.report.plot import Frame, Plot, Series, draw
from glia.report.read import Json, names_of, number, rows_of
from glia.report.svg import Axis, fitted
from glia.report.words import clip, percent

WIDE = {"width": 520.0, "height": 320.0}
MOST_MAPS = 4
SMALL = 8  # places of a text, from which its cells are small


def translation_plots(curves: Json, part: str) -> list[Plot]:
    """All figures that the curves of one part give."""
    fifths = [
        (tokens, chrf)
        for item in rows_of(curves.get("lengths"))
        if (tokens := number(item.get("tokens"))) is not None and (chrf := number(item.get("chrf"))) is not None
    ]
    if len(fifths) < 2 or fifths[0][0] >= fifths[-1][0]:
        return []
    x, y = (np.array(side, dtype=np.float64) for side in zip(*fifths, strict=True))
    frame = Frame(fitted("tokens of the text", x), Axis("chrF", 0.0, 100.0, written="whole"), **WIDE)
    note = "Mean chrF of each fifth of the texts, the shortest first."
    plot = draw(
        f"lengths-{part}", "Translations by length", [Series("chrF", x, y, "s1", "line marked")], frame, note=note
    )
    return [plot] if plot is not None else []


def attention_maps(curves: Json) -> list[dict[str, Any]]:
    """For a few texts a table: a row for each token that was written, a column for each that was read."""
    found = []
    for item in rows_of(curves.get("attention"))[:MOST_MAPS]:
        source, said, weights = names_of(item.get("source")), names_of(item.get("said")), item.get("weights")
        if not isinstance(weights, list) or len(weights) != len(said) or not source:
            continue
        rows = []
        for token, line in zip(said, weights, strict=True):
            shares = [number(one) or 0.0 for one in line] if isinstance(line, list) else []
            if len(shares) < len(source):
                break
            cells = [
                {"heat": _heat(share), "count": "", "right": True, "tip": f"{token} looks at {name}: {percent(share)}"}
                for name, share in zip(source, shares)
            ]
            rows.append({"name": clip(token, 16), "cells": cells})
        if len(rows) == len(said):
            found.append({"names": [clip(name, 16) for name in source], "rows": rows, "small": len(source) > SMALL})
    return found


def _heat(share: float) -> int:
    """0 for none, 1 to 10 for a share: by its root, so that little is seen beside much."""
    return min(10, round(10 * max(share, 0.0) ** 0.5))
