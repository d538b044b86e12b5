"""inputs-not-normalised (GL101)

Finds: inputs far from zero mean and unit scale, or columns of very different scales, before the first weights.
Hurts: large inputs make large gradients in the first layer and saturate what follows; columns of small scale are not
    seen at all beside large ones. No one learning rate fits.
Evidence: root mean square, extremes, and smallest and largest spread of a column at the first measured step.
Cure: subtract the mean and divide by the standard deviation of the training rows, or put a batch norm first.
Not a fault when: the run learns; the model's own first layers normalise (they are measured behind those).
Source: LeCun, Bottou, Orr, Mueller 1998, "Efficient BackProp", section 4.3.
"""

from collections.abc import Iterator

from glia.doctor.learning import learning
from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart, LayerVitals, Spread

RULE = Rule("GL101", "inputs-not-normalised")
LARGE, EXTREME, UNEVEN, WIDE = 10.0, 100.0, 50.0, 5.0


def check(chart: Chart) -> Iterator[Finding]:
    layer, seen = first_weights(chart), learning(chart)
    if layer is None or seen is None or not seen.failed:
        return
    x = layer.input
    large = x.rms > LARGE or max(abs(x.low), abs(x.high)) > EXTREME
    if not large and not _uneven(x):
        return
    evidence = {"rms": x.rms, "low": x.low, "high": x.high, "narrowest_column": x.narrowest, "widest_column": x.widest}
    cause = "the inputs are not scaled" if large else "the columns of the inputs have very different scales"
    yield RULE.finding(
        "warning",
        f"input of {layer.place}",
        evidence | seen.evidence(),
        f"{cause}, and the loss does not get below that of knowing nothing",
        "standardise each column with the mean and standard deviation of the training rows",
        safe=True,
    )


def first_weights(chart: Chart) -> LayerVitals | None:
    """The first layer with weights that takes numbers, at the first measured step."""
    start = min((layer.step for layer in chart.layers), default=None)
    first = (layer for layer in chart.layers if layer.step == start and layer.leaf and layer.weighted)
    return next((layer for layer in first if "Embedding" not in layer.kind), None)


def _uneven(x: Spread) -> bool:
    return x.widest > WIDE and x.widest > UNEVEN * x.narrowest
