"""Networks that answer for a whole text."""

from math import inf

from glia.catalog.entry import Entry

ENTRIES = (
    Entry(
        "bag",
        "glia.models.bag:bag",
        "a linear model over vectors of words and pairs of words: very many texts",
        "Joulin et al. 2016, arXiv 1607.01759 (fastText)",
        {"inputs": ("text",), "rows": (0, inf)},
    ),
    Entry(
        "bag-gru",
        "glia.models.bag:bag_gru",
        "naive Bayes, a bag of words and a two-way GRU that answer together; the default for texts",
        "Wang, Manning 2012; Joulin et al. 2016, arXiv 1607.01759; Cho et al. 2014, arXiv 1406.1078",
        {"inputs": ("text",), "rows": (0, inf)},
    ),
)

ALIASES: dict[str, str] = {"fasttext": "bag"}
