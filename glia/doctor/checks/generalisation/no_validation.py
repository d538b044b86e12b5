"""no-validation (GL404)

Finds: a run that never asks the network about rows that it does not train on.
Hurts: a training loss shows what was learned by heart as well as what was understood.
Evidence: steps, and forward passes without gradients: none.
Cure: keep a fifth of the rows apart and ask about them after each epoch.
Not a fault when: the rows never repeat, so every batch is new; another program evaluates.
Source: Hastie, Tibshirani, Friedman 2009, "The Elements of Statistical Learning", section 7.2.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL404", "no-validation", "missing_validation")
FEWEST, ONCE = 100, 1.0


def check(chart: Chart) -> Iterator[Finding]:
    loop = chart.loop
    # One pass over rows that do not repeat is its own test.
    if loop is None or loop.validated or loop.steps < FEWEST or loop.epochs <= ONCE:
        return
    if any(name.startswith("valid_") for epoch in chart.epochs for name in epoch.figures):
        return
    yield RULE.finding(
        "note",
        "the whole run",
        {"steps": loop.steps, "epochs": loop.epochs},
        "nothing shows how good the answers are on rows that were not trained on",
        "keep a fifth of the rows apart and ask about them after each epoch",
        safe=True,
        prior=0.2,
    )
