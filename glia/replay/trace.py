"""A training step as a graph of torch's own operators: what the loss does, and what autograd does behind it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.fx._lazy_graph_module import _use_lazy_graph_module
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_unflatten

from glia.replay.outside import Outside

Work = Callable[[nn.Module, Any], tuple[Tensor, Tensor | None]]
"""(model, batch) -> the scalar loss, and a metric's sum or None. It must do nothing else."""


class Refused(Exception):
    """This step cannot be replayed; the message says why."""


class Flat(NamedTuple):
    """A batch as its tensors, and the way back."""

    tensors: list[Tensor]
    others: list[Any]  # its other leaves, and None in the place of each tensor
    places: list[bool]  # which leaves are tensors
    form: Any  # what made the batch; where it is all tensors, its class

    @classmethod
    def of(cls, batch: Any) -> "Flat":
        if isinstance(batch, tuple | list) and all(type(part) is Tensor for part in batch):
            return cls(list(batch), [], [], type(batch))
        leaves, form = tree_flatten(batch)
        places = [isinstance(leaf, Tensor) for leaf in leaves]
        others = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        return cls([leaf for leaf in leaves if isinstance(leaf, Tensor)], others, places, form)

    def filled(self, tensors: Sequence[Tensor]) -> Any:
        """The same batch with other tensors in it."""
        if not self.places:
            return self.form._make(tensors) if hasattr(self.form, "_make") else self.form(tensors)
        left = iter(tensors)
        leaves = [next(left) if taken else other for taken, other in zip(self.places, self.others, strict=True)]
        return tree_unflatten(leaves, self.form)


class Traced(NamedTuple):
    """graph: takes the parameters, the buffers, then the batch's tensors; gives the loss, the metric (or None) and the
    gradient of each parameter (None where it has no part in the loss). held: other tensors that it reads, by name.
    """

    graph: fx.Graph
    held: dict[str, Tensor]

    @classmethod
    def of(cls, made: fx.GraphModule) -> "Traced":
        """What make_fx gave."""
        names = [str(node.target) for node in made.graph.nodes if node.op == "get_attr"]
        return cls(made.graph, {name: getattr(made, name) for name in names})

    @property
    def draws(self) -> bool:
        """Does it use random numbers?"""
        return any(torch.Tag.nondeterministic_seeded in _tags(node) for node in self.graph.nodes)


def trace(work: Work, model: nn.Module, parameters: Sequence[Tensor], rest: Sequence[Tensor], batch: Flat) -> Traced:
    """Run `work` once, on copies of all that it may change, and note each operator. Raises Refused.

    parameters: those that train. rest: its other parameters, and buffers.
    """
    copies = [p.detach().clone().requires_grad_() for p in parameters]
    states = [*copies, *(held.clone() for held in rest)]

    def joint(states: list[Tensor], tensors: list[Tensor]) -> list[Tensor | None]:
        with _holding(model, dict(zip(map(id, [*parameters, *rest]), states, strict=True))):
            loss, metric = work(model, batch.filled(tensors))
            gradients = torch.autograd.grad(loss, states[: len(copies)], allow_unused=True)
        return [loss.detach(), metric, *gradients]

    parts, noise = list(model.modules()), torch.default_generator.get_state()
    before = Outside.of(parts, batch.tensors)
    try:
        with _use_lazy_graph_module(True):  # its code is not asked for; of `random_.from` it would be no Python
            made = make_fx(joint)(states, [t.clone() for t in batch.tensors])
    except Exception as error:
        # Whatever a stranger's forward pass does under the tracer, the run goes on without it.
        said = str(error).strip().partition("\n")[0][:160]
        raise Refused(f"it cannot be traced ({type(error).__name__}: {said})") from None
    finally:
        torch.default_generator.set_state(noise)
        changed = Outside.of(parts, batch.tensors) != before
        before.restore(parts)
    if changed:
        raise Refused("it changes things of its own as it goes (counters, other random numbers)")
    made.graph.eliminate_dead_code()
    for node in made.graph.nodes:
        if torch.Tag.data_dependent_output in _tags(node) or _shaped_by_data(node):
            raise Refused(f"what it does depends on the numbers that it meets ({node.target})")
    return Traced.of(made)


@contextmanager
def _holding(model: nn.Module, others: dict[int, Tensor]) -> Iterator[None]:
    """The model holds other tensors inside the block, by the id of its own; shared ones are shared still."""
    kept: list[tuple[dict[str, Any], dict[str, Any]]] = []
    try:
        for part in model.modules():
            flat = {"_flat_weights": vars(part)["_flat_weights"]} if isinstance(part, nn.RNNBase) else {}
            stores: tuple[dict[str, Any], ...] = (part._parameters, part._buffers)
            for held in stores:
                kept.append((held, dict(held)))
                held.update({name: others.get(id(own), own) for name, own in held.items()})
            for name, own in flat.items():
                kept.append((vars(part), {name: own}))
                vars(part)[name] = [others.get(id(one), one) for one in own]
        yield
    finally:
        for held, own in kept:
            held.update(own)


def _tags(node: fx.Node) -> Sequence[torch.Tag]:
    return node.target.tags if isinstance(node.target, torch._ops.OpOverload) else ()


def _shaped_by_data(node: fx.Node) -> bool:
    """Has its result as many numbers as the data have it? Of rows picked by a list of places, it has not."""
    if torch.Tag.dynamic_output_shape not in _tags(node):
        return False
    if node.target is not torch.ops.aten.index.Tensor:
        return True
    return any(one is not None and one.meta["val"].dtype in (torch.bool, torch.uint8) for one in node.args[1])  # type: ignore[union-attr]
