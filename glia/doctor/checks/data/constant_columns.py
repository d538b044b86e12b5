"""constant-columns (GL103)

Finds: columns of a table that have one value in all training rows, or the same values as another column.
Hurts: little; they cost time, say nothing new, and are often the trace of a failed join or a column read wrong.
Evidence: how many there are, and the first of them.
Cure: leave them out, or look where they come from.
Not a fault when: the columns are pixels or tokens; there are few rows.
Source: Kuhn and Johnson 2013, "Applied Predictive Modeling", section 3.5.
"""

from collections.abc import Iterator

from glia.doctor.checks.data.inputs_not_normalised import train_rows
from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL103", "constant-columns", "wrong_preprocessing")
FEWEST_ROWS = 20
SHOWN = 5


def check(chart: Chart) -> Iterator[Finding]:
    rows = train_rows(chart)
    if rows is None or rows.rows < FEWEST_ROWS or len(rows.shape) != 2:
        return
    if rows.constant:
        yield RULE.finding(
            "note",
            "constant columns of the inputs",
            {"columns": len(rows.constant), "of": rows.columns, "first": list(rows.constant[:SHOWN])},
            "these columns have one value in all training rows, so nothing can be learned from them",
            "leave them out, or look why they do not vary",
            safe=True,
            prior=0.1,
        )
    if rows.same:
        yield RULE.finding(
            "note",
            "equal columns of the inputs",
            {"pairs": len(rows.same), "first": [list(pair) for pair in rows.same[:SHOWN]]},
            "these columns are copies of others, so they say nothing new",
            "keep one of each",
            safe=True,
            prior=0.1,
        )
