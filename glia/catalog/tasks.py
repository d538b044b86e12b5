"""Tasks: kinds of answer.

Facts: loss, metric (names in the tables; metric is the one people read first); output (what turns the network's
numbers into the answer); wants (what is told, in words, where that is no column).
"""

from glia.catalog.entry import Entry

ENTRIES = (
    Entry(
        "classify",
        "glia.data.task:Task",
        "one of several classes",
        None,
        {"loss": "cross_entropy", "metric": "accuracy", "output": "softmax"},
    ),
    Entry(
        "multilabel",
        "glia.data.task:Task",
        "yes or no for each of several labels",
        None,
        {"loss": "binary_cross_entropy", "metric": "accuracy", "output": "sigmoid"},
    ),
    Entry(
        "regress",
        "glia.data.task:Task",
        "one or several numbers",
        None,
        {"loss": "mse", "metric": "rmse", "output": "linear"},
    ),
    Entry(
        "forecast",
        "glia.data.task:Task",
        "the next steps of one or several series",
        None,
        {"loss": "mse", "metric": "mae", "output": "linear", "wants": "the next steps of a series"},
    ),
    Entry(
        "language",
        "glia.data.task:Task",
        "the next token, at every place of a text",
        None,
        {"loss": "cross_entropy", "metric": "bits", "output": "softmax", "wants": "the next token of a text"},
    ),
    Entry(
        "translate",
        "glia.data.task:Task",
        "a text for each text: a translation",
        None,
        {"loss": "cross_entropy", "metric": "bleu", "output": "softmax", "wants": "the translation of a text"},
    ),
    Entry(
        "transcribe",
        "glia.data.task:Task",
        "the text that is said in a sound",
        None,
        {"loss": "ctc", "metric": "cer", "output": "softmax", "wants": "the text that is said"},
    ),
    Entry(
        "own",
        "glia.data.task:Task",
        "whatever a Step of your own says",
        None,
        {"loss": "", "metric": "loss", "output": "linear", "wants": "what a Step of your own says"},
    ),
)

ALIASES = {
    "classification": "classify",
    "classifier": "classify",
    "multi_label": "multilabel",
    "regression": "regress",
    "regressor": "regress",
    "translation": "translate",
}
