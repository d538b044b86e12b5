"""Normalisations.

Facts: over (what the mean and variance are taken over); needs_batch (it differs between training and evaluation, and
small batches hurt it); by_rank (the class for inputs of 2, 3, 4 or 5 dimensions, where that matters).
"""

from glia.catalog.entry import Entry

ENTRIES = (
    Entry(
        "batch",
        "torch.nn:BatchNorm1d",
        "each feature over the batch; running figures in evaluation",
        "Ioffe and Szegedy 2015, arXiv 1502.03167",
        {
            "over": "batch and places",
            "needs_batch": True,
            "by_rank": {
                2: "torch.nn:BatchNorm1d",
                3: "torch.nn:BatchNorm1d",
                4: "torch.nn:BatchNorm2d",
                5: "torch.nn:BatchNorm3d",
            },
        },
    ),
    Entry(
        "layer",
        "torch.nn:LayerNorm",
        "each row over its features",
        "Ba et al. 2016, arXiv 1607.06450",
        {"over": "features", "needs_batch": False},
    ),
    Entry(
        "group",
        "torch.nn:GroupNorm",
        "each row over groups of channels: for small batches of images",
        "Wu and He 2018, arXiv 1803.08494",
        {"over": "groups of channels and places", "needs_batch": False},
    ),
    Entry(
        "rms",
        "torch.nn:RMSNorm",
        "each row divided by its root mean square; no mean is taken off",
        "Zhang and Sennrich 2019, arXiv 1910.07467",
        {"over": "features", "needs_batch": False},
    ),
    Entry("none", "torch.nn:Identity", "no normalisation", None, {"over": None, "needs_batch": False}),
)

ALIASES = {
    "batchnorm": "batch",
    "layernorm": "layer",
    "groupnorm": "group",
    "rmsnorm": "rms",
    "batchnorm1d": "batch",
    "batchnorm2d": "batch",
    "identity": "none",
}
