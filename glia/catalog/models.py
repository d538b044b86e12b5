"""Networks.

Facts: inputs (kinds of data that it takes); rows (fewest and most training rows that it is meant for); train, where the
settings do not depend on the rows: its own training settings, where a person sets none (see the train section of a
Recipe). Those of the others are worked out in `glia/models/choose_table.py` and `choose_image.py`.
"""

from math import inf

from glia.catalog.entry import Entry

_TABLES = "Gorishniy et al. 2025, arXiv 2410.24210 (TabM); embedding: Gorishniy et al. 2022, arXiv 2203.05556"
_RESNET = "He et al. 2016, arXiv 1512.03385, section 4.2"

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
    Entry(
        "lenet5",
        "glia.models.lenet:lenet5",
        "two convolutions and three dense layers: small grey images, quickly",
        "LeCun et al. 1998, Proc. IEEE 86(11), figure 2",
        {"inputs": ("image",), "rows": (0, inf)},
    ),
    Entry(
        "resnet8",
        "glia.models.resnet:resnet8",
        "the smallest residual network: small sets of small images",
        _RESNET,
        {"inputs": ("image",), "rows": (0, inf)},
    ),
    Entry(
        "resnet20",
        "glia.models.resnet:resnet20",
        "a residual network of twenty layers for 32 x 32 images",
        _RESNET,
        {"inputs": ("image",), "rows": (0, inf)},
    ),
    Entry(
        "resnet9",
        "glia.models.resnet:resnet9",
        "wide and shallow: most accuracy for a few minutes on small colour images",
        "Page 2018, How to train your ResNet",
        {"inputs": ("image",), "rows": (0, inf)},
    ),
)

ALIASES = {"lenet": "lenet5", "perceptron": "linear", "logistic": "linear", "ridge": "linear", "packed_folds": "folds"}
