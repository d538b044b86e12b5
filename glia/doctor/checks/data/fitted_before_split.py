"""fitted-before-split (GL112)

Finds: columns scaled with the figures of training and held-out rows together.
Hurts: little where rows are many; held-out rows have had a say, so figures on them are a trifle too good.
Evidence: the columns have mean 0 and deviation 1, or lowest 0 and highest 1, over both parts and not over train alone.
Cure: split first, then take mean and deviation from the training rows and use them for both.
Not a fault when: the rows were scaled one by one, or by constants.
Source: Hastie, Tibshirani, Friedman 2009, "The Elements of Statistical Learning", section 7.10.2.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL112", "fitted-before-split", "data_leak")


def check(chart: Chart) -> Iterator[Finding]:
    split = chart.split
    if split is None or not split.jointly_scaled:
        return
    yield RULE.finding(
        "note",
        "the scaling of the inputs",
        {"train_rows": split.rows_train, "held_out_rows": split.rows_valid},
        "the inputs were scaled with figures of training and held-out rows together",
        "split first, then scale both parts with the figures of the training rows",
        safe=True,
        prior=0.1,
    )
