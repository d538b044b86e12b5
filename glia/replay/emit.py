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
_CASTS = {torch.float32: "float", torch.float64: "double", torch.bfloat16: "bfloat16", torch.float16: "half"}
SAME = {_ATEN.detach.default, _ATEN.alias.default}  # where no gradient is kept


class Program(NamedTuple):
    """run: takes parameters, buffers and the batch's tensors, then `fixed`; gives the graph's results."""

    run: Callable[..., tuple[Any, ...]]
    fixed: tuple[Any, ...]


def emit(traced: Traced, states: Sequence[Tensor], trained: int, into: Sequence[Tensor | None] = ()) -> Program:
    """states: the parameters (the first `trained`) and buffers themselves, whose memory stays where it is.

    into: memory for the last results, which are then to be found there and are not given; None where there is none.
    """
    return _Emitter(traced, states, trained).program(into)


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
        self.into: dict[fx.Node, fx.Node] = {}  # results that are to be written to the memory named

    def program(self, into: Sequence[Tensor | None]) -> Program:
        nodes = list(self.traced.graph.nodes)
        for node in nodes:
            if node.op == "placeholder":
                self.made[node] = self.graph.placeholder(node.name)
        results = [_origin(node) for node in self.traced.results]
        kept = len(results) - len(into)
        places = [(made, self._held(memory, "into")) for made, memory in zip(results[kept:], into, strict=True) if made]
        self.into = dict(reversed(places))  # what stands among the results twice is made once, and copied
        for node in nodes:
            if node.op == "get_attr":
                self.made[node] = self._held(self.traced.held[str(node.target)], node.name)
            elif node.op == "call_function":
                self.made[node] = self._call(node)
                if _changes(node):
                    self.writing.add(self.made[node])
        for result, memory in places:
            if self.made[result] is not memory:
                self.writing.add(self.graph.call_method("copy_", (memory, self.made[result])))
        self.graph.output(tuple(self._new(results[:kept])))
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
        if _origin(node) is not node:
            return self.made[_origin(node)]
        if target in _VIEWS and first in self.parameters and not node.kwargs:
            value = target(self.parameters[first], *args[1:])
            self.parameters[node] = value
            return self._held(value, node.name)
        if target is _ATEN.ones_like.default and not node.meta["val"].ndim and not any(map(_changes, node.users)):
            return self._held(torch.ones((), dtype=node.meta["val"].dtype), node.name)  # where autograd begins
        if target is _ATEN.view.default and first is not None and _sums_out(first, args[1]):
            return self._written(node, _ATEN.sum.dim_IntList, self._new((*first.args[:2], False)))
        if target in (_ATEN.mm.default, _ATEN.sum.dim_IntList) and not node.kwargs:
            return self._written(node, target, self._new(args))
        if target is _ATEN._to_copy.default and node in self.into:
            self.writing.add(self.graph.call_method("copy_", (self.into[node], self._new(first))))
            return self.into[node]
        if target is _ATEN._to_copy.default and set(node.kwargs) == {"dtype"} and _is_cast(node, first):
            return self.graph.call_method(_CASTS[node.meta["val"].dtype], (self._new(first),))
        if target is _ATEN.relu.default and first is not None and _of_its_own(first) and not self._stays(first):
            changed = self.graph.call_function(torch.relu_, (self._new(first),))
            self.writing.add(changed)
            return changed
        return self._shortest(target, self._new(args), self._new(node.kwargs))

    def _stays(self, node: fx.Node) -> bool:
        """Does it come in from outside?"""
        return bool(self.made[node].op == "placeholder")

    def _written(self, node: fx.Node, target: Any, args: Any) -> fx.Node:
        """A call of an operator that can write its result where it is to be."""
        memory = self.into.get(node)
        made = self._shortest(target, args, {} if memory is None else {"out": memory})
        if memory is None:
            return made
        self.writing.add(made)
        self.made[node] = made
        return memory

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


def _origin(node: Any) -> Any:
    """The node, or the earlier one that is the same tensor: neither itself again nor turned twice counts."""
    while isinstance(node, fx.Node) and node.op == "call_function":
        first = node.args[0] if node.args else None
        if node.target in SAME:
            node = first
        elif node.target is _ATEN.t.default is getattr(first, "target", None):
            node = first.args[0]  # type: ignore[union-attr]
        else:
            break
    return node


def _changes(node: fx.Node) -> bool:
    """Does it write into one of its arguments?"""
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _sums_out(node: fx.Node, shape: Any) -> bool:
    """Is it a sum over the first axis, kept with length 1, which the view to `shape` then drops?"""
    if node.target is not _ATEN.sum.dim_IntList or len(node.users) > 1 or len(node.args) != 3 or node.kwargs:
        return False
    return node.args[1] == [0] and node.args[2] is True and list(node.meta["val"].shape[1:]) == list(shape)


def _is_cast(node: fx.Node, first: fx.Node | None) -> bool:
    """Has the copy another format? Without one a cast would give the tensor itself."""
    made = node.meta["val"].dtype
    return first is not None and made != first.meta["val"].dtype and made in _CASTS


def _of_its_own(node: fx.Node) -> bool:
    """Is it a new tensor that nobody but one call looks at, so that this call may change it?"""
    if len(node.users) > 1 or not isinstance(node.target, torch._ops.OpOverload):
        return False
    # An "unsafe" view is one, though it does not say so.
    return "view" not in str(node.target) and all(given.alias_info is None for given in node.target._schema.returns)
