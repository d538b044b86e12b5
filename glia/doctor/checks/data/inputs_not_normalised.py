"""inputs-not-normalised (GL101)

Finds: inputs far from zero mean and unit scale where the first weights take them.
Hurts: large inputs make large gradients in the first layer and saturate what follows; tiny ones are not seen. No one
    learning rate fits the first layer and the rest.
Evidence: root mean square and extremes of the training rows, or of the first layer's input at the first measured step.
Cure: subtract the mean and divide by the standard deviation of the training rows, or put a batch norm first.
Not a fault when: the run learns; the model's own first layers normalise; the inputs are tokens.
Source: LeCun, Bottou, Orr, Mueller 1998, "Efficient BackProp", section 4.3.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart, LayerVitals, RowsFacts, Spread

RULE = Rule("GL101", "inputs-not-normalised", "data_not_normalised", explains=("GL102",))
LARGE, EXTREME = 30.0, 200.0  # root mean square and largest number that few first layers bear
ABOVE = 4.0  # root mean square from which the scale may matter
SMALL, FILLED = (
    0.01,
    0.5,
)  # root mean square too small to be seen, and the share of zeros up to which it means something
SURE, UNSURE, FAINT = 0.85, 0.6, 0.5
NORMS = ("norm", "standardise")


@dataclass(frozen=True, slots=True)
class Met:
    """The numbers that the first weights take, and where."""

    where: str
    inputs: Spread
    narrowest: float
    widest: float


def check(chart: Chart) -> Iterator[Finding]:
    met = first_inputs(chart)
    prior = scale_prior(met.inputs) if met is not None else 0.0
    if met is None or not prior:
        return
    x = met.inputs
    size = "tiny" if x.rms < SMALL else "large"
    yield RULE.finding(
        "warning",
        met.where,
        {"rms": x.rms, "mean": x.mean, "std": x.std, "low": x.low, "high": x.high},
        f"the inputs are not scaled: they are {size} where the first weights take them",
        "standardise each column with the mean and standard deviation of the training rows",
        safe=True,
        change={"normalise_inputs": "standardize"},
        prior=prior,
    )


def scale_prior(x: Spread) -> float:
    """How likely the scale of these numbers is why a run fails; 0 for none."""
    if x.rms > LARGE or max(abs(x.low), abs(x.high)) > EXTREME:
        return SURE
    if x.rms > ABOVE:
        return UNSURE
    return FAINT if 0 < x.rms < SMALL and x.zeros < FILLED else 0.0


def first_inputs(chart: Chart) -> Met | None:
    """What the first weights take: as the first layer saw it, else the training rows where nothing comes before."""
    rows = train_rows(chart)
    layer = first_weights(chart)
    if layer is not None:
        x = layer.input
        # Rows say more than one batch, unless the model changes them first.
        if rows is not None and rows.inputs.rms <= 2 * x.rms and x.rms <= 2 * rows.inputs.rms:
            return Met("the training rows", rows.inputs, rows.inputs.narrowest, rows.inputs.widest)
        return Met(f"input of {layer.place}", x, x.narrowest, x.widest)
    if rows is None or _normalised_first(chart):
        return None
    return Met("the training rows", rows.inputs, rows.inputs.narrowest, rows.inputs.widest)


def train_rows(chart: Chart) -> RowsFacts | None:
    """The training rows, where they are numbers and not tokens."""
    rows = next((one for one in chart.rows if one.part == "train"), None)
    return rows if rows is not None and "float" in rows.dtype else None


def first_weights(chart: Chart) -> LayerVitals | None:
    """The first layer with weights that takes numbers, at the first measured step."""
    start = min((layer.step for layer in chart.layers), default=None)
    first = (layer for layer in chart.layers if layer.step == start and layer.leaf and layer.weighted)
    return next((layer for layer in first if "Embedding" not in layer.kind), None)


def _normalised_first(chart: Chart) -> bool:
    """Does the model normalise, or look tokens up, before its first weights?"""
    operations = chart.models[0].operations if chart.models else ()
    for operation in operations:
        if operation.weighted and operation.name != "embedding":
            return False
        if operation.name == "embedding" or any(part in operation.name for part in NORMS):
            return True
    return False
