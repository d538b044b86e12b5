"""Networks by name: the catalogue says where the constructor is and what a size means, the facts what goes in, the task
what comes out.
"""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from glia.catalog import entry as catalog
from glia.data.batches import Batches
from glia.data.facts import Facts, ImageFacts, SeriesFacts, TextFacts
from glia.data.prepared import Prepared
from glia.data.task import Task
from glia.errors import GliaError, unknown
from glia.seed import mix

# Of ImageNet's training pictures; what the usual published weights were trained with.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def build(
    name: str, facts: Facts, task: Task, *, seed: int = 0, train: Batches | None = None, **options: Any
) -> nn.Module:
    """A network for these inputs and this task, its weights drawn from `seed` alone.

    train: the training rows, for networks that count something in them before they learn (their method `begin_from`).
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
        try:
            net = make(facts, task, generator, **{**entry.facts.get("size", {}), **options})
            if isinstance(train, Batches) and hasattr(net, "begin_from"):
                net.begin_from(train)
            return net
        except (RuntimeError, MemoryError, OverflowError) as error:
            if not isinstance(error, RuntimeError) or "allocat" in str(error) or "overflow" in str(error):
                size = ", ".join(f"{name}={value}" for name, value in options.items()) or "its usual size"
                raise GliaError(f"a {entry.name} of {size} does not fit in memory", hint="a smaller one") from None
            raise


def build_for(name: str, data: Prepared | None = None, *, seed: int = 0, **options: Any) -> nn.Module:
    """`build` for prepared data: ``glia.build("mlp", data, hidden=[128, 64])``.

    Without data the published form: ``glia.build("resnet18")`` takes pictures of 3 x 224 x 224 and knows 1,000 classes.
    """
    if data is None:
        return build(name, *published(name), seed=seed, **options)
    if not isinstance(data, Prepared):
        raise GliaError("build needs prepared data", got=type(data).__name__, hint="glia.prepare(...)")
    return build(name, data.facts, data.task, seed=seed, train=data.train, **options)


def published(name: str) -> tuple[Facts, Task]:
    """What goes into the published form of a network, and what comes out."""
    entry = catalog.find("models", name)
    form = entry.facts.get("published")
    if form is None:
        raise GliaError(f"{entry.name} has no published form", hint=f"build({entry.name!r}, glia.prepare(...))")
    classes = tuple(str(number) for number in range(form["outputs"]))
    task = Task(form["task"], ("answer",), classes if form["task"] in ("classify", "language") else ())
    kind, shape = entry.facts["inputs"][0], form["inputs"]
    if kind == "image":
        channels, height, width = shape
        return ImageFacts(channels, height, width, IMAGENET_MEAN[:channels], IMAGENET_STD[:channels], rows=0), task
    if kind == "text":
        vocabulary, length = shape
        return TextFacts(vocabulary, length, pad=0, rows=0), task
    length, channels = shape
    return SeriesFacts(channels, length, (0.0,) * channels, (1.0,) * channels, rows=0), task


def example(facts: Facts, rows: int = 2) -> Tensor:
    """So many empty rows of the shape and the dtype that a network for these facts takes."""
    dtype = {"image": torch.uint8, "video": torch.uint8, "text": torch.int64}.get(facts.kind, torch.float32)
    return torch.zeros(rows, *facts.shape, dtype=dtype)
