"""Networks for clips: frames in their order."""

from math import inf
from typing import Any

from glia.catalog.entry import Entry

_CLIPS: dict[str, Any] = {"inputs": ("video",), "rows": (0, inf), "family": "clips"}

ENTRIES = (
    Entry(
        "tsm",
        "glia.models.video:clips",
        "convolutions over each frame, with channels shifted in time: sees movement at the cost of pictures",
        "Lin, Gan, Han 2019, arXiv 1811.08383",
        {**_CLIPS, "size": {"time": "shift"}},
    ),
    Entry(
        "lrcn",
        "glia.models.video:clips",
        "convolutions over each frame, then a GRU over the frames",
        "Donahue et al. 2015, arXiv 1411.4389",
        {**_CLIPS, "size": {"time": "gru"}},
    ),
)

ALIASES: dict[str, str] = {}
