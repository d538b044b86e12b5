"""Small sums spelled out with their numbers, as one would write them on paper."""

from torch import Tensor

from glia.tracing.numbers import number
from glia.tracing.rows import LossRow, Row, Trace, Weight

_MOST = 4  # numbers in a sum, and sums that are spelled out


def forward(row: Row) -> list[str]:
    """``0.5*2 + 0.3*3 + 1 = 2.9``, one line a neuron, for one row of input and few numbers; else nothing."""
    given, out = (_few(row.given[0].value) if row.given else None), _few(row.out.value)
    if given is None or out is None:
        return []
    kind = row.kind.lower()
    if kind == "linear" and row.weights:
        return _sums(row, given, out)
    if kind == "sigmoid":
        return [f"1 / (1 + e^{number(-z)}) = {number(a)}" for z, a in zip(given, out)]
    if kind == "relu":
        return [f"max(0, {number(z)}) = {number(a)}" for z, a in zip(given, out)]
    if kind == "tanh":
        return [f"tanh({number(z)}) = {number(a)}" for z, a in zip(given, out)]
    if kind == "softmax" and len(given) > 1:
        return _shares(given, out)
    return []


def _sums(row: Row, given: list[float], out: list[float]) -> list[str]:
    matrix = row.weights[0].value.tolist()
    bias = row.weights[1].value.tolist() if len(row.weights) > 1 else [None] * len(out)
    lines = []
    for weights, shift, z in zip(matrix, bias, out):
        products = " + ".join(f"{_held(w)}*{_held(x)}" for w, x in zip(weights, given))
        lines.append(f"{products}{f' + {_held(shift)}' if shift is not None else ''} = {number(z)}")
    return lines


def _shares(given: list[float], out: list[float]) -> list[str]:
    # From the greatest on, the way a machine works it out, only where e^z itself is too large to write down.
    shift = max(given) if max(given) > 20 else 0.0
    powers = [2.718281828459045 ** (z - shift) for z in given]
    total = " + ".join(number(power) for power in powers)
    lines = [f"e^{number(z - shift)} / sum = {number(p)} / {number(sum(powers))} = {number(a)}"
             for z, p, a in zip(given, powers, out)]  # fmt: skip
    return [f"sum = {total} = {number(sum(powers))}", *lines]


def shares(loss: LossRow, output: Tensor) -> list[str]:
    """How ŷ comes from logits that the loss squashes itself."""
    given, out = _few(output), _few(loss.prediction)
    if given is None or out is None:
        return []
    if loss.made == "sigmoid":
        return [f"1 / (1 + e^{number(-z)}) = {number(a)}" for z, a in zip(given, out)]
    return _shares(given, out) if loss.made == "softmax" and len(given) > 1 else []


def loss(trace: Trace) -> str:
    """``(0.5546 - 1)^2 = 0.1984``; "" where it is not one number, or one class."""
    row, y = trace.loss, trace.y
    if row is None or y is None:
        return ""
    value, prediction = number(row.value), row.prediction.flatten().tolist()
    if row.name == "cross_entropy":
        truth = _truth(y, len(prediction))
        return f"-log({number(prediction[truth])}) = {value}" if truth is not None else ""
    if len(prediction) != 1 or y.numel() != 1:
        return ""
    guess, wanted = number(prediction[0]), float(y)
    if row.name in ("mse", "half_mse"):
        half = " / 2" if row.name == "half_mse" else ""
        return f"({guess} - {_held(wanted)})^2{half} = {value}"
    if row.name == "binary_cross_entropy" and wanted in (0.0, 1.0):
        return f"-log({guess}) = {value}" if wanted else f"-log(1 - {guess}) = {value}"
    return f"|{guess} - {_held(wanted)}| = {value}" if row.name == "mae" else ""


def _truth(y: Tensor, classes: int) -> int | None:
    """The class of a single row, from its index or its one-hot form."""
    if y.numel() == 1 and not y.is_floating_point():
        return int(y)
    hot = y.flatten()
    return int(hot.argmax()) if len(hot) == classes and float(hot.max()) == 1 == float(hot.sum()) else None


def through(row: Row, before: Tensor) -> list[str]:
    """dL/dz = dL/da * a'(z) of an activation: ``-0.8908 * 0.247 = -0.22``; before: dL/dz."""
    parts = [_few(t) for t in (row.gradient, row.slope, before) if t is not None]
    if len(parts) != 3:
        return []
    after, slope, result = parts
    if after is None or slope is None or result is None:
        return []
    return [f"{number(a)} * {_held(s)} = {number(r)}" for a, s, r in zip(after, slope, result)]


def weight(row: Row, one: Weight) -> str:
    """dL/dw of a layer with one weight: ``-0.22 * 0.7311 = -0.1609``."""
    if not one.back or one.gradient is None or row.gradient is None or not one.symbol.startswith("w"):
        return ""
    given = _few(row.given[0].value) if row.given else None
    if one.value.numel() != 1 or row.gradient.numel() != 1 or given is None:
        return ""
    return f"{number(float(row.gradient))} * {_held(given[0])} = {number(float(one.gradient))}"


def update(one: Weight, lr: float) -> str:
    """``0.3 - 0.1 * (-0.1609) = 0.3161``."""
    if one.value.numel() != 1 or one.gradient is None or one.new is None:
        return ""
    return f"{number(float(one.value))} - {number(lr)} * {_held(float(one.gradient))} = {number(float(one.new))}"


def _held(value: float) -> str:
    """A negative factor in brackets."""
    text = number(value)
    return f"({text})" if text.startswith("-") else text


def _few(values: Tensor) -> list[float] | None:
    """The numbers of a single row of at most four."""
    if values.numel() > _MOST or any(size > 1 for size in values.shape[:-1]):
        return None
    flat: list[float] = values.detach().flatten().tolist()
    return flat
