"""Losses of (outputs, targets), all from logits.

Facts: tasks (kinds of Task that it fits); logits (whether the outputs must be raw: no softmax or sigmoid in the
network); targets (what they are); dtype (of the targets); options (what `glia.nn.losses.build` takes besides); form
("rows": each row has a loss of its own; "batch": rows are compared with each other; "players": of two networks, made by
`glia.nn.adversarial.build`). A loss that fits no Task is there for training steps of one's own.
"""

from glia.catalog.entry import Entry

_NUMBERS = {
    "tasks": ("regress", "forecast"),
    "logits": False,
    "targets": "numbers (N, T)",
    "dtype": ("float32",),
    "form": "rows",
}
_EMBEDDINGS = {
    "tasks": (),
    "logits": False,
    "targets": "labels (N,), of embeddings (N, D)",
    "dtype": ("int64",),
    "form": "batch",
}
_PLAYERS = {
    "tasks": (),
    "logits": True,
    "targets": "none: scores of true rows and of made ones",
    "dtype": (),
    "options": (),
    "form": "players",
}

ENTRIES = (
    Entry(
        "cross_entropy",
        "glia.nn.losses:cross_entropy",
        "one class of many: minus the log of the true class's share",
        "Bridle 1990; label smoothing: Szegedy et al. 2016, arXiv 1512.00567, section 7",
        {
            "tasks": ("classify", "language", "translate"),
            "logits": True,
            "targets": "class indices (N,), or shares of classes (N, C)",
            "dtype": ("int64", "float32"),
            "options": ("weight", "label_smoothing"),
            "form": "rows",
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
            "form": "rows",
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
            "form": "rows",
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
        "pinball",
        "glia.nn.losses:pinball",
        "for quantiles: missing upwards costs q, missing downwards 1 - q",
        "Koenker, Bassett 1978, Econometrica 46",
        {
            **_NUMBERS,
            "tasks": ("forecast",),
            "targets": "numbers (...,), of outputs (..., Q)",
            "options": ("quantiles",),
        },
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
    Entry(
        "ctc",
        "glia.nn.ctc:ctc",
        "symbols in their order, whichever frame each stands at: for speech and handwriting",
        "Graves et al. 2006, ICML, section 4.1",
        {
            "tasks": ("transcribe",),
            "logits": True,
            "targets": "symbols (N, S), -1 past the end; outputs (N, frames, C)",
            "dtype": ("int64",),
            "options": ("blank",),
            "form": "rows",
        },
    ),
    Entry(
        "dice",
        "glia.nn.dice:dice",
        "how far two areas are from covering each other: for masks with much background",
        "Milletari et al. 2016, arXiv 1606.04797, section 3",
        {
            "tasks": (),
            "logits": True,
            "targets": "class indices (N, places ...), or 0 and 1 (N, C, places ...)",
            "dtype": ("int64", "float32"),
            "options": ("smooth",),
            "form": "rows",
        },
    ),
    Entry(
        "contrastive",
        "glia.nn.embedding_losses:contrastive",
        "pairs of one label drawn together, others pushed a margin apart",
        "Hadsell et al. 2006, CVPR, equation 4",
        {**_EMBEDDINGS, "options": ("margin",)},
    ),
    Entry(
        "triplet",
        "glia.nn.embedding_losses:triplet",
        "the furthest of one's own label nearer than the nearest of another, by a margin",
        "Schroff et al. 2015, arXiv 1503.03832; Hermans et al. 2017, arXiv 1703.07737, equation 5",
        {**_EMBEDDINGS, "options": ("margin",)},
    ),
    Entry(
        "supervised_contrastive",
        "glia.nn.embedding_losses:supervised_contrastive",
        "finding those of one's own label among all rows of the batch, by cosine",
        "Khosla et al. 2020, arXiv 2004.11362, equation 2",
        {**_EMBEDDINGS, "options": ("temperature",)},
    ),
    Entry(
        "gan_minimax",
        "glia.nn.adversarial:Minimax",
        "true or made, both players over one figure: the generator starves while it loses",
        "Goodfellow et al. 2014, arXiv 1406.2661, equation 1",
        _PLAYERS,
    ),
    Entry(
        "gan_non_saturating",
        "glia.nn.adversarial:NonSaturating",
        "true or made; the generator wants its rows called true: the usual one",
        "Goodfellow et al. 2014, arXiv 1406.2661, section 3",
        _PLAYERS,
    ),
    Entry(
        "gan_wasserstein",
        "glia.nn.adversarial:Wasserstein",
        "difference of mean scores, with the critic's slope held near 1 by a penalty",
        "Gulrajani et al. 2017, arXiv 1704.00028, algorithm 1",
        {**_PLAYERS, "options": ("penalty",)},
    ),
    Entry(
        "gan_hinge",
        "glia.nn.adversarial:Hinge",
        "scores of true rows above 1, of made ones below -1",
        "Lim and Ye 2017, arXiv 1705.02894; Miyato et al. 2018, arXiv 1802.05957",
        _PLAYERS,
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
    "ctc_loss": "ctc",
    "dice_loss": "dice",
    "triplet_margin": "triplet",
    "supcon": "supervised_contrastive",
    "nt_xent": "supervised_contrastive",
    "info_nce": "supervised_contrastive",
    "gan": "gan_non_saturating",
    "non_saturating": "gan_non_saturating",
    "minimax": "gan_minimax",
    "wasserstein": "gan_wasserstein",
    "wgan_gp": "gan_wasserstein",
    "wgan": "gan_wasserstein",
}
