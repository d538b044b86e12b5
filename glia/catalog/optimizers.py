"""Optimizers.

Facts: lr (where to begin) and lr_range (lowest and highest that are worth a trial); options (what differs from the
class's own defaults); momentum (its default, or None where the class has none) and momentum_option (which option
carries it: Adam's is the first of `betas`); weight_decay (default; left off norms, biases and embeddings) and
decoupled (taken from the weights themselves, as in AdamW, and not added to the gradient); fused (the class has a
one-kernel step on CPU and CUDA); matrix_only (2-d weights only, AdamW takes the rest).

USUAL_RATES: by torch's class, (lowest, where to begin, highest) learning rate that people train with. Classes that the
table does not offer are there too: a doctor meets them all.
"""

from glia.catalog.entry import Entry

_SGD = {
    "lr_range": (1e-4, 1.0),
    "momentum_option": "momentum",
    "weight_decay": 0.0,
    "decoupled": False,
    "fused": True,
    "matrix_only": False,
}
_ADAM = {
    "lr": 1e-3,
    "lr_range": (1e-5, 3e-2),
    "options": {},
    "momentum": 0.9,
    "momentum_option": "betas",
    "fused": True,
    "matrix_only": False,
}

ENTRIES = (
    Entry(
        "sgd",
        "torch.optim:SGD",
        "the plain step against the gradient",
        "Robbins and Monro 1951",
        {**_SGD, "lr": 0.1, "momentum": 0.0, "options": {}},
    ),
    Entry(
        "momentum",
        "torch.optim:SGD",
        "SGD along a running sum of gradients: a ball that rolls downhill",
        "Polyak 1964",
        {**_SGD, "lr": 0.05, "momentum": 0.9, "options": {}},
    ),
    Entry(
        "nesterov",
        "torch.optim:SGD",
        "momentum that looks one step ahead",
        "Sutskever et al. 2013, ICML, equations 3, 4",
        {**_SGD, "lr": 0.05, "momentum": 0.9, "options": {"nesterov": True}},
    ),
    Entry(
        "rmsprop",
        "torch.optim:RMSprop",
        "divides by the gradient's running root mean square",
        "Tieleman and Hinton 2012, lecture 6.5",
        {
            "lr": 1e-3,
            "lr_range": (1e-5, 3e-2),
            "momentum": 0.0,
            "momentum_option": "momentum",
            "options": {},
            "weight_decay": 0.0,
            "decoupled": False,
            "fused": False,
            "matrix_only": False,
        },
    ),
    Entry(
        "adam",
        "torch.optim:Adam",
        "momentum and RMSprop together",
        "Kingma and Ba 2015, arXiv 1412.6980",
        {**_ADAM, "weight_decay": 0.0, "decoupled": False},
    ),
    Entry(
        "adamw",
        "torch.optim:AdamW",
        "Adam with the decay taken from the weights themselves: the default",
        "Loshchilov and Hutter 2019, arXiv 1711.05101",
        {**_ADAM, "weight_decay": 1e-2, "decoupled": True},
    ),
    Entry(
        "muon",
        "torch.optim:Muon",
        "makes each matrix's update orthogonal; AdamW for all that is no hidden matrix",
        "Jordan et al. 2024, kellerjordan.github.io/posts/muon; step size: arXiv 2502.16982, equation 4",
        {
            "lr": 3e-3,
            "lr_range": (1e-4, 3e-2),
            "momentum": 0.95,
            "momentum_option": "momentum",
            "options": {"adjust_lr_fn": "match_rms_adamw"},
            "weight_decay": 1e-2,
            "decoupled": True,
            "fused": False,
            "matrix_only": True,
        },
    ),
)

ALIASES = {"sgd_momentum": "momentum", "sgdm": "momentum", "nag": "nesterov", "nesterov_momentum": "nesterov"}

_ADAMS = (1e-5, 1e-3, 3e-2)
USUAL_RATES: dict[str, tuple[float, float, float]] = {
    "SGD": (1e-4, 0.1, 1.0),
    "ASGD": (1e-4, 0.01, 1.0),
    "Adam": _ADAMS,
    "AdamW": _ADAMS,
    "NAdam": _ADAMS,
    "RAdam": _ADAMS,
    "SparseAdam": _ADAMS,
    "Adamax": (1e-5, 2e-3, 5e-2),
    "RMSprop": _ADAMS,
    "Rprop": (1e-4, 0.01, 0.5),
    "Adagrad": (1e-4, 0.01, 1.0),
    "Adadelta": (0.05, 1.0, 10.0),  # its step begins near 1e-3 of the rate: Zeiler 2012, arXiv 1212.5701
    "Adafactor": (1e-5, 0.01, 0.1),
    "Muon": (1e-4, 0.02, 0.2),
    "LBFGS": (0.01, 1.0, 2.0),
}
