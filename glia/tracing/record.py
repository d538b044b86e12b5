"""A forward pass written down as it happens: modules by hooks, plain functions by a mode of torch's dispatch."""

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from glia.tracing.formulas import formula
from glia.vitals.operations import ACTIVATIONS, DROPOUTS, LAYERS, NORMS, PRODUCTS, SAME
from glia.vitals.tape import leaves

_SUMS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "__rsub__": "-", "__rdiv__": "/", "matmul": "@", "bmm": "@"}
_SUMS |= {"mm": "@", "__matmul__": "@", "__rmatmul__": "@", "true_divide": "/", "multiply": "*", "subtract": "-"}
_TURNED = {"__rsub__", "__rdiv__", "__rmatmul__"}
_SHAPES = {f"{kind}_pool{n}d" for kind in ("max", "avg", "adaptive_max", "adaptive_avg") for n in (1, 2, 3)}
_SHAPES |= {"interpolate", "pixel_shuffle"}
# The functions that a network is told by. All others, clamp and exp among them, are plain arithmetic, "other".
_PARTS = (
    ("layer", LAYERS | PRODUCTS),
    ("activation", (ACTIVATIONS - {"clamp", "exp", "sign", "threshold"}) | {"glu", "log_sigmoid"}),
    ("norm", NORMS),
    ("dropout", DROPOUTS),
    ("shape", _SHAPES),
)
PART_OF = {name: part for part, names in _PARTS for name in names}
PART_OF |= {alias: PART_OF[name] for alias, name in SAME.items() if name in PART_OF}
# The same numbers in another order, shape or type: the symbol stays.
_VIEWS = {
    "view", "reshape", "flatten", "unflatten", "transpose", "permute", "contiguous", "to", "float", "double", "half",
    "bfloat16", "type", "type_as", "squeeze", "unsqueeze", "expand", "expand_as", "chunk", "split", "tensor_split",
    "unbind", "__getitem__", "detach", "clone", "t", "swapaxes", "swapdims", "movedim", "narrow", "select", "repeat",
    "index_select", "__get__", "requires_grad_", "view_as", "reshape_as", "cpu", "cuda", "broadcast_to", "unfold",
    "flip", "roll", "pad", "squeeze_", "unsqueeze_", "detach_", "ravel", "gather", "repeat_interleave", "values",
}  # fmt: skip
_SPELLED = {name.replace("_", ""): name for name in ACTIVATIONS | {"glu"}}
# No slope number by number.
_WHOLE = {"softmax", "log_softmax", "glu", "gumbel_softmax", "maximum", "where", "attention", "softmax2d", "rrelu"}
_LAYERS: tuple[type[nn.Module], ...] = (nn.Linear, nn.modules.conv._ConvNd, nn.Bilinear, nn.Embedding, nn.EmbeddingBag)
_LAYERS += (nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)


@dataclass
class Operation:
    """What was met, while its tensors live. given and out: copies of the numbers as they were at that moment."""

    name: str
    kind: str
    part: str
    number: int
    given: list[tuple[str, Tensor]]
    symbol: str
    out: Tensor
    weights: list[tuple[str, Tensor]]  # name in the model, the parameter
    formula: str
    slope: Tensor | None = None
    gradients: list[Tensor] = field(default_factory=list)


class _What(NamedTuple):
    """Where an operation stands and what it is. spelled: as formulas know it, "relu" of a module ReLU."""

    name: str
    kind: str
    spelled: str
    part: str


class Recorder(TorchFunctionMode):
    """Operations of one pass of `model`, which is a copy that nobody else uses.

    A leaf of torch's own is one operation. Within other modules every function that computes is one; a module within
    which only plain arithmetic was met, no layer, activation or norm, is one operation as a whole.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.operations: list[Operation] = []
        self.paths = {id(module): name for name, module in model.named_modules()}
        self.named = dict(model.named_parameters())
        self.parameters = {id(parameter): name for name, parameter in self.named.items()}  # and views of them
        self.stack: list[tuple[nn.Module, int, list[tuple[str, Tensor]]]] = []
        self.symbols: dict[int, str] = {}
        self.kept: list[Tensor] = []  # ids of tensors that live are theirs alone
        self.layers, self.taken = 0, set[str]()

    def run(self, x: Tensor) -> Any:
        """What the model gives for `x`."""
        self._call(x, "x")
        with ExitStack() as hooks:
            for module in self.model.modules():
                hooks.callback(module.register_forward_pre_hook(self._enter).remove)
                hooks.callback(module.register_forward_hook(self._leave).remove)
            with self:
                return self.model(x)

    def symbol_of(self, tensor: Tensor) -> str | None:
        """What `tensor` is called, if it came out of an operation."""
        return self.symbols.get(id(tensor))

    def _enter(self, module: nn.Module, given: Any) -> None:
        self.stack.append((module, len(self.operations), self._given(given)))

    def _leave(self, module: nn.Module, _: Any, out: Any) -> None:
        _, before, given = self.stack.pop()
        made = leaves(out)
        if self._hidden() or not made:
            return
        met = self.operations[before:]
        plain = module is not self.model and all(one.part == "other" for one in met)
        if not _whole(module) and (met or _has_children(module)) and not plain:
            return
        for one in met:
            self.taken.discard(one.symbol)
        del self.operations[before:]
        if not met and self.symbols.get(id(made[0])) is not None and not _whole(module):
            return  # it gave what it was given
        self._note_module(module, given, made[0])

    def _note_module(self, module: nn.Module, given: list[tuple[str, Tensor]], out: Tensor) -> None:
        part, kind = _part(module), type(module).__name__
        spelled = _SPELLED.get(kind.lower(), re.sub("(?<=[a-z])(?=[A-Z])", "_", kind).lower())
        weights: list[tuple[str, Tensor]] = [(self.parameters[id(p)], p) for p in module.parameters()]
        slope = _slope(module.forward, given) if part == "activation" and spelled not in _WHOLE else None
        self._note(_What(self.paths[id(module)], kind, spelled, part), given, out, weights, slope)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if self._hidden() or not self.stack:
            return func(*args, **kwargs)
        if name in _VIEWS:
            return self._through(func(*args, **kwargs), args)
        given, before = self._given((args, kwargs)), leaves((args, kwargs))
        graded = any(tensor.requires_grad for tensor in before)
        operands = self._operands(args[::-1] if name in _TURNED else args)
        names = dict.fromkeys(self.parameters[id(t)] for t in before if id(t) in self.parameters)
        weights: list[tuple[str, Tensor]] = [(key, self.named[key]) for key in names]
        result = func(*args, **kwargs)
        made = leaves(result)
        computed = bool(made) and made[0].is_floating_point() and (made[0].requires_grad or not graded)
        if not computed or not (given or weights):
            return result
        part = PART_OF.get(name, "other")
        if part == "layer" and not weights:
            part = "other"
        plain = _SUMS.get(name.removesuffix("_"), "") if part == "other" else ""
        plain = plain or SAME.get(name, name).strip("_")
        slope = None
        if part == "activation" and plain not in _WHOLE and isinstance(args[0], Tensor):
            slope = _slope(lambda z: func(z, *args[1:], **kwargs), given)
        where = self.paths[id(self.stack[-1][0])]
        what = _What(where, plain, plain, part)
        self._note(what, given, made[0], weights, slope, operands if part == "other" else None)
        return result

    def _operands(self, args: Any) -> list[str]:
        """What an arithmetic function is written with: symbols, numbers, names of parameters, or "c" for a constant."""
        texts = []
        for arg in args:
            if isinstance(arg, Tensor):
                own = self.parameters.get(id(arg), "").rpartition(".")[2]
                texts.append(self.symbols.get(id(arg)) or own or "c")
            elif isinstance(arg, int | float) and not isinstance(arg, bool):
                texts.append(f"{arg:.4g}")
            elif isinstance(arg, list | tuple) and leaves(arg):
                texts += self._operands(arg)
        return texts

    def _hidden(self) -> bool:
        """Inside a module that is one operation as a whole."""
        return any(_whole(module) for module, _, _ in self.stack)

    def _given(self, args: Any) -> list[tuple[str, Tensor]]:
        named = [(self.symbols.get(id(t)), t) for t in leaves(args)]
        return [(symbol, t.detach().clone()) for symbol, t in named if symbol is not None]

    def _through(self, result: Any, args: Any) -> Any:
        """A view of a tensor, a cast, a permutation keep its symbol; those of a parameter stand for it."""
        source = next((self.symbols[id(t)] for t in leaves(args) if id(t) in self.symbols), None)
        if source is not None and isinstance(result, Tensor | list | tuple) and not isinstance(result, torch.Size):
            for tensor in leaves(result):
                if id(tensor) not in self.symbols and id(tensor) not in self.parameters:
                    self._call(tensor, source)
        elif source is None and isinstance(result, Tensor | list | tuple) and not isinstance(result, torch.Size):
            name = next((self.parameters[id(t)] for t in leaves(args) if id(t) in self.parameters), None)
            for tensor in leaves(result) if name is not None else ():
                self.parameters.setdefault(id(tensor), name or "")
                self.kept.append(tensor)
        return result

    def _call(self, tensor: Tensor, symbol: str) -> None:
        self.symbols[id(tensor)] = symbol
        self.kept.append(tensor)

    def _note(
        self,
        what: _What,
        given: list[tuple[str, Tensor]],
        out: Tensor,
        weights: list[tuple[str, Tensor]],
        slope: Tensor | None,
        operands: list[str] | None = None,
    ) -> None:
        part = what.part
        self.layers += part == "layer"
        symbol = self._free({"layer": "z", "activation": "a", "norm": "n"}.get(part, "h"))
        text = formula(what.spelled, part, symbol, operands or [one for one, _ in given], self.layers, len(weights))
        numbers = out.detach().clone()
        operation = Operation(what.name, what.kind, part, self.layers, given, symbol, numbers, weights, text, slope)
        self.operations.append(operation)
        self._call(out, symbol)
        if out.requires_grad:
            # Hooked before anything changes it in place, so the gradient is that of the numbers noted here.
            out.register_hook(lambda gradient: operation.gradients.append(gradient.detach().clone()))

    def _free(self, letter: str) -> str:
        """The letter with its layer's number; a second one of a layer gets b, c, ..."""
        stem = f"{letter}{self.layers or ''}"
        ends = ["", *"bcdefghijklmnopqrstuvwxyz"]
        symbol = next((stem + end for end in ends if stem + end not in self.taken), f"{stem}-{len(self.operations)}")
        self.taken.add(symbol)
        return symbol


def _whole(module: nn.Module) -> bool:
    """A layer of torch's own, or one of its kin, whose inside is nobody's business."""
    if isinstance(module, nn.MultiheadAttention):
        return True
    kinds = (kind for kind in type(module).__mro__ if kind is not nn.Module)
    return not _has_children(module) and any(kind.__module__.startswith("torch.nn.modules") for kind in kinds)


def _has_children(module: nn.Module) -> bool:
    return next(module.children(), None) is not None


def _part(module: nn.Module) -> str:
    kind = type(module).__name__
    if isinstance(module, _LAYERS):
        return "layer"
    if type(module).__module__ == "torch.nn.modules.activation" or kind == "GLU":
        return "activation"
    if re.search(r"Norm(\d|$)", kind):
        return "norm"
    shapes = ("Pool", "Flatten", "Upsample", "PixelShuffle")
    return "dropout" if "Dropout" in kind else "shape" if any(word in kind for word in shapes) else "other"


def _slope(call: Callable[[Tensor], Any], given: list[tuple[str, Tensor]]) -> Tensor | None:
    """d(out)/d(in), number by number, of an activation at what it was given."""
    with torch.enable_grad(), torch._C.DisableTorchFunction():
        z = given[0][1].clone().requires_grad_() if given and given[0][1].is_floating_point() else None
        out = call(z.clone()) if z is not None else None
        if z is None or not isinstance(out, Tensor) or out.shape != z.shape or not out.requires_grad:
            return None
        return torch.autograd.grad(out.sum(), z)[0]
