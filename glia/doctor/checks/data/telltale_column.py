"""telltale-column (GL109)

Finds: a column that says the answer in the training rows and not in the held-out rows.
Hurts: the network learns that column and nothing else, and knows nothing where the column is not there.
Evidence: the column, and how closely it goes with the labels in training rows and in held-out rows.
Cure: leave the column out.
Not a fault when: the column says as much of held-out rows: then it may be an honest input, and this is a note.
Source: Kaufman, Rosset, Perlich 2011, "Leakage in data mining: formulation, detection, and avoidance".
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL109", "telltale-column", "data_leak")
TELLS, LOST, COPY = 0.985, 0.6, 0.999
FEWEST_ROWS = 40


def check(chart: Chart) -> Iterator[Finding]:
    split = chart.split
    if split is None or split.telltale is None or split.same or split.rows_valid < FEWEST_ROWS:
        return
    evidence = {
        "column": split.telltale,
        "correlation_in_train": split.telltale_train,
        "correlation_held_out": split.telltale_valid,
    }
    where = f"column {split.telltale} of the inputs"
    if split.telltale_train >= TELLS and split.telltale_valid < LOST:
        yield RULE.finding(
            "error",
            where,
            evidence,
            "this column says the answer in the training rows and not in the held-out rows",
            "leave the column out, or make it from what is known before the answer is",
            safe=False,
            prior=0.95,
            sure=True,
        )
    elif min(split.telltale_train, split.telltale_valid) >= COPY:
        yield RULE.finding(
            "note",
            where,
            evidence,
            "this column alone says the answer, in held-out rows too",
            "make sure that it is known before the answer is",
            safe=False,
            prior=0.2,
        )
