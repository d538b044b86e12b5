"""Operations: a model's forward pass as torch functions, whether its author wrote modules or plain calls.

The same pass can be walked again with single operations exchanged, which is how a cure is tried without surgery.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from glia.vitals.chart import OperationFacts
from glia.vitals.tape import leaves

LAYERS = {
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "bilinear",
    "embedding", "embedding_bag", "lstm", "gru", "rnn_tanh", "rnn_relu", "multi_head_attention_forward",
}  # fmt: skip
PRODUCTS = {"matmul", "__matmul__", "mm", "bmm", "addmm", "einsum", "__rmatmul__"}  # layers when they meet a parameter
ACTIVATIONS = {
    "relu", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid", "tanh", "softplus", "softsign",
    "hardsigmoid", "hardtanh", "hardswish", "relu6", "logsigmoid", "softmax", "log_softmax", "clamp", "exp", "sign",
    "prelu", "tanhshrink", "softshrink", "hardshrink", "threshold", "gumbel_softmax",
}  # fmt: skip
DROPOUTS = {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"}
NORMS = {"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"}
CUTS = {"detach", "round", "argmax", "sign"}
SAME = {
    "relu_": "relu",
    "sigmoid_": "sigmoid",
    "tanh_": "tanh",
    "clip": "clamp",
    "clamp_": "clamp",
    "clamp_min": "clamp",
}
SAME |= {"clamp_max": "clamp", "leaky_relu_": "leaky_relu", "elu_": "elu", "selu_": "selu", "detach_": "detach"}
SAME |= {"rnn_relu": "rnn", "rnn_tanh": "rnn", "multi_head_attention_forward": "attention", "swish": "silu"}
SHAPING = {
    "softmax",
    "log_softmax",
    "clamp",
    "exp",
    "sign",
    "gumbel_softmax",
    "logsigmoid",
}  # never a hidden activation


@dataclass(slots=True)
class Step:
    """One operation of a pass, with its tensors while they live. at: its place in the order of what is counted."""

    at: int
    name: str
    kind: str  # "layer", "activation", "dropout", "norm", "cut"
    module: str
    weights: list[nn.Parameter]
    given: Tensor | None
    out: Tensor | None
    option: float = math.nan


class Walk(TorchFunctionMode):
    """One forward pass: `steps` are what was met; `exchanged` are functions to be called in place of those at a place.

    graded: gradients flow even where the model's author switched them off.
    """

    def __init__(
        self, exchanged: Mapping[int, Callable[..., Any]] | None = None, keep: bool = False, graded: bool = False
    ):
        super().__init__()
        self.exchanged, self.keep, self.graded = exchanged or {}, keep, graded
        self.steps: list[Step] = []
        self.count, self.path = 0, [""]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        switch = getattr(func, "__name__", "") == "_set_grad_enabled"  # what no_grad() calls, at both of its ends
        if self.graded and not switch and not torch.is_grad_enabled():
            with torch.enable_grad():
                return self._called(func, args, kwargs)
        return self._called(func, args, kwargs)

    def _called(self, func: Any, args: Any, kwargs: Any) -> Any:
        name = getattr(func, "__name__", "")
        kind = KINDS.get(name)
        if kind is None or (kind == "product" and not _meets_parameter(args)):
            return func(*args, **kwargs)
        at, self.count = self.count, self.count + 1
        other = self.exchanged.get(at)
        result = other(func, *args, **kwargs) if other is not None else func(*args, **kwargs)
        if self.keep:
            self.steps.append(_step(at, name, kind, self.path[-1], args, kwargs, result))
        return result


_SETS = {"layer": LAYERS, "product": PRODUCTS, "activation": ACTIVATIONS}
_SETS |= {"dropout": DROPOUTS, "norm": NORMS, "cut": CUTS}
KINDS = {name: kind for kind, names in _SETS.items() for name in names}
KINDS |= {name: KINDS.get(plain, "layer") for name, plain in SAME.items()}


def walk(model: nn.Module, run: Callable[[], Any], paths: Mapping[int, str] | None = None) -> tuple[list[Step], Any]:
    """The operations of `run()`, a forward pass of `model`, and what it gives. paths: of modules, by id."""
    seen = Walk(keep=True)
    names = paths or {id(module): name for name, module in model.named_modules()}
    handles = []

    def enter(module: nn.Module, _: Any) -> None:
        seen.path.append(names.get(id(module), ""))

    def leave(module: nn.Module, _: Any, __: Any) -> None:
        seen.path.pop()

    for module in model.modules():
        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        with torch.no_grad(), seen:
            output = run()
    finally:
        for handle in handles:
            handle.remove()
    return seen.steps, output


def _step(at: int, name: str, kind: str, module: str, args: Any, kwargs: Any, result: Any) -> Step:
    weights = [t for t in leaves((args, kwargs)) if isinstance(t, nn.Parameter)]
    tensors = [t for t in leaves((args, kwargs)) if not isinstance(t, nn.Parameter)]
    outs = leaves(result)
    option = math.nan
    if kind == "dropout":
        option = float(kwargs.get("p", args[1] if len(args) > 1 else 0.5))
    given = args[1] if name in ("__rmatmul__",) else (tensors[0] if tensors else None)
    return Step(
        at,
        SAME.get(name, name),
        "layer" if kind == "product" else kind,
        module,
        weights,
        given,
        outs[0] if outs else None,
        option,
    )


def _meets_parameter(args: Any) -> bool:
    return any(isinstance(arg, nn.Parameter) for arg in leaves(list(args)))


def facts(step: Step) -> OperationFacts:
    """The numbers of an operation."""
    weight = next((w for w in step.weights if w.ndim > 1), None)
    if step.kind != "layer" or weight is None:
        return OperationFacts(
            step.name, step.module, option=step.option, trainable=all(w.requires_grad for w in step.weights)
        )
    bias = next((w for w in step.weights if w.ndim == 1), None)
    values = weight.detach().float()
    fan_in = max(1, values.numel() // len(values)) if "embedding" not in step.name else values.shape[1]
    if step.name in PRODUCTS:
        fan_in = values.shape[0]
    last = step.out.shape[-1 if "conv" not in step.name else 1] if step.out is not None and step.out.ndim > 1 else 0
    return OperationFacts(
        "linear" if step.name in PRODUCTS else step.name, step.module, _width_in(step), last, fan_in,
        _std(values), values.mean().item(), bias.detach().float().mean().item() if bias is not None else math.nan,
        trainable=any(w.requires_grad for w in step.weights),
    )  # fmt: skip


def _std(values: Tensor) -> float:
    return values.std(correction=0).item() if values.numel() else math.nan


def _width_in(step: Step) -> int:
    if step.given is None or step.given.ndim == 0 or not step.given.is_floating_point():
        return 0
    return step.given.shape[1 if "conv" in step.name else -1]


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """An activation by its name in torch.nn.functional; "none" changes nothing; softmax goes over the classes."""
    if name in ("none", "linear", "identity"):
        return lambda x: x
    if name in ("softmax", "log_softmax"):
        return lambda x: getattr(F, name)(x, dim=1 if x.ndim > 1 else 0)
    if name in ("sigmoid", "tanh", "relu"):
        return getattr(torch, name)
    return getattr(F, name)
