"""A small dense network in a TOML or JSON file, with its numbers: worked examples as one finds them in textbooks.

x = [2, 3]
y = 1
loss = "binary_cross_entropy"
lr = 0.1

[[layer]]
weights = [[0.5, 0.3], [0.2, -0.4]]   # a row a neuron
bias = [1, 0.5]
activation = "relu"

[[layer]]
weights = [[0.6, -0.3]]
bias = 0.2
activation = "sigmoid"
"""

import json
import tomllib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from glia.catalog import entry as catalog
from glia.errors import GliaError, unknown

_KEYS = ("x", "y", "loss", "lr", "layer")
_LAYER_KEYS = ("weights", "bias", "activation")


@dataclass(frozen=True)
class Net:
    """What such a file holds; y, loss and lr are None where it does not name them."""

    model: nn.Sequential
    x: Tensor
    y: Any = None
    loss: str | None = None
    lr: float | None = None


def read_net(path: Path) -> Net:
    """The network in a .toml or .json file. Raises GliaError for what is missing, unknown or does not fit."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise GliaError(f"cannot read {path}: {why}") from None
    try:
        found = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise GliaError(f"{path} cannot be read", got=error) from None
    return net_of(found, str(path))


def net_of(found: Any, where: str = "the network") -> Net:
    """The network in the plain data of such a file."""
    if not isinstance(found, Mapping):
        raise GliaError(f"{where} is not a table of names and values", expected="x, [[layer]], ...")
    _known(found, _KEYS, where)
    for key in ("x", "layer"):
        if key not in found:
            raise GliaError(f"{where} has no {key}", expected="x = [..] and [[layer]] with weights")
    x = _numbers(found["x"], f"x in {where}")
    layers = found["layer"]
    if not isinstance(layers, list) or not layers or not all(isinstance(layer, Mapping) for layer in layers):
        raise GliaError(f"layer in {where}", got=type(layers).__name__, expected="one or more [[layer]]")
    x = x.reshape(1) if x.ndim == 0 else x
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    width = x.shape[-1]
    for number, layer in enumerate(layers, 1):
        width = _add(modules, layer, number, width, f"layer {number} of {where}")
    loss, lr = found.get("loss"), found.get("lr")
    if loss is not None:
        loss = catalog.find("losses", loss).name
    if lr is not None and (isinstance(lr, bool) or not isinstance(lr, int | float)):
        raise GliaError(f"lr in {where}", got=repr(lr), expected="a number above 0")
    y = _numbers(found["y"], f"y in {where}") if "y" in found else None
    return Net(nn.Sequential(modules), x, y.tolist() if y is not None else None, loss, lr)


def _add(modules: OrderedDict[str, nn.Module], layer: Mapping[str, Any], number: int, width: int, where: str) -> int:
    """Append a layer that takes `width` numbers; how many it gives."""
    _known(layer, _LAYER_KEYS, where)
    if "bias" in layer and "weights" not in layer:
        raise GliaError(f"{where} has a bias without weights", expected="weights = [[...]], a row a neuron")
    if "weights" not in layer and "activation" not in layer:
        raise GliaError(f"{where} is empty", expected="weights, an activation, or both")
    if "weights" in layer:
        weights = _numbers(layer["weights"], f"weights of {where}")
        weights = weights.reshape(1, -1) if weights.ndim < 2 else weights
        if weights.ndim != 2 or weights.shape[1] != width:
            shape = " x ".join(map(str, weights.shape))
            expected = f"{width} numbers a row, one for each input of the layer"
            raise GliaError(f"weights of {where}", got=shape, expected=expected)
        bias = _numbers(layer["bias"], f"bias of {where}").reshape(-1) if "bias" in layer else None
        if bias is not None and len(bias) != len(weights):
            raise GliaError(f"bias of {where}", got=f"{len(bias)} numbers", expected=f"{len(weights)}, one a neuron")
        modules[f"layer{number}"] = _linear(weights, bias)
        width = len(weights)
    name = layer.get("activation", "linear")
    if not isinstance(name, str):
        raise GliaError(f"activation of {where}", got=repr(name), expected="a name, such as 'relu'")
    entry = catalog.find("activations", name)
    if entry.name != "linear":
        options = {"dim": -1} if entry.name == "softmax" else {}
        modules[f"{entry.name}{number}"] = catalog.load(entry)(**options)
    return width


def _linear(weights: Tensor, bias: Tensor | None) -> nn.Linear:
    linear = nn.utils.skip_init(nn.Linear, weights.shape[1], weights.shape[0], bias=bias is not None)
    linear.weight, linear.bias = nn.Parameter(weights), None if bias is None else nn.Parameter(bias)
    return linear


def _known(found: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    for key in found:
        if key not in keys:
            raise unknown(f"name in {where}:", key, keys)


def _numbers(value: Any, what: str) -> Tensor:
    """float32, finite."""
    try:
        tensor = torch.tensor(value, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise GliaError(what, got=repr(value)[:60], expected="numbers in rows of one length") from None
    if not tensor.numel() or not bool(tensor.isfinite().all()):
        raise GliaError(what, got=repr(value)[:60], expected="finite numbers")
    return tensor
