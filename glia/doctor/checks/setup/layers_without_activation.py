"""layers-without-activation (GL218)

Finds: layers in a row with nothing but norms or dropout between them.
Hurts: a linear map of a linear map is a linear map: the layers together can say no more than one of them.
Evidence: how many layers have no activation behind them, of how many hidden ones.
Cure: a ReLU behind each hidden layer.
Not a fault when: a layer is written as a product of two narrow ones (a low rank); the code of an autoencoder; queries
    and keys, which stand side by side; a linear answer is enough: then the run learns.
Source: Goodfellow, Bengio, Courville 2016, section 6.3; Minsky, Papert 1969.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.doctor.reading import follows, hidden_layers, last_layer, layers, place
from glia.vitals.chart import Chart, ModelFacts, OperationFacts
from glia.vitals.operations import ACTIVATIONS, DROPOUTS, NORMS

RULE = Rule("GL218", "layers-without-activation", "missing_hidden_activation", explains=("GL301", "GL311", "GL402"))
CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
Pair = tuple[OperationFacts, OperationFacts]


def check(chart: Chart) -> Iterator[Finding]:
    for model in chart.models:
        pairs = _bare(chart, model)
        if not pairs:
            continue
        hidden = hidden_layers(model)
        yield RULE.finding(
            "warning",
            ", ".join(dict.fromkeys(place(chart, one.module, one.name) for one, _ in pairs[:3])),
            {"layers_without_activation": len(pairs), "hidden_layers": len(hidden)},
            "there is no activation between these layers, so together they do what one linear layer does",
            "put a ReLU behind each hidden layer",
            safe=False,
            change={"add_hidden_activation": "relu"},
            prior=_prior(model, pairs),
        )


def _bare(chart: Chart, model: ModelFacts) -> list[Pair]:
    """Layers that feed the next one without an activation. Convolutions only where the network has no activation at
    all: pooling and depthwise pairs are usual among them.
    """
    stacked = ("linear",) if _activated(model) else ("linear", *CONVOLUTIONS)
    pairs: list[Pair] = []
    waiting: OperationFacts | None = None
    between: list[OperationFacts] = []
    for op in model.operations:
        if op.weighted and op.name in stacked:
            if waiting is not None and follows(chart, waiting, op, between):
                pairs.append((waiting, op))
            waiting, between = op, []
        elif op.name in NORMS or op.name in DROPOUTS:
            between.append(op)
        else:
            waiting = None
    return pairs


def _activated(model: ModelFacts) -> bool:
    """Is there an activation, or a layer that has its own, before the last layer?"""
    last = max((i for i, op in enumerate(model.operations) if op.weighted), default=0)
    before = model.operations[:last]
    others = [op for op in layers(model) if op.name not in ("linear", "embedding", "embedding_bag", *CONVOLUTIONS)]
    return any(op.name in ACTIVATIONS for op in before) or bool(others)


def _prior(model: ModelFacts, pairs: list[Pair]) -> float:
    if not _activated(model):
        return 0.7
    ends = len(pairs) == 1 and pairs[0][1] is last_layer(model)
    narrow = all(2 * one.outputs <= min(one.inputs, other.outputs) for one, other in pairs)
    return 0.3 if ends or narrow else 0.6
