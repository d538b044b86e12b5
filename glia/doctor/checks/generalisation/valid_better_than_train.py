"""valid-better-than-train (GL403)

Finds: better answers on held-out rows than on training rows, both asked in the same way after training.
Hurts: held-out rows that are easier, or that were trained on, say nothing about new ones.
Evidence: how good the answers are on both parts; the share of held-out rows that are training rows too.
Cure: draw the held-out rows from all rows by chance, each row into one part only.
Not a fault when: dropout or augmentation makes training rows harder; the difference is what chance allows.
Source: Kaufman, Rosset, Perlich, Stitelman 2012, "Leakage in data mining", ACM TKDD 6(4).
"""

from collections.abc import Iterator

from glia.doctor.course import apart, regularised
from glia.doctor.finding import Finding, Rule
from glia.doctor.learning import skill
from glia.vitals.chart import Chart

RULE = Rule("GL403", "valid-better-than-train", "data_leak")
BETTER, SHARED = 0.1, 0.3


def check(chart: Chart) -> Iterator[Finding]:
    same = chart.split is not None and chart.split.same
    if apart(chart) > -BETTER or regularised(chart) or same:
        return
    shared = chart.split.shared if chart.split else float("nan")
    leaks = shared > SHARED
    yield RULE.finding(
        "warning" if leaks else "note",
        "held-out rows",
        {"train_skill": skill(chart, "train"), "valid_skill": skill(chart), "shared_rows": shared},
        "many held-out rows were trained on" if leaks else "the held-out rows are easier than the training rows",
        "draw the held-out rows by chance, each row into one part only",
        safe=True,
        prior=0.5 if leaks else 0.2,
    )
