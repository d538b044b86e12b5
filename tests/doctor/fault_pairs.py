"""For each rule a program that has the fault, and one that looks like it and has not."""

from collections.abc import Callable

import torch
from dynamic_programs import PAIRS as DYNAMICS
from modes_and_clocks import PAIRS as GENERALISATION_AND_SPEED
from small_programs import X, Y, classes, mlp, sgd, simple, train
from torch import Tensor, nn
from torch.nn import functional as F

import glia
from glia.vitals.chart import Chart

SCALES = torch.tensor([1, 1, 1, 1, 1e3, 1, 1, 1e-3])
NUMBERS = X[:, :3] * 2 + 1


class Filled(nn.Sequential):
    """Replaces what is missing before its first weights."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.nan_to_num(0))


class Cut(nn.Module):
    """The head never tells the body anything."""

    def __init__(self, cut: bool):
        super().__init__()
        self.body, self.head, self.spare, self.cut = mlp(nn.Tanh)[:-1], nn.Linear(32, 3), nn.Linear(3, 3), cut

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(x)
        return self.head(hidden.detach() if self.cut else hidden)


class Plain(nn.Module):
    """ReLU as a function: no module to look at."""

    def __init__(self, shift: float):
        super().__init__()
        self.a, self.b, self.shift = mlp()[0], mlp()[-1], shift

    def forward(self, x: Tensor) -> Tensor:
        return self.b(F.relu(self.a(x) - self.shift))


def with_holes() -> Tensor:
    x = X.clone()
    x[::5, 3] = torch.nan
    return x


def large_weights(times: float) -> Chart:
    model = mlp(depth=6)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(times)
    return simple(model, 1e-4)


def body_only() -> Chart:
    model = mlp()
    return train(model, sgd(model[0]), (X, Y))


def frozen_body() -> Chart:
    """Frozen on purpose, and a module that nobody uses."""
    model = Cut(cut=False)
    model.body.requires_grad_(False)
    return train(model, torch.optim.Adam(model.head.parameters(), 1e-2), (X, Y))


def accumulating() -> Chart:
    """Four backward passes a step, cleared after it: the gradients are held on purpose."""
    model = mlp()
    optimizer = sgd(model, 0.2)
    with glia.listen() as chart:
        for step in range(240):
            rows = torch.arange(32) * 7 % len(X) + step % 8
            (F.cross_entropy(model(X[rows % len(X)]), Y[rows % len(X)]) / 4).backward()
            if step % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()
    return chart


def never_cleared() -> Chart:
    model = mlp()
    return train(model, sgd(model), (X, Y), clear=False)


def twice_softmax() -> Chart:
    model = mlp()
    return train(model, sgd(model, 0.03), (X, Y), lambda out, y: F.cross_entropy(out.softmax(1).squeeze(), y))


def log_softmax() -> Chart:
    model = mlp()
    return train(model, sgd(model), (X, Y), lambda out, y: F.nll_loss(out.log_softmax(1), y))


def dead() -> Chart:
    model = mlp(depth=3)
    with torch.no_grad():
        model[2].bias.fill_(-10)
    return simple(model)


def sparse_cnn() -> Chart:
    """Most outputs of its ReLUs are 0, in other places for each picture."""
    generator = torch.Generator().manual_seed(3)
    y = torch.randint(0, 3, (256,), generator=generator)
    x = 0.2 * torch.randn(256, 1, 8, 8, generator=generator)
    for row, label in enumerate(y.tolist()):
        x[row, 0, 2 * label : 2 * label + 2, 2:6] += 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        conv = nn.Conv2d(1, 16, 3)
        model = nn.Sequential(conv, nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3))
    with torch.no_grad():
        conv.bias.fill_(-0.5)
    return train(model, torch.optim.Adam(model.parameters(), 3e-3), (x - x.mean(), y))


def regression(lr: float, steps: int = 60) -> Chart:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Linear(8, 3)
    return train(model, sgd(model, lr), (X, NUMBERS), F.mse_loss, steps)


def remembering(rows: int) -> Chart:
    """Half of the labels are noise; rows that it has not seen show whether it learned them by heart."""
    x, y = classes(2048)
    y = torch.where(
        torch.arange(len(y)) % 2 == 0, y, torch.randint(0, 3, y.shape, generator=torch.Generator().manual_seed(5))
    )
    model = mlp(width=128)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    lines = []
    for epoch in range(10):
        for at in range(0, 1024, 64):
            part = torch.arange(at, at + 64) % rows
            optimizer.zero_grad()
            F.cross_entropy(model(x[part]), y[part]).backward()
            optimizer.step()
        line: dict[str, object] = {"kind": "epoch", "epoch": epoch, "step": 16 * (epoch + 1)}
        for name, part in (("train", torch.arange(rows)), ("valid", torch.arange(1024, 2048))):
            with torch.no_grad():
                out = model(x[part])
            line[f"{name}_loss"] = F.cross_entropy(out, y[part]).item()
            line[f"{name}_accuracy"] = (out.argmax(1) == y[part]).float().mean().item()
        lines.append(line)
    return Chart.from_lines(lines)


Program = Callable[[], Chart]
# Rule -> (sick, healthy)
PAIRS: dict[str, tuple[Program, Program]] = {
    "GL101": (lambda: simple(mlp(nn.Tanh), 0.01, X * SCALES), lambda: simple(mlp(nn.Tanh), 0.1, X * SCALES / SCALES)),
    "GL104": (lambda: simple(mlp(), x=with_holes()), lambda: simple(Filled(*mlp()), x=with_holes())),
    "GL203": (twice_softmax, log_softmax),
    "GL204": (lambda: large_weights(4), lambda: simple(mlp(depth=6), 0.3, steps=300)),
    "GL206": (body_only, frozen_body),
    "GL207": (never_cleared, accumulating),
    "GL302": (lambda: simple(mlp(), 1e6), lambda: regression(0.3)),
    "GL303": (dead, sparse_cnn),
    "GL304": (lambda: simple(mlp(nn.Sigmoid, depth=6)), lambda: simple(mlp(depth=6), 0.3, steps=300)),
    "GL305": (lambda: regression(3.4, 45), lambda: regression(1.0)),
    "GL401": (lambda: remembering(64), lambda: remembering(1024)),
    **DYNAMICS,
    **GENERALISATION_AND_SPEED,
}
