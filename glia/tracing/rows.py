"""What a trace holds: plain data, measured once, for whoever shows it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Value:
    """A tensor with the symbol that people write for it: x, z1, a1."""

    symbol: str
    value: Tensor


@dataclass(frozen=True)
class Weight:
    """A parameter of an operation.

    name: its name in the model ("0.weight"). symbol: "w1", "b1". gradient: dL/dw over the whole network, None where
    nothing was differentiated or the loss does not depend on it. new: value - lr * gradient, None without a rate.
    back: how the gradient comes about, in symbols; "" where that is not one short product.
    """

    name: str
    symbol: str
    value: Tensor
    gradient: Tensor | None = None
    new: Tensor | None = None
    back: str = ""


@dataclass(frozen=True)
class Row:
    """One operation of the network, in the order in which they ran.

    name: the module's name in the model ("" for the model itself and for plain functions of it). kind: the module's
    class or the function's name. part: "layer", "activation", "norm", "dropout", "shape" or "other".
    number: the layer that it belongs to, from 1; 0 before the first. given: what went in. out: what came out.
    gradient: dL/d(out). slope: d(out)/d(in) of an activation that works number by number.
    formula: how out comes about, in symbols. back: how the gradient comes about, in symbols; "" at the output.
    """

    name: str
    kind: str
    part: str
    number: int
    given: tuple[Value, ...]
    out: Value
    weights: tuple[Weight, ...]
    formula: str
    back: str = ""
    gradient: Tensor | None = None
    slope: Tensor | None = None


@dataclass(frozen=True)
class LossRow:
    """The loss. formula: in symbols. prediction: what it compares with y, worked out from `of` as `made` says.

    back: how dL/d(output) comes about, in symbols.
    """

    name: str
    formula: str
    value: float
    prediction: Tensor
    of: str
    made: str
    back: str


@dataclass(frozen=True)
class Trace:
    """One forward and, with a loss, one backward pass of a network, operation by operation.

    x: the input. gradient: dL/dx, None for whole numbers. y: the targets. rows: see Row. output: what the network
    gave. lr: the rate of the update. ``print(trace)`` shows it as text, ``trace.html()`` as a page of its own.
    """

    title: str
    x: Tensor
    rows: tuple[Row, ...]
    output: Value
    y: Tensor | None = None
    loss: LossRow | None = None
    lr: float | None = None
    gradient: Tensor | None = None
    back: str = ""

    def weights(self) -> Iterator[Weight]:
        """Every parameter that an operation used, each once."""
        seen: set[str] = set()
        for row in self.rows:
            for weight in row.weights:
                if weight.name not in seen:
                    seen.add(weight.name)
                    yield weight

    def __getitem__(self, symbol: str) -> Tensor:
        """The number behind a symbol: ``trace["z1"]``, ``trace["w1"]``; ``trace["dL/dz1"]`` for its gradient;
        ``trace["slope a1"]`` for an activation's slope; ``trace["new w1"]`` after the update."""
        kind, _, name = symbol.rpartition(" ") if " " in symbol else symbol.rpartition("d")
        found = _symbols(self).get((kind, name) if kind in ("dL/", "new", "slope") else ("", symbol))
        if found is None:
            raise KeyError(symbol)
        return found

    def __str__(self) -> str:
        from glia.tracing.terminal import text

        return text(self)

    def __rich__(self) -> Any:
        from glia.tracing.terminal import renderable

        return renderable(self)

    def html(self) -> str:
        """A page that needs nothing else."""
        from glia.tracing.page import render

        return render(self)

    def _repr_html_(self) -> str:
        from glia.tracing.page import framed

        return framed(self)


def _symbols(trace: Trace) -> dict[tuple[str, str], Tensor]:
    """(what, symbol) -> tensor."""
    found: dict[tuple[str, str], Tensor | None] = {("", "x"): trace.x, ("dL/", "x"): trace.gradient}
    for row in trace.rows:
        found |= {("", row.out.symbol): row.out.value, ("dL/", row.out.symbol): row.gradient}
        found[("slope", row.out.symbol)] = row.slope
        for weight in row.weights:
            found |= {("", weight.symbol): weight.value, ("dL/", weight.symbol): weight.gradient}
            found[("new", weight.symbol)] = weight.new
    if trace.y is not None:
        found[("", "y")] = trace.y
    if trace.loss is not None:
        found[("", "ŷ")] = trace.loss.prediction
    return {key: value for key, value in found.items() if value is not None}
