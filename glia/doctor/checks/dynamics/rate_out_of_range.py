"""rate-out-of-range (GL313)

Finds: a learning rate outside what people use with this optimiser.
Hurts: too high, the loss jumps or dies; too low, it hardly moves.
Evidence: the highest rate of the run and the usual range of the optimiser.
Cure: the rate with which this optimiser usually begins.
Not a fault when: the run learns: rates depend on the scale of the loss, and last layers are tuned with tiny ones.
Source: the papers in glia's table of optimisers; Zeiler 2012, arXiv 1212.5701 for Adadelta's rate of 1.
"""

from collections.abc import Iterator

from glia.doctor.course import peak_rate, usual_rates
from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL313", "rate-out-of-range", "lr_too_low", explains=("GL301", "GL309", "GL310"))


def check(chart: Chart) -> Iterator[Finding]:
    lr, rates = peak_rate(chart), usual_rates(chart)
    if rates is None or not (lr < rates[0] or lr > rates[2]):
        return
    lowest, start, highest = rates
    low = lr < lowest
    yield RULE.finding(
        "warning",
        f"lr of {chart.optimizers[0].kind}",
        {"lr": lr, "usually_from": lowest, "usually_to": highest},
        f"the learning rate is {'below' if low else 'above'} the usual range of this optimiser",
        f"begin with {start:g}",
        safe=False,
        cause="lr_too_low" if low else "lr_too_high",
        change={"lr": start},
        prior=0.7,
    )
