"""Tasks: kinds of answer.

Facts: loss, metric (names in the tables; metric is the one people read first); output (what turns the network's
numbers into the answer).
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
)

ALIASES = {
    "classification": "classify",
    "classifier": "classify",
    "multi_label": "multilabel",
    "regression": "regress",
    "regressor": "regress",
}
