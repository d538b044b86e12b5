"""Networks that forecast series."""

from math import inf

from glia.catalog.entry import Entry

_MODULE = "glia.models.forecast"
_ROWS = {"inputs": ("forecast",), "rows": (0, inf)}

ENTRIES = (
    Entry(
        "dlinear",
        f"{_MODULE}:linear_forecast",
        "one line for the trend and one for the rest of each series: hard to beat",
        "Zeng et al. 2023, arXiv 2205.13504",
        {**_ROWS, "family": "linear_forecast", "size": {"parts": "trend"}},
    ),
    Entry(
        "nlinear",
        f"{_MODULE}:linear_forecast",
        "one line on each series less its last value: for levels that move",
        "Zeng et al. 2023, arXiv 2205.13504",
        {**_ROWS, "family": "linear_forecast", "size": {"parts": "one", "scaling": "last"}},
    ),
    Entry(
        "patchtst",
        f"{_MODULE}:patch_forecast",
        "a Transformer over patches of each series",
        "Nie et al. 2023, arXiv 2211.14730",
        {**_ROWS, "family": "patch_forecast"},
    ),
    Entry(
        "tcn",
        f"{_MODULE}:tcn_forecast",
        "dilated causal convolutions over all series together",
        "Bai et al. 2018, arXiv 1803.01271",
        {**_ROWS, "family": "tcn_forecast"},
    ),
    Entry(
        "gru-forecast",
        f"{_MODULE}:recurrent_forecast",
        "gated recurrent units read all series together",
        "Cho et al. 2014, arXiv 1406.1078",
        {**_ROWS, "family": "recurrent_forecast", "size": {"cell": "gru"}},
    ),
    Entry(
        "lstm-forecast",
        f"{_MODULE}:recurrent_forecast",
        "long short-term memory reads all series together",
        "Hochreiter, Schmidhuber 1997",
        {**_ROWS, "family": "recurrent_forecast", "size": {"cell": "lstm"}},
    ),
)

ALIASES = {"d-linear": "dlinear", "n-linear": "nlinear", "patch-tst": "patchtst"}
