"""Networks for tables, and those for any kind of input."""

from math import inf

from glia.catalog.entry import Entry

_TABLES = "Gorishniy et al. 2025, arXiv 2410.24210 (TabM); embedding: Gorishniy et al. 2022, arXiv 2203.05556"

_PLAIN = {
    "epochs": 100,
    "batch_size": 256,
    "optimizer": "adamw",
    "lr": 2e-3,
    "schedule": "constant",
    "warmup": 0.05,
    "weight_decay": 3e-4,
    "clip": 1.0,
    "ema": 0.999,
    "patience": 8,
}

# Rosenblatt's rule to the letter: one row at a time, and nothing that smooths. Any rate gives the same answers.
_RULE = {
    "epochs": 20,
    "batch_size": 1,
    "optimizer": "sgd",
    "lr": 0.1,
    "schedule": "constant",
    "warmup": 0.0,
    "weight_decay": 0.0,
    "clip": 0.0,
    "ema": 0.0,
    "patience": 5,
}

ENTRIES = (
    Entry(
        "mlp",
        "glia.models.mlp:mlp",
        "fully connected layers: the plain network for any kind of input",
        "Rumelhart et al. 1986, Nature 323",
        {"inputs": ("table", "image", "tensor"), "rows": (0, inf), "train": _PLAIN | {"patience": 10}},
    ),
    Entry(
        "linear",
        "glia.models.mlp:linear",
        "no hidden layer: linear, logistic or softmax regression",
        "Cox 1958",
        {"inputs": ("table", "image", "tensor"), "rows": (0, inf), "train": _PLAIN | {"lr": 1e-2, "patience": 10}},
    ),
    Entry(
        "perceptron",
        "glia.models.perceptron:perceptron",
        "threshold units, trained by Rosenblatt's rule: says yes or no, never how likely",
        "Rosenblatt 1958, Psychological Review 65",
        {"inputs": ("table", "image", "tensor"), "rows": (0, inf), "train": _RULE},
    ),
    Entry(
        "tabm",
        "glia.models.tabular:tabm",
        "an ensemble with shared weights: the default for tables of 1,000 rows and more",
        _TABLES,
        {"inputs": ("table",), "rows": (1000, inf)},
    ),
    Entry(
        "folds",
        "glia.models.tabular:folds",
        "an ensemble whose members each leave out a fold: the default for small tables",
        _TABLES,
        {"inputs": ("table",), "rows": (20, 1000)},
    ),
)

ALIASES = {"logistic": "linear", "ridge": "linear", "packed_folds": "folds"}
