"""Networks that make things up: generators and their judges."""

from math import inf

from glia.catalog.entry import Entry

ENTRIES = (
    Entry(
        "gan",
        "glia.models.gan:gan",
        "generator and discriminator of fully connected layers: makes up small pictures or points",
        "Goodfellow et al. 2014, arXiv 1406.2661",
        {"inputs": ("image", "tensor"), "rows": (0, inf), "family": "gan", "answers": "pictures"},
    ),
    Entry(
        "dcgan",
        "glia.models.dcgan:dcgan",
        "generator and discriminator of convolutions: makes up pictures",
        "Radford et al. 2016, arXiv 1511.06434",
        {
            "inputs": ("image",),
            "rows": (0, inf),
            "family": "gan",
            "answers": "pictures",
            "size": {},
            "published": {
                "inputs": (3, 64, 64),
                "outputs": 1,
                "task": "multilabel",
                "parameters": 3_576_704 + 2_765_568,
            },
        },
    ),
)

ALIASES: dict[str, str] = {}
