"""labels-on-another-scale (GL117)

Finds: held-out numbers to predict whose scale or level is far from that of the training ones.
Hurts: answers are compared with figures in other units, so the score says nothing.
Evidence: mean and deviation of both.
Cure: prepare both alike, or turn the answers back into their own units before they are compared.
Not a fault when: held-out rows are from another time or place on purpose, and the level has drifted.
Source: scikit-learn's TransformedTargetRegressor, which turns answers back for this reason.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL117", "labels-on-another-scale", "val_preprocessing_mismatch", explains=("GL401", "GL403", "GL113"))
TIMES, FEWEST = 5.0, 20


def check(chart: Chart) -> Iterator[Finding]:
    parts = {facts.part: facts for facts in chart.labels if facts.kind == "numbers" and facts.rows >= FEWEST}
    if set(parts) != {"train", "valid"}:
        return
    train, held = parts["train"].values, parts["valid"].values
    if not (train.std > 0 and held.std > 0):
        return
    ratio, shift = held.std / train.std, abs(held.mean - train.mean) / max(train.std, held.std)
    if 1 / TIMES <= ratio <= TIMES and shift <= TIMES:
        return
    yield RULE.finding(
        "error",
        "the held-out numbers",
        {"train_mean": train.mean, "train_std": train.std, "held_out_mean": held.mean, "held_out_std": held.std},
        "held-out numbers are in other units than those that the network was trained on",
        "prepare both alike, or turn the answers back into their own units before they are compared",
        safe=True,
        prior=0.95,
        sure=True,
    )
