"""Multilayer perceptrons, for any kind of input; the linear model is the one without hidden layers.

Rumelhart, Hinton, Williams 1986, "Learning representations by back-propagating errors".
"""

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor, nn

from glia.data.facts import Facts, ImageFacts, TensorFacts
from glia.data.task import Task
from glia.errors import unknown
from glia.models.normalise import initialise, normalise

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "leaky_relu": nn.LeakyReLU,
}
NORMS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class Flat(nn.Module):
    """(N, *shape) of any dtype -> (N, D) float."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).float()


def features(facts: Facts) -> tuple[nn.Module, int]:
    """The module that turns raw inputs into (N, D) floats, and D."""
    if isinstance(facts, ImageFacts):
        return nn.Sequential(normalise(facts), nn.Flatten()), facts.channels * facts.height * facts.width
    if isinstance(facts, TensorFacts):
        return Flat(), prod(facts.shape)
    raise NotImplementedError


class MLP(nn.Module):
    """Raw inputs -> features -> (linear, norm, activation, dropout) for each hidden width -> linear. (N, ...) -> (N, outputs)."""

    def __init__(
        self, facts: Facts, outputs: int, hidden: Sequence[int], activation: str, dropout: float, norm: str | None
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise unknown("activation", activation, ACTIVATIONS)
        if norm is not None and norm not in NORMS:
            raise unknown("norm", norm, NORMS)
        self.features, width = features(facts)
        layers: list[nn.Module] = []
        for wide in hidden:
            layers.append(nn.Linear(width, wide))
            if norm is not None:
                layers.append(NORMS[norm](wide))
            layers.append(ACTIVATIONS[activation]())
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = wide
        self.body = nn.Sequential(*layers)
        self.output = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.body(self.features(x)))


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
    """Fully connected layers of the widths in `hidden`; norm: None, "batch" or "layer"."""
    net = MLP(facts, task.outputs, hidden, activation, dropout, norm)
    initialise(net, activation, generator)
    return net


def linear(facts: Facts, task: Task, generator: torch.Generator) -> MLP:
    """The linear model: linear, logistic or softmax regression, by the task's loss."""
    return mlp(facts, task, generator, hidden=())
