"""Losses of (outputs, targets), all from logits.

Facts: tasks (kinds of Task that it fits); logits (whether the outputs must be raw: no softmax or sigmoid in the
network); targets (what they are); dtype (of the targets); options (what `glia.nn.losses.build` takes besides).
"""

from glia.catalog.entry import Entry

_NUMBERS = {"tasks": ("regress",), "logits": False, "targets": "numbers (N, T)", "dtype": ("float32",)}

ENTRIES = (
    Entry(
        "cross_entropy",
        "glia.nn.losses:cross_entropy",
        "one class of many: minus the log of the true class's share",
        "Bridle 1990; label smoothing: Szegedy et al. 2016, arXiv 1512.00567, section 7",
        {
            "tasks": ("classify",),
            "logits": True,
            "targets": "class indices (N,), or shares of classes (N, C)",
            "dtype": ("int64", "float32"),
            "options": ("weight", "label_smoothing"),
        },
    ),
    Entry(
        "binary_cross_entropy",
        "glia.nn.losses:binary_cross_entropy",
        "yes or no for each label, on its own",
        "Cox 1958",
        {
            "tasks": ("multilabel",),
            "logits": True,
            "targets": "0 or 1, or shares (N, L)",
            "dtype": ("float32",),
            "options": ("pos_weight", "label_smoothing"),
        },
    ),
    Entry(
        "focal",
        "glia.nn.losses:focal",
        "cross-entropy that looks away from rows already right; for rare classes",
        "Lin et al. 2017, arXiv 1708.02002, equations 4 and 5",
        {
            "tasks": ("classify", "multilabel"),
            "logits": True,
            "targets": "class indices (N,), or 0 and 1 (N, L)",
            "dtype": ("int64", "float32"),
            "options": ("weight", "gamma", "alpha"),
        },
    ),
    Entry(
        "mse",
        "glia.nn.losses:mse",
        "mean squared error: the mean of the target",
        "Gauss 1809",
        {**_NUMBERS, "options": ()},
    ),
    Entry(
        "half_mse",
        "glia.nn.losses:half_mse",
        "half the mean squared error, whose gradient is the plain error",
        None,
        {**_NUMBERS, "options": ()},
    ),
    Entry(
        "mae",
        "glia.nn.losses:mae",
        "mean absolute error: the median of the target; outliers weigh less",
        None,
        {**_NUMBERS, "options": ()},
    ),
    Entry(
        "huber",
        "glia.nn.losses:huber",
        "squared near 0, absolute beyond delta",
        "Huber 1964",
        {**_NUMBERS, "options": ("delta",)},
    ),
)

ALIASES = {
    "ce": "cross_entropy",
    "cross_entropy_loss": "cross_entropy",
    "log_loss": "cross_entropy",
    "nll": "cross_entropy",
    "softmax_cross_entropy": "cross_entropy",
    "bce": "binary_cross_entropy",
    "bce_with_logits": "binary_cross_entropy",
    "bce_with_logits_loss": "binary_cross_entropy",
    "focal_loss": "focal",
    "mse_loss": "mse",
    "l2": "mse",
    "mean_squared_error": "mse",
    "l1": "mae",
    "l1_loss": "mae",
    "mean_absolute_error": "mae",
    "huber_loss": "huber",
    "smooth_l1": "huber",
}
