"""Small real training programs, as people write them: each differs from `train` in one thing."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import glia
from glia.vitals.chart import Chart

Loss = Callable[[Tensor, Tensor], Tensor]


def classes(rows: int = 256, columns: int = 8) -> tuple[Tensor, Tensor]:
    """Three classes that lie apart, inputs standardised (so some are beyond 2)."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, columns, generator=generator)
    return x, (x @ torch.randn(columns, 3, generator=generator)).argmax(1)


def mlp(activation: Callable[[], nn.Module] = nn.ReLU, depth: int = 2, width: int = 32) -> nn.Sequential:
    """8 -> width ... -> 3, the same weights each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for fan_in in [8] + [width] * (depth - 1):
            layers += [nn.Linear(fan_in, width), activation()]
        return nn.Sequential(*layers, nn.Linear(width, 3))


def sgd(model: nn.Module, lr: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=lr)


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: tuple[Tensor, Tensor],
    loss: Loss = F.cross_entropy,
    steps: int = 150,
    clear: bool = True,
) -> Chart:
    """A plain loop over shuffled batches of 32, listened to."""
    x, y = data
    generator = torch.Generator().manual_seed(0)
    with glia.listen() as chart:
        for _ in range(steps):
            rows = torch.randint(0, len(x), (32,), generator=generator)
            if clear:
                optimizer.zero_grad()
            loss(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return chart


X, Y = classes()


def simple(model: nn.Module, lr: float = 0.1, x: Tensor = X, steps: int = 150) -> Chart:
    """Plain SGD on the three classes."""
    return train(model, sgd(model, lr), (x, Y), steps=steps)


def fetched(loader: Iterable[Any], model: nn.Module, optimizer: torch.optim.Optimizer, epochs: int = 1) -> None:
    """A plain loop over a loader, for whoever listens."""
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
