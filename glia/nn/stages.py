"""Stages: the parts of a network from its input to its output, the head last; what transfer learning freezes."""

import inspect
from collections.abc import Iterable, Iterator

from torch import nn

MOST = 6  # stages of a network that does not name its own, the head among them


def stages(model: nn.Module) -> list[list[str]]:
    """Prefixes of parameter names, from the input to the output; the last list is the head. Together they cover all.

    A network that says so itself has a method `stages()`; one that is wrapped (a preparation before it) is found.
    For others the children stand in their order, sequences item by item, a norm with the layer before it, and the last
    `nn.Linear` with all that follows is the head. A network of one layer is one stage, which is the head.
    """
    units = [unit for unit in _units(model, "") if any(True for _ in _within(model, unit))]
    if not units:
        return [[]]
    told = next((u for u in _told(model) if _covers(model, u)), None)
    return told or _grouped(model, _with_norms(model, units))


def within(name: str, prefixes: Iterable[str]) -> bool:
    """Does the name of a parameter or a module begin with one of the prefixes, in whole words?"""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _told(model: nn.Module) -> Iterator[list[list[str]]]:
    """What each module in it says of itself."""
    for path, module in model.named_modules():
        say = getattr(module, "stages", None)
        if inspect.ismethod(say) and not inspect.signature(say).parameters:
            yield [[_joined(path, prefix) for prefix in stage] for stage in say()]


def _covers(model: nn.Module, told: list[list[str]]) -> bool:
    flat = [prefix for stage in told for prefix in stage]
    return bool(told) and all(within(name, flat) for name, _ in model.named_parameters())


def _units(module: nn.Module, path: str) -> Iterator[list[str]]:
    """Prefixes of what is not taken apart further. Parameters of the root itself belong to the input."""
    own = [_joined(path, name) for name, _ in module.named_parameters(recurse=False)]
    children = [(name, child) for name, child in module.named_children() if any(True for _ in child.parameters())]
    if own:
        yield own
    for name, child in children:
        place = _joined(path, name)
        told = next(_told(child), None)
        grandchildren = [one for one in child.children() if any(True for _ in one.parameters())]
        if told is not None and _covers(child, told):
            yield from ([_joined(place, prefix) for prefix in stage] for stage in told)
        elif isinstance(child, nn.Sequential | nn.ModuleList) or len(children) == 1 == len(grandchildren):
            yield from _units(child, place) if grandchildren else [[place]]
        else:
            yield [place]


def _with_norms(model: nn.Module, units: list[list[str]]) -> list[list[str]]:
    """Units that hold vectors alone (norms) join the layer before them."""
    joined: list[list[str]] = []
    for unit in units:
        flat = all(parameter.ndim < 2 for _, parameter in _within(model, unit))
        if joined and flat:
            joined[-1] = joined[-1] + unit
        else:
            joined.append(unit)
    return joined


def _grouped(model: nn.Module, units: list[list[str]]) -> list[list[str]]:
    """The head, and before it at most MOST - 1 stages of about as many units each."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    at = next((i for i, unit in enumerate(units) if linear and within(linear[-1], unit)), len(units) - 1)
    body, head = units[:at], [prefix for unit in units[at:] for prefix in unit]
    count = min(len(body), MOST - 1)
    ends = [round(len(body) * number / count) for number in range(count + 1)] if count else []
    return [[prefix for unit in body[a:b] for prefix in unit] for a, b in zip(ends, ends[1:])] + [head]


def _within(model: nn.Module, prefixes: Iterable[str]) -> Iterator[tuple[str, nn.Parameter]]:
    prefixes = list(prefixes)
    return ((name, one) for name, one in model.named_parameters() if within(name, prefixes))


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
