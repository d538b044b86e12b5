"""Parameter groups: which parameters decay, and which have a rate of their own."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from glia.errors import GliaError, nearest

_NORMS = (
    nn.modules.batchnorm._NormBase,  # batch and instance norms of every dimension
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)
Group = dict[str, Any]


def groups(model: nn.Module, weight_decay: float) -> list[Group]:
    """The parameters of `model`, grouped by decay and rate: {"params": [(name, tensor)], "weight_decay", "lr_scale"}.

    No decay for norms, biases, embeddings and parameters with fewer than 2 dimensions. A module that has an attribute
    `param_lr`, prefix of a parameter's name -> factor, gives those parameters that many times the learning rate
    (the longest prefix holds; the factors of nested modules multiply). Frozen parameters are included: they have no
    gradient, so optimizers pass them by until somebody thaws them.
    """
    plain = undecayed(model)
    scales = _scales(model)
    made: dict[tuple[float, float], Group] = {}
    for name, parameter in model.named_parameters():
        decay = 0.0 if name in plain else weight_decay
        scale = scales.get(name, 1.0)
        group = made.setdefault((decay, scale), {"params": [], "weight_decay": decay, "lr_scale": scale})
        group["params"].append((name, parameter))
    if not made:
        raise GliaError(f"{type(model).__name__} has no parameters", expected="something to train")
    return list(made.values())


def undecayed(model: nn.Module) -> set[str]:
    """Names of the parameters that do not decay. A shared one is among them if any of its owners says so."""
    ids = {id(parameter) for owner, name, parameter in _owned(model) if _spared(owner, name, parameter)}
    return {name for name, parameter in model.named_parameters() if id(parameter) in ids}


def _spared(owner: nn.Module, name: str, parameter: torch.Tensor) -> bool:
    return (
        parameter.ndim < 2
        or name.endswith(("bias", "biases"))
        or isinstance(owner, _NORMS)
        or "embedding" in type(owner).__name__.lower()
    )


def embeddings(model: nn.Module) -> set[int]:
    """Identities of the parameters that are tables of vectors."""
    return {id(p) for owner, _, p in _owned(model) if "embedding" in type(owner).__name__.lower()}


def _owned(model: nn.Module) -> Iterator[tuple[nn.Module, str, torch.Tensor]]:
    """Each parameter with the module that holds it and the last word of its name; a shared one comes once an owner."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            yield module, name, parameter
    for path, module in model.named_modules():
        if isinstance(module, nn.ParameterList | nn.ParameterDict):  # the list has the name that tells
            for _, parameter in module.named_parameters(recurse=False):
                yield module, path, parameter


def _scales(model: nn.Module) -> dict[str, float]:
    """Parameter name -> factor on the learning rate, where it is not 1."""
    names = [name for name, _ in model.named_parameters()]
    scales: dict[str, float] = {}
    for path, module in model.named_modules():
        factors = getattr(module, "param_lr", None)
        if isinstance(factors, dict):
            prefixes = {f"{path}.{prefix}" if path else prefix: factor for prefix, factor in factors.items()}
            for name, factor in _matched(names, prefixes).items():
                scales[name] = scales.get(name, 1.0) * factor
    return scales


def _matched(names: list[str], prefixes: dict[str, float]) -> dict[str, float]:
    """The factor of the longest prefix of each name, in whole words. A prefix that nothing has is a mistake."""
    found: dict[str, float] = {}
    for prefix in sorted(prefixes, key=len):
        hits = [name for name in names if name == prefix or name.startswith(prefix + ".")]
        if not hits:
            raise GliaError(f"param_lr names {prefix!r}, which no parameter has", hint=nearest(prefix, names))
        if prefixes[prefix] < 0:
            raise GliaError(f"param_lr of {prefix!r}", got=prefixes[prefix], expected="0 or more")
        found.update(dict.fromkeys(hits, float(prefixes[prefix])))
    return found
