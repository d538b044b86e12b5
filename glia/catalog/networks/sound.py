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
    Entry(
        "speech",
        "glia.models.speech:speech",
        "speech to text: convolutions and recurrent layers both ways, trained by CTC",
        "after Amodei et al. 2015, arXiv 1512.02595",
        {"inputs": ("sound",), "rows": (0, inf), "family": "speech"},
    ),
)

ALIASES: dict[str, str] = {}
