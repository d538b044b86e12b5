"""tiny-batch-norm (GL314)

Finds: batch normalisation over batches of at most four rows.
Hurts: mean and deviation of so few rows are noise, and differ from those kept for evaluation.
Evidence: rows in the middle batch, rows and positions that a norm sees, layers with batch normalisation.
Cure: larger batches, or group or layer normalisation, which look at one row at a time.
Not a fault when: the run learns; many positions a row (pictures) make up for few rows.
Source: Wu, He 2018, "Group normalization", arXiv 1803.08494, figure 1.
"""

from collections.abc import Iterator
from statistics import median

from glia.doctor.course import kinds
from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL314", "tiny-batch-norm", "bad_batch_size")
FEWEST = 4


def check(chart: Chart) -> Iterator[Finding]:
    sizes = [batch.shape[0] for batch in chart.batches if batch.shape]
    norms = sum(kind.startswith("BatchNorm") for kind in kinds(chart))
    if not norms:
        norms = sum(op.name == "batch_norm" for model in chart.models for op in model.operations)
    if not sizes or not norms or median(sizes) > FEWEST:
        return
    rows = int(median(sizes))
    yield RULE.finding(
        "warning",
        f"{norms} batch norms, batches of {rows}",
        {"rows": rows, "batch_norms": norms},
        "a mean over so few rows is noise, and evaluation uses another one",
        "use batches of 32, or GroupNorm or LayerNorm instead",
        safe=False,
        change={"batch_size": 32},
        prior=0.6,
    )
