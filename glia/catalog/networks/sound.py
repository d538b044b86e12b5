"""Networks for sounds."""

from math import inf

from glia.catalog.entry import Entry

ENTRIES = (
    Entry(
        "soundnet",
        "glia.models.sound:soundnet",
        "convolutions over a log-mel spectrogram: words, noises",
        "after Page 2018, How to train your ResNet",
        {"inputs": ("sound",), "rows": (0, inf), "family": "soundnet"},
    ),
)

ALIASES: dict[str, str] = {}
