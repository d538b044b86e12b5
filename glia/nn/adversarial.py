"""Losses of two networks that play against each other: one makes rows, the other scores rows as true or made.

Each has `discriminator(real, made)` and `generator(made)`, functions of what the discriminator says of true
rows and of made ones: raw scores (N, ...), no sigmoid. Both are to be minimised, each over its own network's weights.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from glia.catalog import entry as catalog
from glia.errors import GliaError
from glia.nn.precision import exact


class Adversarial(Protocol):
    """What the losses here have in common."""

    def discriminator(self, real: Tensor, made: Tensor) -> Tensor:
        """Loss of the network that scores."""
        ...

    def generator(self, made: Tensor) -> Tensor:
        """Loss of the network that makes."""
        ...


class Minimax:
    """The game of Goodfellow et al. 2014, arXiv 1406.2661, equation 1: -log D(x) - log(1 - D(G(z))) against its own
    negative. The generator learns next to nothing while all it makes is seen through."""

    def discriminator(self, real: Tensor, made: Tensor) -> Tensor:
        return F.softplus(-exact(real)).mean() + F.softplus(exact(made)).mean()

    def generator(self, made: Tensor) -> Tensor:
        return -F.softplus(exact(made)).mean()


class NonSaturating(Minimax):
    """As `Minimax`, but the generator's loss is -log D(G(z)): the end of section 3 there. The usual one."""

    def generator(self, made: Tensor) -> Tensor:
        return F.softplus(-exact(made)).mean()


class Wasserstein:
    """Mean score of made rows minus that of true ones; `discriminator` is to have `gradient_penalty` added, times
    `penalty`. Gulrajani et al. 2017, arXiv 1704.00028, algorithm 1: it steps five times for each of the generator's,
    and has no batch norm, which would mix the rows that the penalty takes apart.
    """

    def __init__(self, penalty: float = 10.0):
        if not 0 <= penalty < float("inf"):
            raise GliaError("penalty of gan_wasserstein", got=penalty, expected="a number of 0 or more")
        self.penalty = penalty

    def discriminator(self, real: Tensor, made: Tensor) -> Tensor:
        return exact(made).mean() - exact(real).mean()

    def generator(self, made: Tensor) -> Tensor:
        return -exact(made).mean()


class Hinge:
    """Scores of true rows above 1 and of made ones below -1 cost nothing. Lim and Ye 2017, arXiv 1705.02894;
    for images Miyato et al. 2018, arXiv 1802.05957, equations 16 and 17."""

    def discriminator(self, real: Tensor, made: Tensor) -> Tensor:
        return F.relu(1 - exact(real)).mean() + F.relu(1 + exact(made)).mean()

    def generator(self, made: Tensor) -> Tensor:
        return -exact(made).mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, made: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Mean of (|slope of the critic| - 1)^2 at a random point of the line between each true row and a made one.

    real, made (N, ...) of one shape. arXiv 1704.00028, equation 3, without its factor (`Wasserstein.penalty`).
    """
    if real.shape != made.shape:
        raise GliaError("gradient_penalty", got=f"{tuple(made.shape)}", expected=f"made rows {tuple(real.shape)}")
    real, made = exact(real.detach()), exact(made.detach())
    share = torch.rand(len(real), *[1] * (real.ndim - 1), generator=generator, dtype=real.dtype, device=real.device)
    between = torch.lerp(made, real, share).requires_grad_()
    (slope,) = torch.autograd.grad(exact(critic(between)).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


def build(name: str, **options: Any) -> Adversarial:
    """The adversarial loss of that name in the catalogue. Example: ``build("gan_wasserstein", penalty=5)``"""
    entry = catalog.find("losses", name)
    if entry.facts["form"] != "players":
        raise GliaError(f"{entry.name} is no loss of two networks", hint="glia.nn.losses.build makes it")
    made: Adversarial = catalog.load(entry)(**catalog.options(entry, options, entry.facts["options"]))
    return made
