"""Networks by name: the catalogue says where the constructor is, the facts what goes in, the task what comes out."""

import inspect
from typing import Any

import torch
from torch import nn

from glia.catalog import entry as catalog
from glia.data.facts import Facts
from glia.data.prepared import Prepared
from glia.data.task import Task
from glia.errors import GliaError, unknown
from glia.seed import mix


def build(name: str, facts: Facts, task: Task, *, seed: int = 0, **options: Any) -> nn.Module:
    """A network for these inputs and this task, its weights drawn from `seed` alone.

    options: what the network's own constructor takes besides (hidden, width, dropout ...).
    """
    entry = catalog.find("models", name)
    make = catalog.load(entry)
    known = list(inspect.signature(make).parameters)[3:]  # after facts, task and generator
    for option in options:
        if option not in known:
            raise unknown(f"option of model {entry.name}", option, known)
    generator = torch.Generator().manual_seed(mix(seed, "weights"))
    # torch's layers draw first weights of their own from the global generator: leave that as it was.
    with torch.random.fork_rng(devices=[]):
        return make(facts, task, generator, **options)


def build_for(name: str, data: Prepared, *, seed: int = 0, **options: Any) -> nn.Module:
    """`build` for prepared data: ``glia.build("mlp", data, hidden=[128, 64])``."""
    if not isinstance(data, Prepared):
        raise GliaError("build needs prepared data", got=type(data).__name__, hint="glia.prepare(...)")
    return build(name, data.facts, data.task, seed=seed, **options)
