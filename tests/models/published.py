"""Published sizes and published names, for the tests of families that another library has too."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from glia.catalog import entry as catalog
from glia.catalog.entry import Entry
from glia.data.facts import Facts, ImageFacts, TextFacts
from tests.models.zoo import classes, generator, parameters


def translated(renames: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under our names. Two keys of one name must hold the same numbers."""
    ours: dict[str, Tensor] = {}
    for key, value in state.items():
        for rename in renames:
            key, times = re.subn(rename.pattern, rename.replacement, key)
            value = value.t() if rename.transpose and times else value
        assert key not in ours or torch.equal(ours[key], value), key
        ours[key] = value
    return ours


def take(body: Any, other: nn.Module, source: str = "huggingface") -> None:
    """Random weights into `other`, far from their usual size, and from there into `body`: all of them, by the names."""
    with torch.no_grad():
        for number, parameter in enumerate(other.parameters()):
            parameter.normal_(1.0 if parameter.ndim == 1 else 0.0, 0.2, generator=generator(number))
    body.load_state_dict(translated(body.published_keys[source], other.state_dict()))
    body.eval()
    other.eval()


def build_empty(entry: Entry) -> nn.Module:
    """The published form, without memory for its weights."""
    form = entry.facts["published"]
    task = classes(form["outputs"])
    facts: Facts = TextFacts(*form["inputs"], 0, 0) if len(form["inputs"]) == 2 else image(*form["inputs"])
    if form["task"] == "language":
        task = type(task)("language", task.targets, task.classes)
    with torch.device("meta"):
        net: nn.Module = catalog.load(entry)(facts, task, generator(), **entry.facts["size"])
    return net


def image(channels: int, height: int, width: int) -> ImageFacts:
    return ImageFacts(channels, height, width, (0.5,) * channels, (0.25,) * channels, 0)


def assert_sizes(entries: tuple[Entry, ...], expected: Mapping[str, int]) -> None:
    """The networks of these entries have so many parameters, and the catalogue says the same."""
    told = {entry.name: entry.facts["published"]["parameters"] for entry in entries}
    assert {entry.name: parameters(build_empty(entry)) for entry in entries} == expected == told


def assert_stages(net: Any) -> None:
    """Prefixes of stages name every parameter once."""
    prefixes = [prefix for stage in net.stages() for prefix in stage]
    for name, _ in net.named_parameters():
        assert sum(name == prefix or name.startswith(prefix + ".") for prefix in prefixes) == 1, name
    assert all(any(name.startswith(prefix) for name, _ in net.named_parameters()) for prefix in prefixes)
