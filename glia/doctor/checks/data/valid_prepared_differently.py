"""valid-prepared-differently (GL113)

Finds: held-out inputs of quite another scale than the training inputs, or in another place.
Hurts: the network is asked about inputs that it has never seen the like of, and its answers mean nothing.
Evidence: ratios of root mean squares and deviations, distance of means; how well nearest training rows tell held-out
    labels, and how well each part tells its own.
Cure: prepare both parts with the same function and the training rows' figures.
Not a fault when: the held-out answers are good all the same (then it is a note, unless the scale is absurd).
Source: Breck, Polyzotis, Roy, Whang, Zinkevich 2019, "Data validation for machine learning".
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.doctor.learning import skill
from glia.vitals.chart import Chart, SplitFacts

EXPLAINS = ("GL401", "GL403")
RULE = Rule("GL113", "valid-prepared-differently", "val_preprocessing_mismatch", explains=EXPLAINS)
RATIO, ABSURD = 5.0, 10.0  # the second counts whatever the answers: argmax may not mind the scale
SHIFT, WIDTH = 2.0, 2.5  # distance of the means in deviations, and ratio of the deviations, that make a symptom
FEWEST_ROWS, ENOUGH_ROWS = 20, 100
SKILLED = 0.5  # skill on held-out rows that another preparation would not leave
MISSED = 0.7  # share of what parts tell of themselves, under which a width that differs counts
TOLD, LOST = 0.25, 0.2  # labels that a part tells of itself, and the share of it that is left across


def check(chart: Chart) -> Iterator[Finding]:
    split = chart.split
    if split is None or split.same or min(split.rows_train, split.rows_valid) < FEWEST_ROWS:
        return
    scaled = split.scale > RATIO or split.scale < 1 / RATIO
    elsewhere = _elsewhere(split)
    if not scaled and not elsewhere and not _moved(split):
        return
    good = skill(chart)
    absurd = split.scale > ABSURD or split.scale < 1 / ABSURD
    answered = good is not None and good >= SKILLED and not absurd
    yield RULE.finding(
        "note" if answered else "error",
        "the held-out inputs",
        {
            "scale_to_training_inputs": split.scale,
            "shift": split.shift,
            "width": split.width,
            "told_across": split.neighbours_valid,
            "told_in_train": split.neighbours_train,
            "told_held_out": split.neighbours_within,
        },
        "held-out inputs are prepared in another way than training inputs",
        "prepare both with the same function, fitted on the training rows",
        safe=True,
        prior=0.95 if scaled else 0.7,
        sure=(scaled or elsewhere) and not answered,
    )


def _moved(split: SplitFacts) -> bool:
    """Far off, or of another width; columns with rare large numbers are that by chance, so neighbours must miss too."""
    own = min(split.neighbours_train, split.neighbours_within)
    missed = own >= TOLD / 2 and split.neighbours_valid < MISSED * own
    return split.shift > SHIFT or (missed and not 1 / WIDTH <= split.width <= WIDTH)


def _elsewhere(split: SplitFacts) -> bool:
    """Each part tells its own labels by its neighbours, and training rows do not tell those of held-out rows."""
    own = min(split.neighbours_train, split.neighbours_within)
    return split.rows_valid >= ENOUGH_ROWS and own >= TOLD and split.neighbours_valid < LOST * own
