"""`glia.trace`: the forward and the backward pass of a network as one would write them by hand."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from glia.errors import GliaError
from glia.tracing import formulas
from glia.tracing.losses import Loss, Named
from glia.tracing.record import Operation, Recorder
from glia.tracing.rows import LossRow, Row, Trace, Value, Weight


def trace(
    model: nn.Module,
    x: Any,
    y: Any = None,
    loss: str | Loss | None = None,
    lr: float | None = None,
    *,
    title: str = "",
) -> Trace:
    """Run `model` on `x` once, forward and (with a loss) backward, and write every number down.

    x: what the model takes, a tensor or nested lists of numbers. y: the targets; loss: a name of the catalogue or a
    function (outputs, y) -> scalar; without a loss there is a forward pass alone. lr: with it the update of plain
    gradient descent, w - lr dL/dw, is worked out too. A network that ends in its own softmax or sigmoid may be given
    "cross_entropy" or "binary_cross_entropy": the logarithm of its shares is taken as it is.
    The model is not changed, nor are its gradients, its statistics or torch's generator: a copy runs, in the mode
    (training or evaluation) that the model is in, with gradients for frozen weights too.
    Raises GliaError: an input that does not fit, a loss that is not one number, weights that are not finite.

    Example: ``print(glia.trace(model, [[2.0, 3.0]], [[1.0]], "binary_cross_entropy", lr=0.1))``
    """
    _check(model, y, loss, lr)
    twin = _twin(model)
    given = _input(x, twin)
    leaf = given.detach().clone()
    if leaf.is_floating_point():
        leaf.requires_grad_()
    recorder = Recorder(twin)
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), torch.inference_mode(False):
        # A copy goes in: what works in place may not touch a leaf.
        what = f"the network does not take x of shape {tuple(leaf.shape)}"
        output = _fitting(lambda: recorder.run(leaf.clone()), what)
        if not isinstance(output, Tensor):
            raise GliaError("a network that is traced gives one tensor", got=type(output).__name__)
        shown = Value(recorder.symbol_of(output) or "output", output.detach().clone())
        row, targets = None, None
        if loss is not None:
            row, targets = _backward(recorder, output, shown.symbol, y, loss)
    rows, start = _rows(recorder, shown.symbol, row, lr)
    return Trace(title or type(model).__name__, given.detach().clone(), rows, shown, targets, row, lr, leaf.grad, start)


def _check(model: nn.Module, y: Any, loss: str | Loss | None, lr: float | None) -> None:
    if not isinstance(model, nn.Module):
        raise GliaError("trace takes a torch.nn.Module", got=type(model).__name__)
    if (loss is None) != (y is None):
        missing, there = ("loss", "y") if loss is None else ("y", "a loss")
        raise GliaError(f"{there} without {'a loss' if loss is None else 'y'}", expected=missing)
    if lr is not None and not (isinstance(lr, int | float) and 0 < lr < float("inf")):
        raise GliaError("the learning rate", got=lr, expected="a number above 0")
    if lr is not None and loss is None:
        raise GliaError("a learning rate without a loss", expected="y and a loss")


def _twin(model: nn.Module) -> nn.Module:
    """A copy with gradients for every weight that can have one."""
    try:
        twin = copy.deepcopy(model)
    except (RuntimeError, TypeError) as error:
        raise GliaError("the network cannot be copied", got=error) from None
    for parameter in twin.parameters():
        parameter.grad = None
        parameter.requires_grad_(parameter.is_floating_point())
    return twin


def _input(x: Any, model: nn.Module) -> Tensor:
    if isinstance(x, Tensor):
        return x
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    device = next((p.device for p in model.parameters()), None)
    try:
        return torch.as_tensor(x, dtype=dtype, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise GliaError("x is not an array of numbers", got=error) from None


def _fitting(call: Callable[[], Any], what: str) -> Any:
    """The answer; what torch says against it is one line."""
    try:
        return call()
    except GliaError:
        raise
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise GliaError(what, got=str(error).strip().splitlines()[0] if str(error).strip() else error) from error


def _backward(recorder: Recorder, output: Tensor, symbol: str, y: Any, loss: str | Loss) -> tuple[LossRow, Tensor]:
    last = next((one.kind for one in recorder.operations if one.symbol == symbol), "")
    named = Named(loss, last)
    targets = named.targets(y, output)
    value = _fitting(lambda: named.call(output, targets), f"loss {named.name} does not take these outputs and y")
    if not isinstance(value, Tensor) or value.numel() != 1:
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise GliaError(f"loss {named.name} is not one number", got=got)
    if not value.requires_grad:
        raise GliaError(f"loss {named.name} does not depend on the network's weights")
    value.backward()
    prediction = named.prediction(output.detach())
    back = named.gradient(prediction)
    return LossRow(named.name, named.formula, float(value.detach()), prediction, symbol, named.made, back), targets


def _rows(recorder: Recorder, output: str, loss: LossRow | None, lr: float | None) -> tuple[tuple[Row, ...], str]:
    """The rows, and how the gradient of x comes about."""
    operations = recorder.operations
    users: dict[str, list[tuple[str, str, str, int]]] = {}
    for one in operations:
        for symbol in dict.fromkeys(symbol for symbol, _ in one.given):
            users.setdefault(symbol, []).append((one.kind, one.part, one.symbol, one.number))
    seen: dict[str, str] = {}

    def row(one: Operation) -> Row:
        back = formulas.back(one.symbol, users.get(one.symbol, [])) if loss is not None else ""
        if loss is not None and one.symbol == output:
            back = " + ".join(filter(None, [loss.back, back]))
        return Row(
            one.name,
            one.kind,
            one.part,
            one.number,
            tuple(Value(symbol, value) for symbol, value in one.given),
            Value(one.symbol, one.out),
            tuple(_weight(one, name, parameter, lr, seen) for name, parameter in one.weights),
            one.formula,
            back,
            one.gradients[-1] if one.gradients else None,
            one.slope,
        )

    return tuple(row(one) for one in operations), formulas.back("x", users.get("x", []))


def _weight(one: Operation, name: str, parameter: Tensor, lr: float | None, seen: dict[str, str]) -> Weight:
    """seen: symbols by name; a weight that is used again keeps its first."""
    symbol = seen.get(name)
    if symbol is None:
        alone = len(one.weights) == 1
        symbol = formulas.symbol_of_weight(name, one.part, one.number, parameter.ndim, alone)
        while symbol in seen.values():
            symbol += "'"
        seen[name] = symbol
    value = parameter.detach().clone()
    gradient = parameter.grad.clone() if parameter.grad is not None else None
    new = value - lr * gradient if lr is not None and gradient is not None else None
    given = one.given[0][0] if one.given else "x"
    back = formulas.back_to_weight(one.kind, one.part, symbol, one.symbol, given) if gradient is not None else ""
    return Weight(name, symbol, value, gradient, new, back)
