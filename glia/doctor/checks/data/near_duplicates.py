"""near-duplicates (GL111)

Finds: held-out pictures or texts that are nearly a training one.
Hurts: figures on them say how well rows were learned by heart, not how well new ones are answered.
Evidence: share of held-out rows with a near twin among the training rows, and of training rows among themselves.
Cure: keep all versions of a picture or text in one part of the split; augment after the split.
Not a fault when: training rows are as alike among themselves; or rows of numbers agree in their first digits (a note).
Source: Barz and Denzler 2020, "Do we train on test data? Purging CIFAR of near-duplicates"; Broder 1997, "On the
    resemblance and containment of documents".
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL111", "near-duplicates", "data_leak")
MANY, SOME = 0.2, 0.02
NATURAL = 0.25
FEWEST_ROWS = 40


def check(chart: Chart) -> Iterator[Finding]:
    split = chart.split
    if split is None or split.same or split.near < SOME or split.near_by_chance > NATURAL * split.near:
        return
    train = next((one for one in chart.rows if one.part == "train"), None)
    numbers = train is None or (len(train.shape) == 2 and "float" in train.dtype)
    alarms = split.near >= MANY and not numbers and split.rows_valid >= FEWEST_ROWS
    yield RULE.finding(
        "warning" if alarms else "note",
        "the held-out rows",
        {"nearly_a_training_row": split.near, "alike_among_training_rows": split.near_by_chance},
        "held-out rows are nearly training rows, so figures on them are too good",
        "keep all versions of a row in one part, and make new versions after the split",
        safe=True,
        prior=0.8 if alarms else 0.2,
        sure=alarms,
    )
