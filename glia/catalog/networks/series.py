"""Networks for whole series: a class or a value each. Recurrent ones stand in a table of their own."""

from math import inf

from glia.catalog.entry import Entry

_MODULE = "glia.models.convolved_series"
_ROWS = {"inputs": ("series", "tensor"), "rows": (0, inf)}
_PAPER = "Wang et al. 2017, arXiv 1611.06455"

ENTRIES = (
    Entry(
        "fcn",
        f"{_MODULE}:convolved_series",
        "three convolutions over time and a mean: a strong first network for series",
        _PAPER,
        {**_ROWS, "family": "convolved_series", "size": {"blocks": "fcn"}},
    ),
    Entry(
        "resnet1d",
        f"{_MODULE}:convolved_series",
        "nine convolutions over time in three residual blocks",
        _PAPER,
        {**_ROWS, "family": "convolved_series", "size": {"blocks": "resnet"}},
    ),
    Entry(
        "rocket",
        f"{_MODULE}:random_convolutions",
        "thousands of random convolutions over time, frozen, and a line on what they find: fast",
        "Dempster et al. 2020, arXiv 1910.13051",
        {**_ROWS, "family": "random_convolutions"},
    ),
)

ALIASES = {"resnet-1d": "resnet1d", "resnet_1d": "resnet1d"}
