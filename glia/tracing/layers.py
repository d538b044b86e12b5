"""What a network is made of: modules with their output shapes, parameters and multiply-adds, without any numbers."""

import copy
import inspect
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from glia.catalog import entry as catalog
from glia.data.facts import Facts, ForecastFacts, ImageFacts, SeriesFacts, TableFacts, TensorFacts, TextFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.build import build, example, published
from glia.vitals.tape import leaves

_CLASSES = 10  # answers of a network that has no published form
_VOCABULARY = 10_000  # tokens that such a network knows


@dataclass(frozen=True)
class LayerRow:
    """A module, or several equal ones in a row.

    name: below its parent; of several "0-5". depth: 0 for the network's own parts. shape: of the output for one row of
    input, without that row; None where the module was not called. parameters and multiply_adds: of the module with all
    within, of one of the `times` equal ones. own: those of its own, outside of the modules within it.
    """

    name: str
    depth: int
    kind: str
    shape: tuple[int, ...] | None
    parameters: int
    multiply_adds: int
    times: int
    leaf: bool
    own: tuple[int, int]


@dataclass(frozen=True)
class LayerTable:
    """Rows from input to output, and totals. A weight that is used in two places counts as one parameter."""

    model: str
    given: tuple[int, ...]
    rows: tuple[LayerRow, ...]
    parameters: int
    multiply_adds: int


@dataclass
class _Node:
    name: str
    kind: str
    shape: tuple[int, ...] | None = None
    own_parameters: int = 0
    operations: int = 0  # with all within
    first: int = 1 << 62  # when it was first called
    within: list["_Node"] = field(default_factory=list)

    def parameters(self) -> int:
        return self.own_parameters + sum(node.parameters() for node in self.within)

    def all_operations(self) -> int:
        """Lists of modules are never called: theirs are those within."""
        return max(self.operations, sum(node.all_operations() for node in self.within))

    def like(self) -> Any:
        """Equal for modules that do the same to the same shapes."""
        return self.kind, self.shape, self.own_parameters, self.operations, [(n.name, n.like()) for n in self.within]


def layer_table(name: str, size: tuple[int, ...] = ()) -> LayerTable:
    """The layers of a network of the catalogue, as published, or for input of another `size`.

    size: (channels, height, width) of pictures, (tokens,) of texts, (steps, channels) of series, (numbers,) of rows.
    Nothing is computed and no memory is taken: the network is built on torch's meta device.
    Raises GliaError for an unknown name, and for a network that cannot be built for that size.
    """
    entry = catalog.find("models", name)
    facts, task = _form(entry, size)
    try:
        with torch.device("meta"):
            model = _built(entry, facts, task).eval()
        return layers_of(model, example(facts, 1).to("meta"), entry.name)
    except GliaError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        what = f"{entry.name} does not take input of {' x '.join(map(str, facts.shape))}"
        raise GliaError(what, got=str(error).strip().partition("\n")[0]) from error


def layers_of(model: nn.Module, x: Tensor, name: str = "") -> LayerTable:
    """The layers that `model` has for `x`, one row of input, wherever they are: a copy without numbers runs.

    Multiply-adds are those of matrix products and convolutions, attention's own among them, as papers count them; what
    norms, activations, sums and pools do number by number is not counted. A network that takes two inputs (a source
    and a target) gets `x` as both.
    """
    original, model = model, _without_numbers(model)
    nodes = {
        id(module): _Node(path.rpartition(".")[2], type(module).__name__) for path, module in model.named_modules()
    }
    counted: set[int] = set()
    for twin, module in zip(model.modules(), original.modules()):
        node = nodes[id(twin)]
        node.within = [nodes[id(child)] for child in twin.children()]
        for parameter in module.parameters(recurse=False):
            node.own_parameters += parameter.numel() * (id(parameter) not in counted)
            counted.add(id(parameter))
    started: list[int] = []
    calls = iter(range(1 << 62))
    # The counter hooks gradients of what modules take and give, and wants them to have some.
    with ExitStack() as hooks, FlopCounterMode(display=False) as counter, torch.enable_grad():

        def enter(module: nn.Module, given: Any) -> None:
            nodes[id(module)].first = min(nodes[id(module)].first, next(calls))
            started.append(counter.get_total_flops())

        def leave(module: nn.Module, given: Any, out: Any) -> None:
            node, made = nodes[id(module)], leaves(out)
            node.operations += (counter.get_total_flops() - started.pop()) // 2
            node.shape = tuple(made[0].shape[1:]) if made else None

        for module in model.modules():
            hooks.callback(module.register_forward_pre_hook(enter).remove)
            hooks.callback(module.register_forward_hook(leave).remove)
        model(*[x.to("meta")] * _inputs(model))
    top = nodes[id(model)]
    rows = [*_rows(_ordered(top), 0)] if top.within else [_row(top, 0, 1, top.kind)]
    own = _row(top, 0, 1, "itself").own
    if top.within and any(own):  # an output that shares its weights with the embedding, a parameter of its own
        rows.append(LayerRow("itself", 0, top.kind, top.shape, *own, 1, True, own))
    return LayerTable(name or top.kind, tuple(x.shape[1:]), tuple(rows), top.parameters(), top.all_operations())


def _without_numbers(model: nn.Module) -> nn.Module:
    """On the meta device, where recurrent layers and attention are plain products, not one call that nobody counts."""
    if all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        return model
    return copy.deepcopy(model).to("meta")


def _inputs(model: nn.Module) -> int:
    needed = inspect.signature(model.forward).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return max(1, sum(one.kind in kinds and one.default is inspect.Parameter.empty for one in needed))


def _ordered(node: _Node) -> list[_Node]:
    """Modules in the order in which they, or anything within, were first called; the rest at the end."""

    def first(one: _Node) -> int:
        return min([one.first, *(first(inner) for inner in one.within)])

    return sorted(node.within, key=first)


def _rows(nodes: list[_Node], depth: int) -> Iterator[LayerRow]:
    """Modules and what is within; neighbours that are equal become one row."""
    at = 0
    while at < len(nodes):
        node, end = nodes[at], at + 1
        while end < len(nodes) and nodes[end].name.isdigit() and node.within and nodes[end].like() == node.like():
            end += 1
        name = node.name if end == at + 1 else f"{node.name}-{nodes[end - 1].name}"
        yield _row(node, depth, end - at, name)
        yield from _rows(_ordered(node), depth + 1)
        at = end


def _row(node: _Node, depth: int, times: int, name: str) -> LayerRow:
    inner = sum(one.all_operations() for one in node.within)
    total = node.all_operations()
    own = node.own_parameters, total - inner
    return LayerRow(name, depth, node.kind, node.shape, node.parameters(), total, times, not node.within, own)


def _forecast(window: int, channels: int, horizon: int) -> tuple[Facts, Task]:
    """So many steps of so many columns, all of which are told so many steps ahead."""
    zeros, ones = (0.0,) * channels, (1.0,) * channels
    facts = ForecastFacts(channels, window, horizon, zeros, ones, 0, False, (), ones, rows=0)
    return facts, Task("forecast", tuple(f"y{i}" for i in range(channels)), center=zeros, scale=ones)


def _form(entry: catalog.Entry, size: tuple[int, ...]) -> tuple[Facts, Task]:
    """What goes in and what comes out."""
    if any(number < 1 for number in size):
        raise GliaError("the size of the input", got=",".join(map(str, size)), expected="whole numbers above 0")
    if "published" in entry.facts:
        facts, task = published(entry.name)
        return (_resized(facts, size) if size else facts), task
    task = Task("classify", ("answer",), tuple(str(number) for number in range(_CLASSES)))
    kinds = entry.facts["inputs"]
    hint = {"image": "--input 3,32,32", "text": "--input 128", "tensor": "--input 20", "forecast": "--input 336,7,96"}
    if not size:
        tip = next((hint[kind] for kind in kinds if kind in hint), None)
        raise GliaError(f"{entry.name} has no published size", expected="the size of an input", hint=tip)
    if "image" in kinds and len(size) == 3:
        return ImageFacts(*size, (0.5,) * size[0], (0.25,) * size[0], rows=0), task
    if "text" in kinds and len(size) == 1:
        return TextFacts(_VOCABULARY, size[0], pad=0, rows=0), task
    if "table" in kinds and len(size) == 1:
        return _columns(size[0]), task
    if "series" in kinds and len(size) == 2:
        return SeriesFacts(size[1], size[0], (0.0,) * size[1], (1.0,) * size[1], rows=0), task
    if "forecast" in kinds and len(size) == 3:
        return _forecast(*size)
    if "tensor" in kinds:
        return TensorFacts(size, rows=0), task
    shown = ",".join(map(str, size))
    raise GliaError(f"{entry.name} takes {' or '.join(kinds)} data", got=f"an input of {shown}")


def _built(entry: catalog.Entry, facts: Facts, task: Task) -> nn.Module:
    """For classes, or where a network without a published form refuses those, for the next token."""
    try:
        return build(entry.name, facts, task)
    except GliaError:
        if "published" in entry.facts or not isinstance(facts, TextFacts):
            raise
        tokens = tuple(str(number) for number in range(facts.vocabulary))
        return build(entry.name, facts, Task("language", ("answer",), tokens))


def _columns(count: int) -> TableFacts:
    """A table of so many columns of numbers, with sixteen bins each where a network wants bins."""
    zeros, ones = (0.0,) * count, (1.0,) * count
    edges = (tuple(step / 8 - 1 for step in range(17)),) * count
    names = tuple(str(number) for number in range(count))
    return TableFacts(names, (0,) * count, zeros, ones, (-1.0,) * count, ones, (False,) * count, edges, rows=2000)


def _resized(facts: Facts, size: tuple[int, ...]) -> Facts:
    wanted = {"image": "channels,height,width", "text": "tokens", "series": "steps,channels"}[facts.kind]
    if len(size) != wanted.count(",") + 1:
        raise GliaError("the size of the input", got=",".join(map(str, size)), expected=wanted)
    if isinstance(facts, ImageFacts):
        mean, std = ((values * size[0])[: size[0]] for values in (facts.mean, facts.std))
        return replace(facts, channels=size[0], height=size[1], width=size[2], mean=mean, std=std)
    if isinstance(facts, TextFacts):
        return replace(facts, length=size[0])
    return SeriesFacts(size[1], size[0], (0.0,) * size[1], (1.0,) * size[1], rows=0)
