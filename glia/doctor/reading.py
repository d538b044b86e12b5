"""Reading: what several checks want to know of a chart: labels, layers, what comes after the last one."""

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite, nan
from typing import Any

from glia.vitals.chart import Chart, LabelFacts, LayerVitals, LossFacts, ModelFacts, OperationFacts, Spread

CROSS_ENTROPY: dict[str, Any] = {"loss": "CrossEntropyLoss", "target": "index", "output_activation": "none"}
WITH_LOGITS: dict[str, Any] = {"loss": "BCEWithLogitsLoss", "output_activation": "none"}
OF_CLASSES = ("cross_entropy", "nll", "log", "causal_cross_entropy")
OF_YES = ("bce", "bce_logits")
_NAMES = {
    "cross_entropy": "CrossEntropyLoss",
    "causal_cross_entropy": "CrossEntropyLoss",
    "nll": "NLLLoss",
    "mse": "MSELoss",
    "root_mse": "MSELoss",
    "l1": "L1Loss",
    "smooth_l1": "SmoothL1Loss",
    "huber": "SmoothL1Loss",
    "bce": "BCELoss",
    "bce_logits": "BCEWithLogitsLoss",
    "hinge": "MultiMarginLoss",
}
NOT_LAYERS = ("embedding", "embedding_bag")
_RESHAPES = {"View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Permute", "Transpose", "T", "Clone"}
_RESHAPES |= {"Select", "Slice", "ToCopy", "Expand", "Clamp", "Contiguous"}
_GRAPH = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid", "Relu": "relu", "Tanh": "tanh"}
SHIFTED = {"softmax", "sigmoid"}  # what makes numbers between 0 and 1, whatever it is given
MANY_VALUES = 1000  # whole numbers up to this may be class numbers


def train_labels(chart: Chart) -> LabelFacts | None:
    """Of the rows that are trained on; None where they are not known."""
    return next((labels for labels in chart.labels if labels.part == "train"), None)


def first_model(chart: Chart) -> ModelFacts | None:
    """The outermost module that was called first."""
    return chart.models[0] if chart.models else None


def first_loss(chart: Chart) -> LossFacts | None:
    """The loss that is best known: the first one."""
    return next(iter(losses(chart)), None)


def losses(chart: Chart) -> list[LossFacts]:
    """All losses. Of positions (N, C, T), cross-entropy reshapes between its two halves: together they are one."""
    return [_joined(loss) for loss in chart.losses]


def _joined(loss: LossFacts) -> LossFacts:
    named = [name for name in loss.before if name not in _RESHAPES]
    if loss.kind != "nll" or named[:1] != ["LogSoftmax"]:
        return loss
    return replace(loss, kind="cross_entropy", before=loss.before[loss.before.index("LogSoftmax") :])


def layers(model: ModelFacts | None) -> list[OperationFacts]:
    """Operations with weights that multiply, in order."""
    return [op for op in model.operations if op.weighted] if model else []


def hidden_layers(model: ModelFacts | None) -> list[OperationFacts]:
    """All of them but the last, without embeddings."""
    return [op for op in layers(model)[:-1] if op.name not in NOT_LAYERS]


def last_layer(model: ModelFacts | None) -> OperationFacts | None:
    """The last one."""
    return next(reversed(layers(model)), None)


def place(chart: Chart, path: str, name: str = "") -> str:
    """What people call a module: its path and class."""
    known = {module: kind for model in chart.models for module, kind in model.modules}
    kind = known.get(path, name)
    return f"{path or 'the model'} ({kind})" if kind else path or "the model"


def loss_place(loss: LossFacts) -> str:
    """What people call a loss."""
    return f"the loss ({loss.kind})"


def loss_change(loss: LossFacts) -> dict[str, Any]:
    """The same loss as torch.nn has it: a plain mean over rows, and the right way round. Empty where it has none."""
    if loss.kind == "log":
        return dict(CROSS_ENTROPY)
    if loss.kind not in _NAMES:
        return {}
    applied = {"output_activation": loss.applied} if loss.applied else {}
    return {"loss": _NAMES[loss.kind], **applied}


def graph_way(loss: LossFacts) -> tuple[str, ...] | None:
    """Activations before the loss function, nearest last, as the autograd graph has them; None where it has others."""
    before = loss.before[1:] if loss.kind == "cross_entropy" else loss.before
    named = [name for name in before if name not in _RESHAPES]
    if any(name not in _GRAPH for name in named[:1]):
        return None
    found = []
    for name in named:
        if name not in _GRAPH:
            break
        found.append(_GRAPH[name])
    return tuple(reversed(found))


def way(chart: Chart, loss: LossFacts) -> tuple[str, ...] | None:
    """Activations between the last layer with weights and the loss function, in order; None where they are not known.

    A clamp behind a softmax or a sigmoid only keeps the logarithm finite: it is left out.
    """
    model = first_model(chart)
    known = model.output if model else ""
    last = last_layer(model)
    if not isfinite(loss.times) or not known:
        # Without capture an empty graph says little: a reshape by hand looks the same.
        return (graph_way(loss) or None) if loss.kind in (*OF_CLASSES, *OF_YES) else None
    if known == "other":
        return None
    told = last is not None and last.name == "linear" and min(last.outputs, loss.outputs, loss.classes) > 0
    if told and last is not None and last.outputs != loss.outputs:  # the answers are put together from several layers
        return None
    names = [name for name in known.split("+") if name != "none"] + ([loss.applied] if loss.applied else [])
    joined = "+".join(names).replace("log_softmax+exp", "softmax")
    found: list[str] = []
    for name in joined.split("+") if joined else []:
        if not (name == "clamp" and SHIFTED & set(found)):
            found.append(name)
    return tuple(found)


def single_output(chart: Chart, loss: LossFacts) -> bool:
    """Is it known that the model gives one number a row?"""
    last = last_layer(first_model(chart))
    if loss.outputs:
        return loss.outputs == 1
    return last is not None and last.outputs == 1


def classes_on_one_output(chart: Chart, loss: LossFacts) -> int:
    """How many classes (3 or more) the labels of a network with one output have; 0 where they are not such."""
    labels = train_labels(chart)
    if labels is None or not labels.whole or labels.form == "onehot" or not single_output(chart, loss):
        return 0
    if labels.values.high - labels.values.low <= 1:  # yes and no, counted from 1
        return 0
    if labels.kind == "classes" or loss.classes > 2:
        return max(labels.classes, loss.classes) if max(labels.classes, loss.classes) > 2 else 0
    counted = labels.values.low >= 0 and 2 <= labels.values.high < MANY_VALUES
    squeezed = loss.kind in (*OF_CLASSES, *OF_YES, "hinge") or bool(SHIFTED & set(way(chart, loss) or ()))
    return int(labels.values.high) + 1 if labels.kind == "numbers" and counted and squeezed else 0


def vitals(chart: Chart, path: str) -> LayerVitals | None:
    """The first measured step of a module; None where it was never measured."""
    return next((layer for layer in chart.layers if layer.module == path and layer.leaf), None)


def detached(model: ModelFacts) -> OperationFacts | None:
    """A detach() between layers that keeps all layers before it from learning; None where they have gradients.

    Straight-through estimates and targets of their own detach too, and their layers do have gradients.
    """
    operations = model.operations
    cuts = [i for i, op in enumerate(operations) if op.name == "detach"]
    for at in cuts:
        before = [op for op in operations[:at] if op.weighted and op.trainable]
        after = [op for op in operations[at + 1 :] if op.weighted]
        paths = {op.module for op in before}
        reached = [p for p in model.parameters if p.trainable and p.name.rpartition(".")[0] in paths and p.graded]
        if before and after and not (reached and model.measured):
            return operations[at]
    return None


def gradient_fades(chart: Chart, share: float = 1e-2) -> bool:
    """Is the first layer's gradient, for its weights, this much less than the last's, at the first measured step?"""
    first = [v for v in chart.layers if chart.layers[0].step == v.step and v.leaf and v.weighted]
    sizes = [v.grad_norm / v.weight_norm for v in first if v.weight_norm > 0 and isfinite(v.grad_norm)]
    return len(sizes) > 2 and sizes[-1] > 0 and sizes[0] / sizes[-1] < share


def out_of(labels: LabelFacts | None, low: float, high: float, margin: float = 0.01) -> bool:
    """Do the numbers to predict leave this range? False where they are not known."""
    if labels is None:
        return False
    return labels.values.low < low - margin or labels.values.high > high + margin


def largest(values: Sequence[float]) -> float:
    """The largest of those that are known; NaN without any."""
    return max((value for value in values if isfinite(value)), default=nan)


def follows(chart: Chart, one: OperationFacts, other: OperationFacts, between: Sequence[OperationFacts]) -> bool:
    """Is a layer fed with what another gave, so far as is known? Operations stand in the order of their calls, and
    layers side by side (queries, keys) stand there like layers in a row; what they were given tells them apart.
    """
    if one.name == other.name and one.outputs and other.inputs and one.outputs != other.inputs:
        return False
    first, second = vitals(chart, one.module), vitals(chart, other.module)
    normed = any("norm" in op.name for op in between)
    if first is None or second is None or first is second:
        return not normed
    if alike(first.input, second.input):
        return False
    passed = first.output
    for op in between:
        seen = vitals(chart, op.module)
        if seen is None:  # a plain function: what comes out of it was not measured
            return not normed  # a norm often stands behind a sum of two branches
        if isfinite(seen.input.std) and not alike(passed, seen.input):
            return False
        passed = seen.output
    return alike(passed, second.input)


def alike(one: Spread, other: Spread) -> bool:
    """Are these the same numbers, as far as their mean, deviation and range say?"""
    pairs = [(one.mean, other.mean), (one.std, other.std), (one.low, other.low), (one.high, other.high)]
    return all(abs(a - b) <= 1e-3 * (one.std + 1e-9) for a, b in pairs)
