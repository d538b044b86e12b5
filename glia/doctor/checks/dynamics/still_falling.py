"""still-falling (GL312)

Finds: a loss that falls clearly to the end of the run, and is still high.
Hurts: training was stopped before the network had learned.
Evidence: what the loss lost over the second half, epochs, steps an epoch, rows a batch, learning rate.
Cure: more epochs; a higher learning rate where it is below the usual one; smaller batches where steps are few.
Not a fault when: the run has learned: most losses still fall a little at the end.
Source: Goodfellow, Bengio, Courville 2016, "Deep Learning", section 11.4.1; Masters, Luschi 2018, arXiv 1804.07612.
"""

from collections.abc import Iterator
from math import ceil, isfinite
from typing import Any

from glia.doctor.course import course, peak_rate, usual_rates
from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL312", "still-falling", "too_few_epochs")
FALLING, ERRORS, FEW_EPOCHS, FEW_STEPS, MANY_ROWS = 0.006, 3.0, 2, 20, 100


def check(chart: Chart) -> Iterator[Finding]:
    run = course(chart)
    if run is None or run.fall < max(FALLING, ERRORS * run.error):
        return
    epochs = chart.loop.epochs if chart.loop else float(len(chart.epochs) or "nan")
    rows = chart.loop.batch_size if chart.loop else next((b.shape[0] for b in chart.batches if b.shape), 0)
    cause, cure, change, prior = _cause(chart, epochs, len(run.losses), rows)
    yield RULE.finding(
        "warning",
        "the second half of the training loss",
        {"fall": run.fall, "its_error": run.error, "epochs": epochs, "steps": len(run.losses), "batch": rows}
        | {"lr": peak_rate(chart), "last_loss": run.losses[-1]},
        "the loss was on its way down when training ended",
        cure,
        safe=True,
        cause=cause,
        change=change,
        prior=prior,
    )


def _cause(chart: Chart, epochs: float, steps: int, rows: int) -> tuple[str, str, dict[str, Any], float]:
    """(cause, cure in words, cure as data, prior)."""
    lr, rates = peak_rate(chart), usual_rates(chart)
    known = isfinite(epochs) and epochs > 0
    if rates is not None and lr < rates[0]:
        return "lr_too_low", "raise the learning rate to what this optimiser is used with", {"lr": rates[1]}, 0.7
    more = {"epochs": ceil(4 * epochs)} if known else {}
    if known and epochs <= FEW_EPOCHS:
        return "too_few_epochs", "train for more epochs", more, 0.65
    if known and steps / epochs <= FEW_STEPS and rows >= MANY_ROWS:
        smaller = {"batch_size": max(8, rows // 8)}
        return "bad_batch_size", "use smaller batches: there are few steps in an epoch", smaller, 0.6
    if rates is not None and lr < rates[1] / 10:
        return "lr_too_low", "raise the learning rate tenfold", {"lr": lr * 10}, 0.55
    return "too_few_epochs", "train for more epochs", more, 0.5
