"""option-out-of-range (GL315)

Finds: an option of the optimiser, other than its rate, so far from usual that it makes the steps vanish.
Hurts: eps stands below the root of the squared gradients; where it is larger than they are, it divides every step.
Evidence: the option and its value.
Cure: the defaults of the class.
Not a fault when: the run learns: an eps of 0.1 and more was used on purpose, with a rate to match.
Source: Kingma, Ba 2015, arXiv 1412.6980, algorithm 1; Szegedy et al. 2015, arXiv 1512.00567, section 8 (eps of 1).
"""

from collections.abc import Iterator
from math import isfinite

from glia.doctor.course import peak_rate
from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL315", "option-out-of-range", "wrong_optimizer_eps", explains=("GL301", "GL310", "GL311"))
LARGE_EPS, LONG_MEMORY, DAMPED = 1e-3, 0.9999, 0.95
SCALED = ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "SparseAdam")
MEMORIES = ("beta1", "beta2", "alpha", "rho", "momentum")


def check(chart: Chart) -> Iterator[Finding]:
    options = strange_options(chart)
    if not options:
        return
    name = next(iter(options))
    yield RULE.finding(
        "warning",
        f"{name} of {chart.optimizers[0].kind}",
        options | {"lr": peak_rate(chart)},
        "this option makes the steps far shorter than the learning rate says",
        "leave the options of the optimiser at their defaults",
        safe=False,
        change={"optimizer": "Adam", "lr": 1e-3},
        prior=0.9 if options[name] > 1 or name != "eps" else 0.8,
    )


def strange_options(chart: Chart) -> dict[str, float]:
    """Options of the one optimiser that hold its steps back, by name."""
    if len(chart.optimizers) != 1 or chart.optimizers[0].kind not in (*SCALED, "SGD"):
        return {}
    kind, options = chart.optimizers[0].kind, chart.optimizers[0].options
    found = {
        name: options[name]
        for name in MEMORIES
        if isfinite(options.get(name, 0)) and options.get(name, 0) > LONG_MEMORY
    }
    if kind == "SGD" and options.get("momentum", 0) > 0 and options.get("dampening", 0) > DAMPED:
        found["dampening"] = options["dampening"]
    eps = options.get("eps", 0.0)
    if kind in SCALED and eps > LARGE_EPS:
        found = {"eps": eps, **found}
    return found
