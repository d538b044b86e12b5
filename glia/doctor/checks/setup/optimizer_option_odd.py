"""optimizer-option-odd (GL216)

Finds: an eps above 1e-3, or a momentum, alpha or rho above 0.999.
Hurts: a large eps divides every step; a memory of thousands of steps answers thousands of steps late.
Evidence: the option and its value.
Cure: the defaults of the class, at the same learning rate.
Not a fault when: the run learns: an eps of 0.1 and more was used on purpose, with a rate to match.
Source: Kingma, Ba 2015, arXiv 1412.6980, section 2; Szegedy et al. 2015, arXiv 1512.00567, section 8 (eps of 1).
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL216", "optimizer-option-odd", "wrong_optimizer_eps", explains=("GL301", "GL310", "GL311", "GL315"))
LARGE_EPS, LONG_MEMORY = 1e-3, 0.999
MEMORIES = ("momentum", "alpha", "rho")


def check(chart: Chart) -> Iterator[Finding]:
    for optimizer in chart.optimizers:
        options = optimizer.options
        odd = {name: options[name] for name in MEMORIES if options.get(name, 0.0) > LONG_MEMORY}
        if options.get("eps", 0.0) > LARGE_EPS:
            odd = {"eps": options["eps"], **odd}
        if not odd or optimizer.kind == "ASGD":  # its alpha is an exponent
            continue
        name = next(iter(odd))
        change = {"optimizer": optimizer.kind} | ({"lr": options["lr"]} if "lr" in options else {})
        yield RULE.finding(
            "warning",
            f"{name} of {optimizer.kind}",
            {**odd, **{key: value for key, value in options.items() if key == "lr"}},
            "this option makes the steps shorter, or later, than the learning rate says",
            "leave the options of the optimiser at their defaults",
            safe=False,
            change=change,
            prior=0.9 if name == "eps" else 0.7,
        )
