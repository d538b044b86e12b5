"""Multilayer perceptrons, for any kind of input; the linear model is the one without hidden layers.

Rumelhart, Hinton, Williams 1986, "Learning representations by back-propagating errors", Nature 323.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from glia.catalog import entry as catalog
from glia.data.facts import (
    Facts,
    ForecastFacts,
    ImageFacts,
    SeriesFacts,
    SoundFacts,
    TableFacts,
    TensorFacts,
    TextFacts,
    VideoFacts,
)
from glia.data.task import Task
from glia.errors import GliaError, unknown
from glia.models.normalise import normalise
from glia.models.tabular import TableFeatures
from glia.nn.init import initialise

_NORMS = ("batch", "layer", "rms", "none")  # those that need nothing but the width


class Floats(nn.Module):
    """(N, ...) of any dtype -> (N, D) float."""

    def __init__(self, facts: TensorFacts | SeriesFacts):
        super().__init__()
        self.width = prod(facts.shape)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).float()


class Pixels(nn.Module):
    """Raw images (N, C, H, W) -> (N, C * H * W), standardised."""

    def __init__(self, facts: ImageFacts):
        super().__init__()
        self.normalise = normalise(facts)
        self.width = facts.channels * facts.height * facts.width

    def forward(self, x: Tensor) -> Tensor:
        return self.normalise(x).flatten(1)


def features(facts: Facts, generator: torch.Generator) -> Floats | Pixels | TableFeatures:
    """The module that turns raw inputs into (N, `width`) floats."""
    if isinstance(facts, TableFacts):
        return TableFeatures(facts, generator)
    if isinstance(facts, TextFacts | ForecastFacts | SoundFacts | VideoFacts):
        raise GliaError("an mlp takes rows of numbers", got=f"{facts.kind} data")
    return Pixels(facts) if isinstance(facts, ImageFacts) else Floats(facts)


def _norm(name: str, width: int) -> nn.Module:
    entry = catalog.find("norms", name)
    if entry.name not in _NORMS:
        raise unknown("norm of an mlp", name, _NORMS)
    return catalog.load(entry)(width)


def _hidden(width: int, wide: int, activation: str, dropout: float, norm: str | None) -> list[nn.Module]:
    """One hidden layer: linear, norm, activation, dropout."""
    normed = _norm(norm, wide) if norm else None
    biased = not isinstance(normed, nn.BatchNorm1d)  # it takes the mean off, and has a bias of its own
    layers: list[nn.Module] = [nn.Linear(width, wide, bias=biased)]
    if normed is not None:
        layers.append(normed)
    layers.append(catalog.load(catalog.find("activations", activation))())
    return [*layers, nn.Dropout(dropout)] if dropout else layers


class MLP(nn.Module):
    """Raw inputs -> features -> hidden layers -> linear. (N, ...) -> (N, outputs)."""

    def __init__(self, features: nn.Module, widths: Sequence[int], hidden: Sequence[nn.Module]):
        super().__init__()
        self.features = features
        self.hidden = nn.Sequential(*hidden)
        self.output = nn.Linear(widths[-2], widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.output(self.hidden(self.features(x)))
        return out


def mlp(
    facts: Facts,
    task: Task,
    generator: torch.Generator,
    *,
    hidden: Sequence[int] = (256, 128),
    activation: str = "relu",
    dropout: float = 0.0,
    norm: str | None = None,
) -> MLP:
    """Fully connected layers of the widths in `hidden`; norm: "batch", "layer", "rms" or None."""
    first = features(facts, generator)
    widths = [first.width, *hidden, task.outputs]
    layers = [
        layer for a, b in zip(widths[:-2], hidden, strict=True) for layer in _hidden(a, b, activation, dropout, norm)
    ]
    net = MLP(first, widths, layers)
    for part in (net.hidden, net.output):  # the features have drawn their own
        initialise(part, activation, generator)
    return net


def linear(facts: Facts, task: Task, generator: torch.Generator) -> MLP:
    """The linear model: linear, logistic or softmax regression, by the task's loss. It begins at zero weights, since
    its loss has a single minimum and no symmetry to break."""
    net = mlp(facts, task, generator, hidden=())
    nn.init.zeros_(net.output.weight)
    return net
