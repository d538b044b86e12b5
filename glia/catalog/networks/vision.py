"""Networks for pictures."""

from math import inf

from glia.catalog.entry import Entry

_RESNET = "He et al. 2016, arXiv 1512.03385, section 4.2"

ENTRIES = (
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

ALIASES = {"lenet": "lenet5"}
