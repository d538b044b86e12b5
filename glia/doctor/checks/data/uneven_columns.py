"""uneven-columns (GL102)

Finds: columns of very different scales among the inputs of the first weights.
Hurts: the loss is a long narrow valley: the widest column sets the largest step, and narrow columns are not learned.
Evidence: smallest and largest standard deviation of a column.
Cure: standardise each column with the mean and standard deviation of the training rows.
Not a fault when: the run learns; the model's own first layers normalise; the widest column is narrow.
Source: LeCun, Bottou, Orr, Mueller 1998, "Efficient BackProp", section 4.3.
"""

from collections.abc import Iterator

from glia.doctor.checks.data.inputs_not_normalised import first_inputs
from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL102", "uneven-columns", "data_not_normalised")
UNEVEN, WIDE = 50.0, 5.0
PRIOR = 0.8


def check(chart: Chart) -> Iterator[Finding]:
    met = first_inputs(chart)
    if met is None or not (met.widest > WIDE and met.widest > UNEVEN * met.narrowest):
        return
    yield RULE.finding(
        "warning",
        met.where,
        {"narrowest_column": met.narrowest, "widest_column": met.widest, "ratio": met.widest / met.narrowest},
        "the columns of the inputs have very different scales, and the widest drowns the others",
        "standardise each column with the mean and standard deviation of the training rows",
        safe=True,
        change={"normalise_inputs": "standardize"},
        prior=PRIOR,
    )
