"""From a graph of operators to one straight row of Python calls.

torch's own code generator writes the function. What is done here: each operator is called by its shortest way from
Python, and what needs no call a step (views of parameters, a constant, a view of a view) is taken out of the row.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch._C import TensorBase, _VariableFunctions

from glia.replay.trace import Traced

_ATEN = torch.ops.aten
_VIEWS = {_ATEN.t.default, _ATEN.transpose.int, _ATEN.permute.default, _ATEN.view.default, _ATEN.unsqueeze.default}
SAME = {_ATEN.detach.default, _ATEN.alias.default}  # where no gradient is kept


class Program(NamedTuple):
    """run: takes parameters, buffers and the batch's tensors, then `fixed`; gives loss, metric, gradients."""

    run: Callable[..., tuple[Any, ...]]
    fixed: tuple[Any, ...]


def emit(traced: Traced, states: Sequence[Tensor], trained: int) -> Program:
    """states: the parameters (the first `trained`) and buffers themselves, whose memory stays where it is."""
    return _Emitter(traced, states, trained).program()


class _Emitter:
    def __init__(self, traced: Traced, states: Sequence[Tensor], trained: int):
        self.traced, self.states = traced, states
        self.graph = fx.Graph()
        self.made: dict[fx.Node, Any] = {}
        self.fixed: list[Any] = []
        placeholders = [node for node in traced.graph.nodes if node.op == "placeholder"]
        self.parameters = {node: states[place].detach() for place, node in enumerate(placeholders[:trained])}
        self.ops: dict[Any, fx.Node] = {}
        self.writing: set[fx.Node] = set()  # calls that write into an argument

    def program(self) -> Program:
        nodes = list(self.traced.graph.nodes)
        for node in nodes:
            if node.op == "placeholder":
                self.made[node] = self.graph.placeholder(node.name)
        for node in nodes:
            if node.op == "get_attr":
                self.made[node] = self._held(self.traced.held[str(node.target)], node.name)
            elif node.op == "call_function":
                self.made[node] = self._call(node)
                if _changes(node):
                    self.writing.add(self.made[node])
            elif node.op == "output":
                self.graph.output(tuple(self._new(node.args[0])))
        self.graph.eliminate_dead_code(lambda node: node.is_impure() or node in self.writing)
        module = fx.GraphModule({}, self.graph)
        return Program(module.forward, tuple(self.fixed))

    def _new(self, given: Any) -> Any:
        """Arguments of the old graph as ones of the new."""
        return fx.node.map_arg(given, lambda node: self.made[node])

    def _held(self, value: Any, name: str) -> fx.Node:
        """A thing that stays the same from step to step comes in as one more argument."""
        self.fixed.append(value)
        return self.graph.placeholder(f"held_{len(self.fixed)}_{name}")

    def _call(self, node: fx.Node) -> Any:
        target, args = node.target, node.args
        first = args[0] if args and isinstance(args[0], fx.Node) else None
        if target in SAME:
            return self._new(first)
        if target in _VIEWS and first in self.parameters and not node.kwargs:
            value = target(self.parameters[first], *args[1:])
            self.parameters[node] = value
            return self._held(value, node.name)
        if target is _ATEN.t.default and isinstance(first, fx.Node) and first.target is _ATEN.t.default:
            return self._new(first.args[0])
        if target is _ATEN.ones_like.default and not node.meta["val"].ndim and not any(map(_changes, node.users)):
            return self._held(torch.ones((), dtype=node.meta["val"].dtype), node.name)  # where autograd begins
        if target is _ATEN.view.default and first is not None and _sums_out(first, args[1]):
            return self._shortest(_ATEN.sum.dim_IntList, self._new((*first.args[:2], False)), {})
        return self._shortest(target, self._new(args), self._new(node.kwargs))

    def _shortest(self, target: Any, args: Any, kwargs: Any) -> fx.Node:
        """A call of an operator: by torch's own binding for Python where it has one, which knows its arguments."""
        if not isinstance(target, torch._ops.OpOverload):
            return self.graph.call_function(target, args, kwargs)
        name = target._schema.name.partition("::")[2]
        if target.namespace == "aten" and not name.startswith("_to_"):
            if hasattr(_VariableFunctions, name) and hasattr(torch, name):
                return self.graph.call_function(getattr(_VariableFunctions, name), args, kwargs)
            if hasattr(TensorBase, name) and args and isinstance(args[0], fx.Node):
                return self.graph.call_method(name, args, kwargs)
        if target not in self.ops:
            self.ops[target] = self._held(target._op, name)
        return self.graph.call_method("__call__", (self.ops[target], *args), kwargs)


def _changes(node: fx.Node) -> bool:
    """Does it write into one of its arguments?"""
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _sums_out(node: fx.Node, shape: Any) -> bool:
    """Is it a sum over the first axis, kept with length 1, which the view to `shape` then drops?"""
    if node.target is not _ATEN.sum.dim_IntList or len(node.users) > 1 or len(node.args) != 3 or node.kwargs:
        return False
    return node.args[1] == [0] and node.args[2] is True and list(node.meta["val"].shape[1:]) == list(shape)
