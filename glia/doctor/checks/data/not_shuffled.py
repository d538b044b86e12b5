"""not-shuffled (GL108)

Finds: rows given to the network class after class.
Hurts: each batch holds one class, so the network learns to answer that class and forgets the one before.
Evidence: share of rows whose neighbour has the same label, what shuffling would give, and rows in a run of one class.
Cure: shuffle the rows anew each epoch.
Not a fault when: one batch holds all rows; labels are made a batch at a time; the loader draws another order.
Source: Bengio 2012, "Practical recommendations for gradient-based training of deep architectures", section 3.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL108", "not-shuffled", "missing_shuffle", explains=("GL301", "GL307", "GL311"))
IN_ORDER, BEYOND_CHANCE = 0.9, 0.3
RUNS_A_CLASS = 3  # in sorted rows a class is one run; drawn batches of one class make many
FEWEST_ROWS = 40
BATCHES_A_RUN = 2


def check(chart: Chart) -> Iterator[Finding]:
    labels = next((one for one in chart.labels if one.part == "train"), None)
    loop = chart.loop
    if labels is None or labels.rows < FEWEST_ROWS or (loop is not None and loop.shuffled):
        return
    in_order = labels.in_order
    if in_order != in_order and loop is not None and loop.shuffled is False:
        in_order = labels.in_data_order
    classes = sum(count > 0 for count in labels.counts)
    if not (in_order >= IN_ORDER and in_order - labels.by_chance >= BEYOND_CHANCE) or classes < 2:
        return
    runs = 1 + round((1 - in_order) * (labels.rows - 1))
    run = labels.rows / runs
    batch = loop.batch_size if loop is not None and loop.batch_size else _batch_size(chart)
    if runs > RUNS_A_CLASS * classes or (batch and run < BATCHES_A_RUN * batch):
        return
    yield RULE.finding(
        "error" if batch else "warning",
        "the order of the training rows",
        {
            "same_label_as_neighbour": in_order,
            "if_shuffled": labels.by_chance,
            "rows_in_a_run": run,
            "batch_size": batch or "unknown",
        },
        "rows come class after class, so that nearly every batch holds one class",
        "shuffle the training rows anew each epoch (DataLoader(..., shuffle=True))",
        safe=True,
        change={"shuffle": True},
        prior=1.0 if batch else 0.8,
        sure=bool(batch),
    )


def _batch_size(chart: Chart) -> int:
    return chart.batches[0].shape[0] if chart.batches and chart.batches[0].shape else 0
