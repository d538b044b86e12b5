"""Schedules of the learning rate; a linear warm-up may come before any of them.

Facts: needs_end (it must know the number of steps, so early stopping cuts it short); watches (what it looks at
besides the step); ends_at (share of the base rate that is left at the end, None where that depends).
"""

from glia.catalog.entry import Entry

ENTRIES = (
    Entry(
        "constant",
        "glia.optim.schedules:constant",
        "the same rate all along; fits averaged weights and early stopping",
        None,
        {"needs_end": False, "watches": None, "ends_at": 1.0},
    ),
    Entry(
        "step",
        "glia.optim.schedules:step",
        "a tenth of the rate after each third of the steps",
        "He et al. 2016, arXiv 1512.03385, section 4.2",
        {"needs_end": True, "watches": None, "ends_at": 0.01},
    ),
    Entry(
        "exponential",
        "glia.optim.schedules:exponential",
        "the same factor every step, a hundredth at the end",
        None,
        {"needs_end": True, "watches": None, "ends_at": 0.01},
    ),
    Entry(
        "cosine",
        "glia.optim.schedules:cosine",
        "half a cosine from the full rate to nothing",
        "Loshchilov and Hutter 2017, arXiv 1608.03983, equation 5",
        {"needs_end": True, "watches": None, "ends_at": 0.0},
    ),
    Entry(
        "warm_restarts",
        "glia.optim.schedules:warm_restarts",
        "three cosines, each twice as long as the one before",
        "Loshchilov and Hutter 2017, arXiv 1608.03983",
        {"needs_end": True, "watches": None, "ends_at": 0.0},
    ),
    Entry(
        "linear",
        "glia.optim.schedules:linear",
        "a straight line from the full rate to nothing",
        None,
        {"needs_end": True, "watches": None, "ends_at": 0.0},
    ),
    Entry(
        "one_cycle",
        "glia.optim.schedules:one_cycle",
        "up over the first third, then down to almost nothing",
        "Smith and Topin 2018, arXiv 1708.07120",
        {"needs_end": True, "watches": None, "ends_at": 1 / 25 / 1e4},
    ),
    Entry(
        "plateau",
        "glia.optim.schedules:plateau",
        "a tenth of the rate whenever the validation loss stops falling",
        None,
        {"needs_end": False, "watches": "valid_loss", "ends_at": None},
    ),
)

ALIASES = {
    "none": "constant",
    "multistep": "step",
    "exp": "exponential",
    "cosine_annealing": "cosine",
    "cosine_restarts": "warm_restarts",
    "sgdr": "warm_restarts",
    "cosine_warm_restarts": "warm_restarts",
    "reduce_on_plateau": "plateau",
    "reduce_lr_on_plateau": "plateau",
}
