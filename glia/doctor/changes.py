"""Changes: what a cure does to a copy of a script's training. A change is plain data; here it gets its hands.

Single operations of the forward pass are exchanged as they are called, so it makes no difference whether an activation
is a module or a function, and no source is touched.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.vitals import answers as answering
from glia.vitals.bench import Bench
from glia.vitals.operations import SHAPING, Step, activation

Change = Mapping[str, Any]
Exchange = Callable[..., Any]
LOSS_NAMES = {"cross_entropy": "CrossEntropyLoss", "nll": "NLLLoss", "log": "NLLLoss", "mse": "MSELoss", "l1": "L1Loss"}
LOSS_NAMES |= {
    "bce": "BCELoss",
    "bce_logits": "BCEWithLogitsLoss",
    "smooth_l1": "SmoothL1Loss",
    "hinge": "MultiMarginLoss",
}


def hidden_activations(steps: Sequence[Step]) -> list[Step]:
    """Activations between layers; not the softmax of an attention."""
    last = max((s.at for s in steps if s.kind == "layer"), default=-1)
    return [s for s in steps if s.kind == "activation" and s.at < last and s.name not in SHAPING]


def after_last_layer(steps: Sequence[Step]) -> list[Step]:
    """Activations between the last layer and the output."""
    last = max((s.at for s in steps if s.kind == "layer"), default=-1)
    return [s for s in steps if s.kind == "activation" and s.at > last]


def bare_layers(steps: Sequence[Step]) -> list[Step]:
    """Hidden linear and convolutional layers that nothing but norms, dropout and linear layers follow."""
    bare, waiting = [], None
    for step in steps:
        if step.kind == "activation":
            waiting = None
        elif step.kind == "layer":
            if waiting is not None:
                bare.append(waiting)
            waiting = step if step.name == "linear" or step.name.startswith(("conv", "matmul", "__matmul")) else None
    return bare


def exchanges(bench: Bench, change: Change, extra: list[nn.Parameter]) -> dict[int, Exchange]:
    """The operations that a change exchanges, by their places. extra: takes the weights of a new last layer."""
    steps = bench.steps
    made: dict[int, Exchange] = {}
    if "hidden_activation" in change:
        made |= {s.at: _instead(activation(change["hidden_activation"])) for s in hidden_activations(steps)}
    if "add_hidden_activation" in change:
        made |= {s.at: _then(activation(change["add_hidden_activation"])) for s in bare_layers(steps)}
    if "output_activation" in change:
        made |= _output(steps, change["output_activation"] or "none")
    if "dropout" in change:
        made |= {s.at: _dropping(float(change["dropout"])) for s in steps if s.kind == "dropout"}
    if change.get("attach"):
        made |= {s.at: _instead(lambda x: x) for s in steps if s.kind == "cut" and s.name == "detach"}
    if change.get("add_norm"):
        made |= {s.at: _then(_normed) for s in steps if _hidden_layer(s, steps)}
    if "output_units" in change:
        made |= _new_last_layer(steps, int(change["output_units"]), extra)
    return made


def _instead(act: Callable[[Tensor], Tensor]) -> Exchange:
    return lambda func, x, *args, **kwargs: act(x)


def _then(act: Callable[[Tensor], Tensor]) -> Exchange:
    return lambda func, *args, **kwargs: act(func(*args, **kwargs))


def _dropping(p: float) -> Exchange:
    def drop(func: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if args:
            return func(x, p, *args[1:], **kwargs)
        return func(x, **{**kwargs, "p": p})

    return drop


def _normed(x: Tensor) -> Tensor:
    """Layer norm without weights: over the features, or over a channel's own pixels."""
    return F.layer_norm(x, x.shape[-1:]) if x.ndim <= 3 else F.instance_norm(x)


def _hidden_layer(step: Step, steps: Sequence[Step]) -> bool:
    last = max((s.at for s in steps if s.kind == "layer"), default=-1)
    return step.kind == "layer" and step.at < last and (step.name == "linear" or step.name.startswith("conv"))


def _output(steps: Sequence[Step], name: str) -> dict[int, Exchange]:
    """Take away what follows the last layer, and put the named activation there."""
    last = max((s.at for s in steps if s.kind == "layer"), default=-1)
    gone: dict[int, Exchange] = {s.at: _instead(lambda x: x) for s in after_last_layer(steps)}
    if name == "none" or last < 0:
        return gone
    if gone:
        return gone | {min(gone): _instead(activation(name))}
    return {last: _then(activation(name))}


def _new_last_layer(steps: Sequence[Step], units: int, extra: list[nn.Parameter]) -> dict[int, Exchange]:
    last = next((s for s in reversed(steps) if s.kind == "layer"), None)
    if last is None or last.name != "linear" or last.given is None:
        return {}
    wide = last.given.shape[-1]
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter((torch.rand(units, wide, generator=generator) * 2 - 1) / math.sqrt(wide))
    bias = nn.Parameter(torch.zeros(units))
    extra += [weight, bias]
    return {last.at: lambda func, x, *args, **kwargs: F.linear(x, weight, bias)}


def loss_of(bench: Bench, change: Change) -> Callable[[Tensor, Tensor], Tensor] | None:
    """The loss that a change asks for, of outputs and labels; None where the script's own is kept."""
    answers = bench.answers
    if answers is None:
        return None
    name = change.get("loss")
    if name is None and change.get("l1") == 0:
        name = LOSS_NAMES.get(bench.objective.kind)
        if bench.objective.kind == "log":
            return dict(answering.references(answers))["log"]
    if name is None:
        return None
    if "output_units" in change:
        answers = answering.Answers("classes", int(change["output_units"]), int(change["output_units"]), "index")
        return lambda o, y: F.cross_entropy(o, y.reshape(-1).long())
    return named_loss(str(name), answers)


def named_loss(name: str, answers: answering.Answers) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss of torch.nn, for labels in whatever form they come."""
    known = dict(answering.references(answers))
    kinds = {"CrossEntropyLoss": "cross_entropy", "NLLLoss": "nll", "MSELoss": "mse", "L1Loss": "l1"}
    kinds |= {
        "BCELoss": "bce",
        "BCEWithLogitsLoss": "bce_logits",
        "SmoothL1Loss": "smooth_l1",
        "MultiMarginLoss": "hinge",
    }
    found = known.get(kinds.get(name, ""))
    if found is None:
        raise ValueError(f"{name} does not fit {answers.kind}")
    return found


def resized(models: Sequence[nn.Module], steps: Sequence[Step], units: int) -> bool:
    """Give every hidden Linear of a plain stack so many units, with fresh weights; False where it is not plain."""
    names = [s.module for s in steps if s.kind == "layer"]
    found = [m for root in models for n, m in root.named_modules() if n in names and isinstance(m, nn.Linear)]
    norms = [
        m for root in models for m in root.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm | nn.LayerNorm)
    ]
    if len(found) < 2 or norms:
        return False
    before: tuple[int, int] | None = None
    for layer in found:
        old_out = layer.out_features
        if before is not None and layer.in_features == before[0]:
            layer.in_features = before[1]
        if layer is not found[-1]:
            layer.out_features = units
        before = (old_out, layer.out_features)
        kept = layer.weight
        layer.weight = nn.Parameter(kept.new_empty(layer.out_features, layer.in_features))
        if layer.bias is not None:
            layer.bias = nn.Parameter(kept.new_empty(layer.out_features))
        layer.reset_parameters()
    return True
