"""Initial weights, drawn from a generator that is passed in: the same seed, the same network, whatever else ran."""

from collections.abc import Callable, Iterable
from math import inf, prod, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from glia.catalog import entry as catalog
from glia.errors import GliaError

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_LAYERS = (nn.Linear, _ConvNd)


def initialise(
    module: nn.Module,
    activation: str,
    generator: torch.Generator,
    scheme: str | None = None,
    zero: Iterable[nn.Module] = (),
) -> list[str]:
    """Draw every weight of torch's own layers inside `module` anew. Returns the names of the parameters left alone.

    activation: what follows the layers; the catalogue says which scheme fits and its gain. scheme: another one,
    "he_normal", "he_uniform", "xavier_uniform", "xavier_normal" or "orthogonal". Biases begin at 0, norms at 1 and 0,
    embeddings at N(0, 1), recurrent layers with Glorot inputs, orthogonal recurrence and (LSTM) forget gates of 1.
    zero: the last layer of each residual branch (a norm or a linear map), so that every block begins as the identity
    (Goyal et al. 2017, arXiv 1706.02677, section 5.1).
    """
    facts = catalog.find("activations", activation).facts
    fill = _filler(scheme or facts["init"], facts["gain"])
    done: set[int] = set()
    with torch.no_grad():
        for layer in module.modules():
            if _one(layer, fill, generator):
                done.update(id(parameter) for parameter in layer.parameters(recurse=False))
        for layer in zero:
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)
                done.add(id(parameter))
    return [name for name, parameter in module.named_parameters() if id(parameter) not in done]


def lsuv(module: nn.Module, batch: Tensor, generator: torch.Generator | None = None) -> dict[str, float]:
    """Scale each linear map and convolution so that what it makes of `batch` has variance 1, biases apart.

    Mishkin and Matas 2016, arXiv 1511.06422, algorithm 1. With a generator the weights are drawn orthogonal first, as
    there. One forward pass in evaluation mode does all layers in the order they run: each passes on what its new weight
    gives. (A layer is linear in its weight, so the paper's repeated measuring is not needed.) A layer whose outputs do
    not vary, such as a head of zeros, is left alone. Returns what each layer's weight was multiplied by.
    """
    factors: dict[str, float] = {}
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, _LAYERS)}
    modes = {part: part.training for part in module.modules()}
    hooks = [layer.register_forward_hook(_unit_variance(name, factors)) for name, layer in layers.items()]
    try:
        module.eval()
        with torch.no_grad():
            if generator is not None:
                for layer in layers.values():
                    nn.init.orthogonal_(layer.weight, generator=generator)
            module(batch)
    finally:
        for hook in hooks:
            hook.remove()
        for part, mode in modes.items():
            part.training = mode
    return factors


def fans(layer: nn.Module) -> tuple[float, float]:
    """How many inputs an output of this linear map or convolution sums, and how many outputs an input feeds.

    torch's own figures leave groups and strides out of the second, and swap the two for transposed convolutions.
    """
    if isinstance(layer, nn.Linear):
        return float(layer.in_features), float(layer.out_features)
    if not isinstance(layer, _ConvNd):
        raise TypeError(f"{type(layer).__name__} has no fans")
    places, stride = prod(layer.kernel_size), prod(layer.stride)
    into, out = layer.in_channels / layer.groups * places, layer.out_channels / layer.groups * places
    # with a stride, only one in so many of the kernel's places meets each output (transposed) or input (plain)
    return (max(into / stride, 1.0), out) if isinstance(layer, _ConvTransposeNd) else (into, max(out / stride, 1.0))


Fill = Callable[[nn.Module, Tensor, torch.Generator], None]


def _filler(scheme: str, gain: float) -> Fill:
    """Draws the weight of a linear map or convolution."""
    name = catalog.find("inits", scheme).name

    def fill(layer: nn.Module, weight: Tensor, generator: torch.Generator) -> None:
        if name == "orthogonal":
            nn.init.orthogonal_(weight, gain, generator=generator)
            return
        into, out = fans(layer)
        std = gain / sqrt(into) if name.startswith("he") else gain * sqrt(2 / (into + out))
        if name.endswith("uniform"):
            weight.uniform_(-sqrt(3) * std, sqrt(3) * std, generator=generator)
        else:
            weight.normal_(0.0, std, generator=generator)

    if name not in ("orthogonal", "he_normal", "he_uniform", "xavier_normal", "xavier_uniform"):
        raise GliaError(f"{name} cannot begin all weights", expected="he, xavier or orthogonal")
    return fill


def _one(layer: nn.Module, fill: Fill, generator: torch.Generator) -> bool:
    """Initialise the layer's own parameters; False when it is no kind of layer that this knows."""
    if isinstance(layer, _LAYERS):
        fill(layer, layer.weight, generator)
        _zero(layer.bias)
    elif isinstance(layer, _NORMS):
        if layer.weight is not None:
            nn.init.ones_(layer.weight)
        _zero(getattr(layer, "bias", None))
    elif isinstance(layer, nn.Embedding | nn.EmbeddingBag):
        layer.weight.normal_(generator=generator)
        if layer.padding_idx is not None:
            layer.weight[layer.padding_idx].zero_()
    elif isinstance(layer, nn.RNNBase):
        _recurrent(layer, generator)
    elif isinstance(layer, nn.MultiheadAttention):
        _attention(layer, generator)
    else:
        return False
    return True


def _recurrent(layer: nn.RNNBase, generator: torch.Generator) -> None:
    """Gate by gate. Forget gates of 1 (Jozefowicz et al. 2015, ICML, section 2.2): half in each of torch's biases."""
    hidden = layer.hidden_size
    for name, parameter in layer.named_parameters(recurse=False):
        if name.startswith("bias"):
            nn.init.zeros_(parameter)
            if layer.mode == "LSTM":
                parameter[hidden : 2 * hidden] = 0.5
            continue
        for gate in parameter.split(hidden) if "hr" not in name else [parameter]:
            if "weight_hh" in name:
                nn.init.orthogonal_(gate, generator=generator)
            else:
                nn.init.xavier_uniform_(gate, generator=generator)


def _attention(layer: nn.MultiheadAttention, generator: torch.Generator) -> None:
    """Query, key and value are three maps, also where torch holds them in one matrix. The output is a Linear inside."""
    joined = [] if layer.in_proj_weight is None else layer.in_proj_weight.chunk(3)
    apart = [w for w in (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight) if w is not None]
    for weight in (*joined, *apart):
        nn.init.xavier_uniform_(weight, generator=generator)
    _zero(layer.in_proj_bias)
    for bias in (layer.bias_k, layer.bias_v):
        if bias is not None:
            nn.init.xavier_normal_(bias, generator=generator)


def _zero(bias: Tensor | None) -> None:
    if bias is not None:
        nn.init.zeros_(bias)


Hook = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]


def _unit_variance(name: str, factors: dict[str, float]) -> Hook:
    def hook(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if name in factors:
            return output  # a shared layer: its first use counts
        bias = 0.0
        if layer.bias is not None:  # (units), or (units, 1, ...) beside a convolution's places
            bias = layer.bias if isinstance(layer, nn.Linear) else layer.bias.view(-1, *[1] * (layer.weight.ndim - 2))
        product = output - bias
        std = product.float().std(correction=0).item()
        if not 0 < std < inf:
            return output
        factors[name] = 1 / std
        layer.weight.div_(std)
        return product / std + bias

    return hook
