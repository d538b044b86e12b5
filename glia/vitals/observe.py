"""Observe: what a capture shows, written into the chart once the run is over. Measured here, judged elsewhere."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from glia.vitals.assemble import bench
from glia.vitals.bench import Bench
from glia.vitals.capture import Capture, Capturer, copied, unwrapped
from glia.vitals.chart import Chart, LoopFacts, LossFacts, ModelFacts
from glia.vitals.operations import Step, activation, facts, walk
from glia.vitals.rows import label_facts, rows_facts, split_facts
from glia.vitals.tape import Ref, leaves, mapped

LOOKED_AT = 64  # rows of a pass whose operations are told
_OUTPUTS = (
    "softmax",
    "log_softmax",
    "sigmoid",
    "relu",
    "tanh",
    "softsign",
    "softplus",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
)
_STRETCHING = {
    "sub",
    "__sub__",
    "rsub",
    "__rsub__",
    "mul",
    "__mul__",
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
}
_STRETCHING |= {"add", "__add__", "binary_cross_entropy_with_logits", "eq", "__eq__"}


def complete(chart: Chart, capturer: Capturer, roots: Sequence[nn.Module]) -> None:
    """Fill in what only the end of a run shows. A failure is noted in the chart: it must not reach the script."""
    try:
        capture = capturer.finish()
        made = bench(capture)
        chart.bench = made
        chart.loop = _loop(chart, capture, made)
        if capture.broken:
            chart.notes.append(f"no cures can be tried: {capture.broken}")
        if made is not None:
            with torch.random.fork_rng(devices=[]):
                _complete(chart, made, roots)
    except Exception as error:
        chart.notes.append(f"the rows could not be looked at: {type(error).__name__}: {error}")


def _complete(chart: Chart, made: Bench, roots: Sequence[nn.Module]) -> None:
    root = made.capture.roots[made.call.function.root]
    number = next((i for i, one in enumerate(roots) if unwrapped(one) is root), None)
    if made.train is not None:
        steps, output, own = passes(made)
        made.steps = steps
        if number is not None and number < len(chart.models):
            chart.models[number] = _model(chart.models[number], steps, output, own)
    _losses(chart, made)
    _rows(chart, made)
    _scores(chart, made)


def passes(made: Bench) -> tuple[list[Step], Tensor, set[int]]:
    """The operations of a training pass of the judged model, on a few rows, its output, and its parameters' ids."""
    rows = made.train
    if rows is None:
        raise ValueError("there are no rows to pass")
    count = rows.count

    def cut(tensor: Tensor) -> Tensor:
        return tensor[:LOOKED_AT] if tensor.ndim and len(tensor) == count and made.together else tensor

    args, kwargs = mapped((rows.args, rows.kwargs), cut)
    twin = copied([made.capture.initial[rows.call.root]])[0]
    module = twin.get_submodule(rows.call.path)
    with made.precision():
        steps, result = walk(twin, lambda: module(*args, **kwargs))
    return steps, made.judged(result).float(), {id(p) for p in twin.parameters()}


def _model(known: ModelFacts, steps: Sequence[Step], output: Tensor, own: set[int]) -> ModelFacts:
    operations = (replace(facts(step), owned=all(id(w) in own for w in step.weights)) for step in steps)
    return replace(known, operations=tuple(operations), output=output_activation(steps, output))


def output_activation(steps: Sequence[Step], output: Tensor) -> str:
    """What lies between the last layer's numbers and the output, by name, else by values; "other" where
    both fail; "" where the numbers were put together in between.
    """
    last = last_layer(steps)
    if last is None:
        return ""
    named = [step.name for step in steps if step.kind == "activation" and step.at > last.at]
    if named:
        return "+".join(named)
    if last.out is None or last.out.numel() != output.numel():
        return ""
    raw = last.out.reshape(output.shape).float()
    if torch.allclose(raw, output, rtol=1e-3, atol=1e-5):
        return "none"
    for name in _OUTPUTS:
        if torch.allclose(activation(name)(raw), output, rtol=1e-2, atol=1e-4):
            return name
    if torch.allclose(raw.clamp(0, 1), output, rtol=1e-3, atol=1e-5) or torch.allclose(raw.relu().clamp(0, 1), output):
        return "clamp"
    return "other"


def last_layer(steps: Sequence[Step]) -> Step | None:
    """The last operation with weights that multiply."""
    return next((step for step in reversed(steps) if step.kind == "layer"), None)


def _losses(chart: Chart, made: Bench) -> None:
    found = made.objective
    stretched = _stretched(made)
    if found.kind == "unknown" and stretched is None:
        return
    known = chart.losses[0] if chart.losses else LossFacts("unknown")
    changes: dict[str, Any] = {
        "sign": found.sign,
        "times": found.times,
        "added": found.added,
        "applied": found.applied,
    }
    if found.kind == "unknown":
        changes = {}
    elif known.kind in ("unknown", "l1", "nll") or found.kind in ("log", "hinge", "root_mse"):
        changes |= {"kind": found.kind}
    first = made.capture.losses[0]
    filled = {"value": (first - found.added) / (found.sign * found.times) if found.times else math.nan, "total": first}
    if known.kind == "unknown":
        changes |= filled
    classes = made.answers.classes if made.answers is not None else 0
    chart.losses[:1] = [
        replace(
            known,
            broadcast=stretched,
            unstable=found.unstable,
            summed=found.summed,
            outputs=known.outputs or (made.answers.outputs if made.answers else 0),
            classes=known.classes or classes,
            **changes,
        )
    ]


def _stretched(made: Bench) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Shapes of two tensors of the loss that were stretched to fit each other, where that made more numbers of both."""
    if made.place < 0 or made.label_slot is None or made.own_loss:
        return None
    label = made.tape.given[made.label_slot]
    shapes = {
        made.place: tuple(made.shape_of(made.place)),
        label: tuple(made.capture.batches[0][made.label_slot].shape),
    }
    for operation in made.tape.operations:
        pair = [value for value in operation.args[:2] if isinstance(value, Ref) and value.at in shapes]
        if operation.name in _STRETCHING and len(pair) == 2:
            a, b = shapes[pair[0].at], shapes[pair[1].at]
            try:
                joined = torch.broadcast_shapes(a, b)
            except RuntimeError:
                continue
            if math.prod(joined) > max(math.prod(a), math.prod(b)) and min(math.prod(a), math.prod(b)) > 1:
                return (a, b) if pair[0].at == made.place else (b, a)
    return None


def _rows(chart: Chart, made: Bench) -> None:
    """Facts of the rows and the labels of both parts, and of how they lie to each other."""
    inputs = {}
    for rows in (made.train, made.held):
        if rows is None:
            continue
        part = "train" if rows.source == "train" else "valid"
        given = leaves((rows.args, rows.kwargs))
        if not given or not given[0].ndim:
            continue
        inputs[part] = (given[0], rows.labels)
        chart.rows.append(rows_facts(part, given[0]))
        if rows.labels is not None and made.answers is not None:
            data_order = made.capture.data_labels if part == "train" else None
            chart.labels.append(label_facts(part, rows.labels, made.answers.outputs, rows.labels, data_order))
    if len(inputs) == 2 and made.together:
        (x, y), (x_held, y_held) = inputs["train"], inputs["valid"]
        back = _given_back(x, y)  # what is to be given back says nothing of leaks
        split = split_facts(x, None if back else y, x_held, None if back else y_held)
        chart.split = replace(split, shared=max(split.shared, made.shared))


def _given_back(x: Tensor, y: Tensor | None) -> bool:
    """Are the answers the inputs themselves?"""
    return y is not None and x.numel() == y.numel() and torch.equal(x.reshape(y.shape).to(y.dtype), y)


def _scores(chart: Chart, made: Bench) -> None:
    """How good the trained model's answers are, in the mode in which the script looked at them; asked of copies."""
    models = copied(made.capture.roots)
    for rows in (made.train, made.held):
        if rows is None:
            continue
        for root in models:
            root.train(rows.training)
        found = made.score(models, rows)
        if found is None:
            continue
        chart.scores.append(found)
        if rows.training and chart.loop is not None:
            for root in models:
                root.eval()
            calm = made.score(models, rows)
            if calm is not None:
                chart.loop = replace(chart.loop, mode_gain=calm.skill - found.skill)


def _loop(chart: Chart, capture: Capture, made: Bench | None) -> LoopFacts:
    known = chart.loop or LoopFacts()
    steps = max(1, capture.epoch_backwards)
    looked, training = (
        capture.modes["evaluate on"] + capture.modes["evaluate off"],
        capture.modes["evaluate on"],
    )
    return replace(
        known,
        epochs=chart.backwards / steps if capture.batches else math.nan,
        batch_size=made.batch_rows if made is not None else 0,
        rows=made.rows if made is not None and made.together else 0,
        epoch_steps=capture.epoch_backwards,
        evaluation_mode=training / looked if looked else math.nan,
        shuffled=capture.shuffled,
        half=bool(capture.autocast),
        validated=bool(capture.held),
        argmax_of_one=capture.argmax_of_one,
        detached=int(chart.backwards == 0 and capture.modes["train on"] + capture.modes["train off"] > 0),
    )
