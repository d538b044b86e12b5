"""Data: every source that a program can be drawn from, with what a network and an author need to know of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from exam import pictures, tables, texts

Arrays = tuple[Any, Any]


@dataclass(frozen=True)
class Data:
    """make(rows, seed, noise) gives x and y. task: classes, two, number, next or rebuild. form: table, picture, ...

    prepare: how a sound author would prepare the inputs. noisy: the noise of a hard draw, low and high.
    bent: a straight line cannot do it.
    """

    make: Callable[[int, int, float], Arrays]
    task: str
    form: str
    shape: tuple[int, ...]
    outputs: int
    prepare: str
    rows: int
    noisy: tuple[float, float]
    bent: bool = False
    vocabulary: int = 0

    @property
    def name(self) -> str:
        return self.make.__name__


SOURCES = (
    Data(tables.cancer, "two", "table", (30,), 1, "standard", 569, (0.4, 0.7)),
    Data(tables.wine, "classes", "table", (13,), 3, "standard", 178, (0.45, 0.7)),
    Data(tables.iris, "classes", "table", (4,), 3, "standard", 150, (0.7, 1.3)),
    Data(tables.diabetes, "number", "table", (10,), 1, "standard", 442, (0.0, 0.3)),
    Data(tables.clusters, "classes", "table", (20,), 4, "standard", 1000, (0.4, 0.6)),
    Data(tables.two_groups, "two", "table", (12,), 1, "standard", 800, (0.4, 0.65)),
    Data(tables.moons, "two", "table", (2,), 1, "none", 600, (0.3, 0.6), bent=True),
    Data(tables.rings, "two", "table", (2,), 1, "none", 600, (0.6, 1.0), bent=True),
    Data(tables.corners, "two", "table", (2,), 1, "none", 600, (0.4, 0.65), bent=True),
    Data(tables.spirals, "classes", "table", (2,), 3, "none", 900, (0.4, 0.7), bent=True),
    Data(tables.plane, "number", "table", (10,), 1, "standard", 600, (0.3, 0.6)),
    Data(tables.friedman, "number", "table", (8,), 1, "standard", 800, (0.4, 0.8)),
    Data(tables.houses, "number", "table", (6,), 1, "standard", 800, (0.2, 0.4)),
    Data(tables.ripple, "number", "table", (1,), 1, "standard", 500, (0.3, 0.5), bent=True),
    Data(tables.signals, "two", "table", (60,), 1, "none", 800, (0.8, 1.6)),
    Data(tables.machines, "two", "rare", (8,), 1, "none", 2000, (0.1, 0.3)),
    Data(pictures.digits, "classes", "picture", (1, 8, 8), 10, "pixels", 1200, (0.6, 1.0)),
    Data(pictures.outlines, "classes", "picture", (1, 12, 12), 3, "pixels", 900, (0.4, 0.6)),
    Data(pictures.stripes, "classes", "picture", (1, 12, 12), 4, "pixels", 800, (0.7, 1.0)),
    Data(pictures.bars, "two", "picture", (3, 10, 10), 1, "pixels", 800, (0.4, 0.6)),
    Data(pictures.blob_height, "number", "picture", (1, 12, 12), 1, "pixels", 800, (0.6, 0.9)),
    Data(pictures.vibration, "classes", "series", (24, 2), 3, "standard", 800, (0.8, 1.3)),
    Data(pictures.pulse_trains, "two", "series", (20, 1), 1, "none", 900, (0.6, 0.9), bent=True),
    Data(pictures.next_reading, "number", "series", (16, 1), 1, "standard", 800, (0.6, 1.0)),
    Data(pictures.area_under, "number", "series", (12, 2), 1, "none", 900, (0.7, 1.1), bent=True),
    Data(texts.keyword, "classes", "tokens", (14,), 4, "none", 1000, (0.5, 0.7), vocabulary=30),
    Data(texts.brackets, "classes", "tokens", (10,), 3, "none", 1000, (0.45, 0.65), vocabulary=4),
    Data(texts.opinions, "two", "tokens", (16,), 1, "none", 1500, (0.4, 0.6), vocabulary=60),
    Data(texts.word_order, "two", "ordered", (12,), 1, "none", 1000, (0.45, 0.6), vocabulary=20),
    Data(texts.word_counts, "classes", "table", (80,), 4, "none", 900, (0.75, 0.9)),
    Data(texts.next_character, "next", "letters", (12,), 16, "none", 800, (0.25, 0.4), vocabulary=16),
    Data(pictures.outlines, "rebuild", "picture", (1, 12, 12), 144, "pixels", 800, (0.0, 0.1)),
    Data(pictures.digits, "rebuild", "picture", (1, 8, 8), 64, "pixels", 1200, (0.0, 0.05)),
)
