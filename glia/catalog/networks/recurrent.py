"""Recurrent networks, for series, texts and sounds."""

from math import inf

from glia.catalog.entry import Entry

_CELLS = (
    ("rnn", "Elman's network: short series and texts; forgets soon", "Elman 1990, Cognitive Science 14"),
    ("lstm", "long short-term memory: series and texts of some length", "Hochreiter, Schmidhuber 1997"),
    ("gru", "gated recurrent units: as an LSTM, with three gates instead of four", "Cho et al. 2014, arXiv 1406.1078"),
)

_INPUTS = ("text", "series", "sound", "tensor")

ENTRIES = (
    *(
        Entry(
            name,
            "glia.models.recurrent:recurrent",
            summary,
            paper,
            {"inputs": _INPUTS, "rows": (0, inf), "family": "recurrent", "size": {"cell": name}},
        )
        for name, summary, paper in _CELLS
    ),
    Entry(
        "seq2seq",
        "glia.models.seq2seq:seq2seq",
        "encoder and decoder with attention: a text in, another text out",
        "Bahdanau et al. 2015, arXiv 1409.0473",
        {"inputs": ("text", "pairs"), "rows": (0, inf), "family": "seq2seq", "answers": "texts"},
    ),
)

ALIASES: dict[str, str] = {"elman": "rnn"}
