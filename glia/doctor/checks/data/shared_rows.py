"""shared-rows (GL110)

Finds: held-out rows that are training rows too.
Hurts: figures on them say how well rows were learned by heart, not how well new ones are answered.
Evidence: share of held-out rows that equal a training row, and what chance would give.
Cure: drop doubles before the split, and never train on held-out rows.
Not a fault when: rows have so few values that equal ones are natural; the script scores its own training rows, or there
    are no others (then it is a note).
Source: Barz and Denzler 2020, "Do we train on test data? Purging CIFAR of near-duplicates".
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL110", "shared-rows", "data_leak", explains=("GL111",))
MANY, SOME = 0.2, 0.02
NATURAL = 0.5  # share of it that chance, or doubles among the training rows, may explain
FEWEST_ROWS = 40


def check(chart: Chart) -> Iterator[Finding]:
    split = chart.split
    if split is None or split.shared < SOME:
        return
    train = next((one for one in chart.rows if one.part == "train"), None)
    repeated = train.repeated if train is not None else 0.0
    evidence = {"held_out_rows_shared": split.shared, "by_chance": split.shared_by_chance, "rows": split.rows_valid}
    if split.same and repeated > NATURAL:
        return
    if split.same:
        yield RULE.finding(
            "note",
            "the held-out rows",
            evidence,
            "the rows that are scored are the training rows, so the score says nothing of new rows",
            "keep some rows apart and score those too, where there are enough",
            safe=True,
            cause="missing_validation",
            prior=0.1,
        )
        return
    natural = max(split.shared_by_chance, repeated) > NATURAL * split.shared
    alarms = split.shared >= MANY and not natural and split.rows_valid >= FEWEST_ROWS
    if natural and split.shared_by_chance > NATURAL * split.shared:
        return
    yield RULE.finding(
        "warning" if alarms else "note",
        "the held-out rows",
        evidence | {"repeated_in_train": repeated},
        "held-out rows are training rows too, so figures on them are too good",
        "drop doubles before the split, and score rows that were never trained on",
        safe=True,
        prior=0.9 if alarms else 0.2,
        sure=alarms,
    )
