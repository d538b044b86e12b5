"""A small drawing of a series, for the rows that a network gets most wrong."""

from typing import Any

import numpy as np
from markupsafe import Markup

from glia.report.read import number
from glia.report.svg import Points, element, join, path_of

WIDTH, HEIGHT, MARGIN = 220.0, 90.0, 4.0
MOST_CHANNELS, MOST_POINTS = 8, 400


def sketch(value: Any, name: str) -> Markup | None:
    """Each channel (a list of numbers, null in gaps) as a line of its own colour; None for anything else."""
    lists = [one for one in value if isinstance(one, list)] if isinstance(value, list) else []
    channels = [[number(item) for item in one[:MOST_POINTS]] for one in lists[:MOST_CHANNELS]]
    every = np.array([item for one in channels for item in one if item is not None], dtype=np.float64)
    if not len(every):
        return None
    low, high = float(every.min()), float(every.max())
    room = high - low or 1.0
    lines = []
    for place, one in enumerate(channels):
        for run in _runs(one):
            across = (WIDTH - 2 * MARGIN) / max(1, len(one) - 1)
            points: Points = [
                (MARGIN + i * across, HEIGHT - MARGIN - (level - low) / room * (HEIGHT - 2 * MARGIN))
                for i, level in run
            ]
            lines.append(element("path", class_=f"s{place + 1}", d=path_of(points)))
    label = element("title", name)
    return element("svg", join([label, *lines]), class_="sketch", viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", role="img")


def _runs(values: list[float | None]) -> list[list[tuple[int, float]]]:
    """Stretches without a gap."""
    found: list[list[tuple[int, float]]] = [[]]
    for i, value in enumerate(values):
        if value is None:
            found.append([])
        else:
            found[-1].append((i, value))
    return [run for run in found if run]
