"""class-imbalance (GL107)

Finds: a class with far fewer rows than its fair share.
Hurts: never answering that class costs almost nothing, so the network learns to do so and stops there.
Evidence: rows of the rarest and the commonest class, and the rarest one's share of a fair share.
Cure: weight the loss by the inverse of the class shares, or draw rare rows more often.
Not a fault when: the run learns; there are too few rows a class to say.
Source: He and Garcia 2009, "Learning from imbalanced data".
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL107", "class-imbalance", "class_imbalance")
OF_FAIR = 0.25  # share of a fair share, below which a class is rare
ROWS_A_CLASS = 15
PRIOR = 0.8


def check(chart: Chart) -> Iterator[Finding]:
    labels = next((one for one in chart.labels if one.part == "train"), None)
    if labels is None or labels.kind not in ("classes", "binary"):
        return
    seen = [count for count in labels.counts if count]
    if len(seen) < 2 or sum(seen) < ROWS_A_CLASS * len(seen):
        return
    fair = sum(seen) / len(seen)
    if min(seen) >= OF_FAIR * fair:
        return
    yield RULE.finding(
        "warning",
        "the labels",
        {"rarest": min(seen), "commonest": max(seen), "classes": len(seen), "rarest_of_fair_share": min(seen) / fair},
        "a class is so rare that never answering it costs almost nothing",
        "weight the loss by the inverse of the class shares, or draw rows of rare classes more often",
        safe=False,
        prior=PRIOR,
    )
