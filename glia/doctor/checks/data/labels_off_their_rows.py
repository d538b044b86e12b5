"""labels-off-their-rows (GL114)

Finds: labels that have nothing to do with their rows in one part of the data, and have in the other.
Hurts: there is nothing to learn, or nothing to score; a large network learns the noise by heart.
Evidence: share of rows that have the label of their nearest neighbours, less chance, in each part.
Cure: look for a shuffle, sort or filter that moved rows or labels alone.
Not a fault when: neighbours say little in both parts: then it may be hard to tell by distance.
Source: Cover and Hart 1967, "Nearest neighbor pattern classification".
"""

import math
from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL114", "labels-off-their-rows", "labels_corrupted")
TOLD = 0.2  # share beyond chance that neighbours must tell in one part
NONE, LESS = 0.15, 0.6  # of it, what is left where labels are off their rows, or some are
DEVIATIONS = 6.0
FEWEST_ROWS = 80


def check(chart: Chart) -> Iterator[Finding]:
    split = chart.split
    if split is None or split.same or min(split.rows_train, split.rows_valid) < FEWEST_ROWS:
        return
    train, held_out, across = split.neighbours_train, split.neighbours_within, split.neighbours_valid
    noise = DEVIATIONS * 0.5 / math.sqrt(min(split.rows_train, split.rows_valid))
    evidence = {"told_in_train": train, "told_held_out": held_out, "told_across": across}
    if held_out >= TOLD and held_out - train > max(TOLD, noise) and across < held_out:
        all_of_them = train < NONE * held_out and across < 2 * NONE * held_out
        if not all_of_them and train > LESS * held_out:
            return
        yield RULE.finding(
            "error" if all_of_them else "warning",
            "the training labels",
            evidence,
            "neighbours tell the labels of held-out rows and not those of training rows, so these are not theirs",
            "look for a shuffle, sort, shift or filter that moved training rows or labels alone",
            safe=False,
            prior=0.95 if all_of_them else 0.6,
            sure=all_of_them,
        )
    elif train >= TOLD and train - held_out > max(TOLD, noise) and max(held_out, across) < NONE * train:
        yield RULE.finding(
            "error",
            "the held-out labels",
            evidence,
            "neighbours tell the labels of training rows and not those of held-out rows, so these are not theirs",
            "look for a shuffle, sort, shift or filter that moved held-out rows or labels alone",
            safe=False,
            prior=0.8,
        )


def finding(across: float, within: float) -> Finding:
    """What a plain network shows: held-out rows can be learned from each other and not from the training rows."""
    return RULE.finding(
        "error",
        "the training labels",
        {"skill_learned_from_train": across, "skill_learned_within_held_out": within},
        "held-out rows can be learned from each other but not from training rows, whose labels are not theirs",
        "look for a shuffle, sort, shift or filter that moved training rows or labels alone",
        safe=False,
        prior=0.9,
    )
