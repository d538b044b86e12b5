"""A training step as a graph of torch's own operators: what the loss does, and what autograd does behind it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import getitem
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

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

    @property
    def results(self) -> list[Any]:
        """Nodes, and None."""
        return list(next(node for node in reversed(self.graph.nodes) if node.op == "output").args[0])

    @property
    def draws(self) -> bool:
        """Does it use random numbers?"""
        return any(torch.Tag.nondeterministic_seeded in _tags(node) for node in self.graph.nodes)


class _Recorder(TorchDispatchMode):
    """Notes each operator that is made inside the block, below autograd, so that what runs backward is seen too.

    torch's `make_fx` does the same and more; it imports the compiler, which takes longer than many a training.
    """

    def __init__(self) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self.held: dict[str, Tensor] = {}
        self.nodes: dict[int, fx.Node] = {}
        self.seen: list[Tensor] = []  # alive, so that no other takes over the id of one

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """torch guards modes against being compiled, for which it would import the compiler."""
        return False

    def take(self, name: str, tensor: Tensor) -> None:
        """An input."""
        self._note(self.graph.placeholder(name), tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.data_dependent_output in func.tags:  # a number of Python's, by which the next steps may go
            raise Refused(f"what it does depends on the numbers that it meets ({func})")
        kwargs = kwargs or {}
        given = self.named((args, kwargs))  # before it is made: one that writes into an argument is another one after
        made = func(*args, **kwargs)
        self._note(self.graph.call_function(func, *given), made)
        return made

    def named(self, values: Any) -> Any:
        """The same with nodes in the place of tensors."""
        return tree_map(lambda one: self._node(one) if isinstance(one, Tensor) else one, values)

    def _node(self, tensor: Tensor) -> fx.Node:
        if id(tensor) not in self.nodes:  # neither an input nor made of one
            name = f"held_{len(self.held)}"
            self.held[name] = tensor
            self._note(self.graph.create_node("get_attr", name), tensor)
        return self.nodes[id(tensor)]

    def _note(self, node: fx.Node, made: Any) -> None:
        node.meta["val"] = made
        if isinstance(made, Tensor):
            self.nodes[id(made)] = node
            self.seen.append(made)
        elif isinstance(made, tuple | list):
            for place, one in enumerate(made):
                self._note(self.graph.call_function(getitem, (node, place)), one)


def recorded(function: Callable[[], Any], **inputs: Sequence[Tensor]) -> Traced:
    """What `function` does, which is run once, with these inputs as the graph's, in their order."""
    recorder = _Recorder()
    for name, tensors in inputs.items():
        for place, tensor in enumerate(tensors, 1):
            recorder.take(f"{name}_{place}", tensor)
    with recorder:
        found = function()
    recorder.graph.output(recorder.named(found))
    return Traced(recorder.graph, recorder.held)


def trace(work: Work, model: nn.Module, parameters: Sequence[Tensor], rest: Sequence[Tensor], batch: Flat) -> Traced:
    """Run `work` once, on copies of all that it may change, and note each operator. Raises Refused.

    parameters: those that train. rest: its other parameters, and buffers.
    """
    copies = [p.detach().clone().requires_grad_() for p in parameters]
    states = [*copies, *(held.clone() for held in rest)]
    tensors = [t.clone() for t in batch.tensors]

    def joint() -> list[Tensor | None]:
        with _holding(model, dict(zip(map(id, [*parameters, *rest]), states, strict=True))):
            loss, metric = work(model, batch.filled(tensors))
            gradients = torch.autograd.grad(loss, copies, allow_unused=True)
        return [loss.detach(), metric, *gradients]

    parts, noise = list(model.modules()), torch.default_generator.get_state()
    before = Outside.of(parts, batch.tensors)
    try:
        made = recorded(joint, states=states, tensors=tensors)
    except Refused:
        raise
    except Exception as error:
        # Whatever a stranger's forward pass does under the recorder, the run goes on without it.
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
        if _shaped_by_data(node):
            raise Refused(f"what it does depends on the numbers that it meets ({node.target})")
    return made


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
