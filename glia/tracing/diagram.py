"""A small dense network as a picture: what each neuron gives, the weights between them, the gradients at each."""

from dataclasses import dataclass

from markupsafe import Markup
from torch import Tensor

from glia.report.svg import element, join
from glia.report.words import minus
from glia.tracing.numbers import number
from glia.tracing.rows import Trace

_WIDEST, _DEEPEST, _LABELLED = 6, 6, 12  # neurons a layer, layers, weights of a layer that get their numbers
_ACROSS, _DOWN, _RADIUS, _MARGIN = 190.0, 96.0, 27.0, 64.0


@dataclass
class _Layer:
    """A column of neurons. weights: from the column before, (here, before)."""

    symbol: str
    values: list[float]
    deltas: list[float] | None
    weights: Tensor | None = None


def draw(trace: Trace) -> Markup:
    """The picture; empty for what is not a chain of small dense layers with one row of input."""
    layers = _layers(trace)
    if layers is None:
        return Markup("")
    tallest = max(len(layer.values) for layer in layers)
    width, height = 2 * _MARGIN + _ACROSS * (len(layers) - 1), _DOWN * tallest + 46
    places = [
        [(_MARGIN + _ACROSS * i, 26 + _DOWN * (tallest - len(layer.values)) / 2 + _DOWN * (j + 0.5))
         for j in range(len(layer.values))]
        for i, layer in enumerate(layers)
    ]  # fmt: skip
    parts = [edge for i in range(1, len(layers)) for edge in _edges(layers[i], places[i - 1], places[i])]
    for layer, spots in zip(layers, places):
        parts.append(element("text", layer.symbol, x=spots[0][0], y=18.0, class_="head"))
        parts += [node for j, spot in enumerate(spots) for node in _node(layer, j, spot)]
    box = f"0 0 {width:.0f} {height:.0f}"
    label = "the network: numbers in the neurons, weights on the lines, gradients below"
    style = "net wide" if len(layers) > 3 else "net"
    return element("svg", join(parts), viewBox=box, width=width, class_=style, role="img", aria_label=label)


def _layers(trace: Trace) -> list[_Layer] | None:
    start = _few(trace.x)
    if start is None:
        return None
    layers = [_Layer("x", start, None)]
    symbol = "x"
    for row in trace.rows:
        values = _few(row.out.value)
        if values is None or len(row.given) != 1 or row.given[0].symbol != symbol:
            return None
        symbol = row.out.symbol
        deltas = _few(row.gradient) if row.gradient is not None else None
        if row.kind.lower() == "linear" and row.weights:
            layers.append(_Layer(symbol, values, deltas, row.weights[0].value))
        elif row.part != "activation" or len(values) != len(layers[-1].values):
            return None
        else:  # the neuron shows what it gives; its delta stays dL/dz
            layers[-1].symbol, layers[-1].values = symbol, values
            if layers[-1].weights is None:
                return None
    return layers if 1 < len(layers) <= _DEEPEST else None


def _few(values: Tensor) -> list[float] | None:
    if not 0 < values.numel() <= _WIDEST or any(size > 1 for size in values.shape[:-1]):
        return None
    flat: list[float] = values.detach().flatten().tolist()
    return flat


def _edges(layer: _Layer, before: list[tuple[float, float]], here: list[tuple[float, float]]) -> list[Markup]:
    """Lines as thick as the weights are large; their numbers near the neuron they start from, so that none cross."""
    if layer.weights is None:
        return []
    matrix = layer.weights.tolist()
    most = max((abs(value) for row in matrix for value in row), default=0.0) or 1.0
    lines, labels = [], []
    for (x1, y1), column in zip(before, zip(*matrix)):
        for j, ((x2, y2), weight) in enumerate(zip(here, column)):
            sign = "plus" if weight > 0 else "minus" if weight < 0 else "none"
            thick = 1.0 + 3.0 * abs(weight) / most
            lines.append(element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=sign, stroke_width=thick))
            share = 0.36 + (0.0 if len(here) == 1 else 0.1 * (j % 2))
            x, y = x1 + share * (x2 - x1), y1 + share * (y2 - y1) + 4
            labels.append(element("text", minus(number(weight, 3)), x=x, y=y, class_="weight"))
    return lines + (labels if len(before) * len(here) <= _LABELLED else [])


def _node(layer: _Layer, j: int, spot: tuple[float, float]) -> list[Markup]:
    x, y = spot
    kind = "given" if layer.weights is None else "off" if layer.values[j] == 0 else "on"
    parts = [
        element("circle", cx=x, cy=y, r=_RADIUS, class_=kind),
        element("text", minus(number(layer.values[j], 3)), x=x, y=y + 5, class_="value"),
    ]
    if layer.deltas is not None:
        parts.append(element("text", "δ " + minus(number(layer.deltas[j], 3)), x=x, y=y + _RADIUS + 15, class_="delta"))
    return parts
