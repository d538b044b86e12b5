"""Optimizers by name, with the defaults that protect: groups without decay, fused steps, state that survives saving."""

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from glia.catalog import entry as catalog
from glia.errors import GliaError
from glia.optim.bare import new
from glia.optim.groups import Group, embeddings, groups
from glia.optim.layout import guard
from glia.optim.together import Together

Make = Callable[..., Optimizer]
_FUSED_ON = ("cpu", "cuda")
_OURS = ("params", "lr", "weight_decay", "momentum")


def build(
    name: str,
    model: nn.Module,
    lr: float,
    weight_decay: float | None = None,
    momentum: float | None = None,
    **options: Any,
) -> Optimizer:
    """The optimizer of that name over all parameters of `model`.

    lr: base rate; each group's own is lr * group["lr_scale"]. weight_decay, momentum: None for the catalogue's default;
    for Adam and its kin momentum is the first of `betas`. options: further arguments of the torch class.
    Build it once the model is where it is to be trained. Errors: an unknown name or option, a number out of range.
    """
    entry = catalog.find("optimizers", name)
    make: Make = catalog.load(entry)
    settings = _settings(entry, make, momentum, options)
    decay = entry.facts["weight_decay"] if weight_decay is None else weight_decay
    for what, value in (("lr", lr), ("weight_decay", decay)):
        if not 0 <= value < float("inf"):
            raise GliaError(what, got=value, expected="a number of 0 or more")
    made = groups(model, decay)
    try:
        if entry.facts["matrix_only"]:
            return _with_matrices(make, model, made, lr, settings)
        return guard(set_lr(new(make, made, **settings, **_fused(entry, made, settings)), lr))
    except (TypeError, ValueError) as error:
        if isinstance(error, GliaError):
            raise
        raise GliaError(f"optimizer {entry.name}: {error}") from None


def base_rate(optimizer: Optimizer) -> float:
    """What a schedule multiplies: the rate of a group whose "lr_scale" is 1."""
    first = optimizer.param_groups[0]
    return float(first["lr"]) / (first.get("lr_scale", 1.0) or 1.0)


def set_lr(optimizer: Optimizer, lr: float) -> Optimizer:
    """Give each group its share of the base rate: lr * its "lr_scale". Returns the optimizer."""
    for group in optimizer.param_groups:
        rate = lr * group.get("lr_scale", 1.0)
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)  # a captured step reads the tensor
        else:
            group["lr"] = rate
    return optimizer


def _settings(entry: catalog.Entry, make: Make, momentum: float | None, options: dict[str, Any]) -> dict[str, Any]:
    """Arguments of the class besides parameters, rate and decay."""
    allowed = tuple(name for name in signature(make).parameters if name not in _OURS)
    given = catalog.options(entry, options, allowed)
    value = entry.facts["momentum"] if momentum is None else momentum
    if not 0 <= value < 1:
        raise GliaError("momentum", got=value, expected="a number from 0 to below 1")
    if entry.facts["momentum_option"] != "betas":
        own = {"momentum": value}
    else:
        own = {} if momentum is None else {"betas": (value, 0.999)}
    return {**entry.facts["options"], **own, **given}


def _fused(entry: catalog.Entry, made: list[Group], settings: dict[str, Any]) -> dict[str, bool]:
    """fused=True where the class has it, everything is a float on a device that has it, and nothing asked otherwise."""
    asked = {"fused", "foreach", "capturable", "differentiable"} & settings.keys()
    damped = settings.get("dampening", 0.0) != 0  # such momentum begins differently, see `layout`
    fits = all(p.is_floating_point() and p.device.type in _FUSED_ON for group in made for _, p in group["params"])
    return {"fused": True} if entry.facts["fused"] and fits and not asked and not damped else {}


def _with_matrices(make: Make, model: nn.Module, made: list[Group], lr: float, settings: dict[str, Any]) -> Optimizer:
    """`make` for hidden matrices, AdamW for embeddings, the output layer and all that is no matrix.

    The output layer is the last matrix in the model's own order, as Jordan's post asks to leave it out.
    """
    tables = embeddings(model)
    matrices = [name for name, p in model.named_parameters() if _is_matrix(name, p) and id(p) not in tables]
    hidden = set(matrices[:-1])
    split = [[_part(group, hidden, inside) for group in made] for inside in (True, False)]
    matrix_groups, rest = ([group for group in part if group["params"]] for part in split)
    parts = [make(matrix_groups, **settings)] if matrix_groups else []
    if rest:
        adamw = catalog.find("optimizers", "adamw")
        parts.append(catalog.load(adamw)(rest, **_fused(adamw, rest, {})))
    return guard(set_lr(Together(*parts), lr))


def _is_matrix(name: str, parameter: torch.Tensor) -> bool:
    return parameter.ndim == 2 and "weight" in name.rpartition(".")[2]


def _part(group: Group, names: set[str], inside: bool) -> Group:
    return {**group, "params": [(name, p) for name, p in group["params"] if (name in names) == inside]}
