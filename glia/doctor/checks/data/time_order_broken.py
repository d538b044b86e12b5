"""time-order-broken (GL115)

Finds: held-out rows that come before the training rows in time, or windows of a series cut between training windows.
Hurts: the future is used to predict the past, or overlapping windows give the answer away; real use has neither.
Evidence: share of held-out windows between two training windows; whether held-out rows come first.
Cure: train on the first rows of the series and hold out the last ones, with a gap of one window.
Not a fault when: the order of the rows means nothing; so this is a note.
Source: Bergmeir and Benitez 2012, "On the use of cross-validation for time series predictor evaluation".
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL115", "time-order-broken", "data_leak")
MANY = 0.3


def check(chart: Chart) -> Iterator[Finding]:
    split = chart.split
    if split is None or split.same or not (split.ordered or split.between >= MANY):
        return
    among = split.between >= MANY
    why = (
        "held-out windows lie between training windows of the same series and overlap them"
        if among
        else "held-out rows come before the training rows in time"
    )
    yield RULE.finding(
        "note",
        "the split",
        {"between_training_windows": split.between, "held_out_first": split.ordered},
        why,
        "hold out the last part of the series, with a gap of one window",
        safe=True,
        prior=0.2,
    )
