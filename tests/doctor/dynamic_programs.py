"""Programs that go wrong on the way, and twins that look like them and are well."""

from collections.abc import Callable

import torch
from small_programs import X, Y, mlp, sgd, simple, train
from torch import Tensor, nn
from torch.nn import functional as F

import glia
from glia.vitals.chart import Chart

TARGETS = X[:, :1] * 2


def line(lr: float, steps: int, momentum: float = 0.0, width: int = 8) -> Chart:
    """A linear regression. Its loss is a bowl, so the rate from which it diverges is known: 2 / the steepest curve."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Linear(width, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    return train(model, optimizer, (X[:, :width], TARGETS), F.mse_loss, steps)


def noisy(batch: int = 2) -> Chart:
    """Batches of two: the loss jumps from step to step, and falls."""
    model = mlp()
    optimizer = sgd(model, 0.02)
    generator = torch.Generator().manual_seed(0)
    with glia.listen() as chart:
        for _ in range(600):
            rows = torch.randint(0, len(X), (batch,), generator=generator)
            optimizer.zero_grad()
            F.cross_entropy(model(X[rows]), Y[rows]).backward()
            optimizer.step()
    return chart


def saturating(times: float, activation: type[nn.Module] = nn.Tanh) -> Chart:
    """Labels that only the first layer could tell apart, behind activations that are pushed to their ends."""
    model = mlp(activation, depth=4)
    with torch.no_grad():
        for layer in model[:-1]:
            for parameter in layer.parameters():
                parameter.mul_(times)
    return simple(model, 1e-3, steps=120)


class Functional(nn.Module):
    """tanh as a function: no module to look at."""

    def __init__(self, times: float):
        super().__init__()
        self.a, self.b = mlp()[0], mlp()[-1]
        with torch.no_grad():
            self.a.weight.mul_(times)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x)))


def adam(lr: float = 1e-3, steps: int = 150, **options: object) -> Chart:
    model = mlp()
    return train(model, torch.optim.Adam(model.parameters(), lr, **options), (X, Y), steps=steps)


def of_class(kind: type[torch.optim.Optimizer], lr: float, steps: int = 60) -> Chart:
    model = mlp()
    return train(model, kind(model.parameters(), lr=lr), (X, Y), steps=steps)


def with_norm(rows: int, lr: float) -> Chart:
    body = mlp(width=16)
    model = nn.Sequential(body[0], nn.BatchNorm1d(16), nn.ReLU(), body[-1])
    optimizer = sgd(model, lr)
    with glia.listen() as chart:
        for step in range(40):
            part = (torch.arange(rows) + step * rows) % len(X)
            optimizer.zero_grad()
            F.cross_entropy(model(X[part]), Y[part]).backward()
            optimizer.step()
    return chart


def of_noise() -> Chart:
    """Labels that have nothing to do with their rows, at a sound rate."""
    model = mlp(width=8)
    labels = torch.randint(0, 3, (len(X),), generator=torch.Generator().manual_seed(7))
    return train(model, sgd(model, 1e-3), (X, labels))


def stopped(steps: int) -> Chart:
    """A sound program, cut off after so many steps."""
    return simple(mlp(nn.Tanh), 0.01, steps=steps)


def stalled() -> Chart:
    """Weights that start far out give a loss that falls to that of a constant answer, and no further."""
    model = mlp(nn.Sigmoid, depth=5)
    with torch.no_grad():
        model[-1].bias.copy_(torch.tensor([4.0, 0.0, -4.0]))
    return simple(model, 0.3, steps=200)


PAIRS: dict[str, tuple[Callable[[], Chart], Callable[[], Chart]]] = {
    "GL301": (of_noise, lambda: simple(mlp(), 0.1)),
    "GL306": (lambda: line(1.2, 60), lambda: line(0.6, 200)),
    "GL307": (lambda: simple(mlp(nn.Tanh), 10.0, steps=300), noisy),
    "GL308": (lambda: saturating(40.0), lambda: simple(mlp(nn.Tanh))),
    "GL309": (lambda: line(1.2, 60), lambda: simple(mlp(), 0.5)),
    "GL310": (lambda: adam(2e-6, steps=60), lambda: adam(1e-3)),
    "GL311": (stalled, lambda: simple(mlp())),
    "GL312": (lambda: stopped(60), lambda: stopped(600)),
    "GL313": (lambda: of_class(torch.optim.Adadelta, 1e-3), lambda: of_class(torch.optim.Adadelta, 1.0, 150)),
    "GL314": (lambda: with_norm(2, 0.01), lambda: with_norm(32, 0.1)),
    "GL315": (lambda: adam(eps=10.0), lambda: adam(eps=1e-4)),
}
