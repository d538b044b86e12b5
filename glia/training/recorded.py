"""What a function of stacked tensors comes down to, without the calls that vmap adds for nothing."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from glia.replay.emit import SAME, emit
from glia.replay.trace import recorded

Call = Callable[[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]], list[Tensor]]
_ATEN = torch.ops.aten
_SHAPED = {_ATEN.expand.default, _ATEN.view.default, _ATEN._unsafe_view.default}


def record(function: Call, weights: Sequence[Tensor], buffers: Sequence[Tensor], rest: Sequence[Tensor]) -> Call:
    """What `function` does with these tensors, again for others of their shapes, where no gradient is kept.

    weights: where they lie now; they must stay there. The function is run, and changes `buffers` as it does.
    Raises whatever torch says where it cannot be recorded.
    """
    weights, buffers, rest = list(weights), list(buffers), list(rest)
    made = recorded(lambda: function(weights, buffers, rest), weights=weights, buffers=buffers, rest=rest)
    for node in made.graph.nodes:
        if node.op == "call_function" and node.args and isinstance(node.args[0], fx.Node):
            node.replace_all_uses_with(_first_with_its_value(node, node.args[0]))
    program = emit(made, [*weights, *buffers], len(weights))

    def call(weights: Sequence[Tensor], buffers: Sequence[Tensor], rest: Sequence[Tensor]) -> list[Tensor]:
        return list(program.run(*weights, *buffers, *rest, *program.fixed))

    return call


def _first_with_its_value(node: fx.Node, first: Any) -> fx.Node:
    """The node, or the one that holds the same already."""
    same = node.target in _SHAPED and node.meta["val"].shape == first.meta["val"].shape
    once = node.target is _ATEN.mul.Scalar and node.args[1] == 1 and not _written(node)
    if same or once or node.target in SAME:
        return first
    if node.target is _ATEN.transpose.int and first.target is _ATEN.transpose.int:
        return first.args[0] if node.args[1:] == first.args[1:] else node
    return node


def _written(node: fx.Node) -> bool:
    """May anything write into its memory?"""
    schemas = [(user, user.target._schema) for user in node.users if isinstance(user.target, torch._ops.OpOverload)]
    aliases = [user for user, schema in schemas if any(given.alias_info is not None for given in schema.returns)]
    return any(schema.is_mutable for _, schema in schemas) or any(map(_written, aliases))
