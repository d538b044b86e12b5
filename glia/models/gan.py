"""Generative adversarial networks: one network makes rows up, another tells them from true ones.

Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville, Bengio 2014, "Generative adversarial nets"
(arXiv 1406.2661). Train with the Step `glia.training.adversarial.adversarial`.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from glia.data.facts import Facts, ImageFacts, TensorFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.nn.init import initialise


class GAN(nn.Module):
    """A generator and its discriminator. Raw rows (N, ...) -> (N, 1), the logit that each is a true one.

    generator: (N, latent) normal noise -> (N, ...) rows. discriminator: rows -> (N, 1) or (N,) logits.
    pictures: rows arrive as 0..255, and the two networks deal in -1..1; otherwise both deal in rows as they are.
    discriminator_lr: the discriminator's share of the learning rate (two time scales: Heusel et al. 2017,
    arXiv 1706.08500), for optimisers that `glia.optim.build` made.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: int,
        *,
        pictures: bool = False,
        discriminator_lr: float = 1.0,
    ):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.latent, self.pictures = latent, pictures
        self.param_lr = {"discriminator": discriminator_lr}

    def real(self, x: Tensor) -> Tensor:
        """Raw rows in the units of the two networks."""
        return x.float() / 127.5 - 1 if self.pictures else x.float()

    def raw(self, x: Tensor) -> Tensor:
        """Back: what `real` would take, pictures as uint8."""
        return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8) if self.pictures else x

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.discriminator(self.real(x))
        return out.view(len(x), 1)

    def sample(self, count: int, generator: torch.Generator | None = None, *, batch_size: int = 256) -> Tensor:
        """(count, ...) raw rows that the generator makes up, in evaluation mode, pictures as uint8.

        generator: draws the noise (torch's own, on the CPU, when not given); the same one gives the same rows.
        """
        if count < 1:
            raise GliaError("sample", got=count, expected="a number of rows, 1 or more")
        place = next((p for p in self.generator.parameters()), torch.zeros(()))
        noise = torch.randn(count, self.latent, generator=generator).to(place)
        training = self.generator.training
        self.generator.eval()
        try:
            with torch.no_grad():
                return torch.cat([self.raw(self.generator(part)) for part in noise.split(batch_size)])
        finally:
            self.generator.train(training)

    def stages(self) -> list[list[str]]:
        """From noise to rows to judgement; the head is the discriminator's last layer."""
        return stages(self)


def stages(net: nn.Module) -> list[list[str]]:
    """One a linear map or convolution, with the norms that follow it."""
    made: list[list[str]] = []
    for name, layer in net.named_modules():
        own = [parameter.ndim for parameter in layer.parameters(recurse=False)]
        if own and (max(own) > 1 or not made):
            made.append([name])
        elif own:
            made[-1].append(name)
    return made


class Rows(nn.Module):
    """(N, prod(shape)) -> (N, *shape)."""

    def __init__(self, shape: Sequence[int]):
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        return x.view(len(x), *self.shape)

    def extra_repr(self) -> str:
        return str(self.shape)


def _layers(widths: Sequence[int], activation: nn.Module, dropout: float = 0.0) -> list[nn.Module]:
    made: list[nn.Module] = []
    for inputs, outputs in zip(widths[:-1], widths[1:]):
        made += [nn.Linear(inputs, outputs), activation, *([nn.Dropout(dropout)] if dropout else [])]
    return made


def gan(
    facts: Facts,
    task: Task,
    generator: torch.Generator,
    *,
    latent: int = 100,
    hidden: Sequence[int] = (256, 256),
    dropout: float = 0.0,
    discriminator_lr: float = 1.0,
) -> GAN:
    """Generator and discriminator of fully connected layers, `hidden` units each, for pictures and plain numbers.

    Differs from the paper's network for MNIST: normal noise instead of uniform, leaky ReLU instead of maxout in the
    discriminator, pictures in -1..1 by tanh instead of 0..1 by the sigmoid, and no dropout unless asked for (there on
    the discriminator alone, as in the paper). Numbers that are no pictures are made up in their own units: standardise
    them. `task` is not used.
    """
    if not isinstance(facts, ImageFacts | TensorFacts):
        raise GliaError("gan takes images or plain numbers", got=f"{facts.kind} data")
    if latent < 1 or not hidden:
        raise GliaError("size of a gan", got=f"latent {latent}, hidden {tuple(hidden)}", expected="1 and more of each")
    pictures, size = isinstance(facts, ImageFacts), prod(facts.shape)
    maker = nn.Sequential(
        *_layers([latent, *hidden], nn.ReLU()),
        nn.Linear(hidden[-1], size),
        *([nn.Tanh()] if pictures else []),
        Rows(facts.shape),
    )
    judge = nn.Sequential(nn.Flatten(), *_layers([size, *hidden], nn.LeakyReLU(0.2), dropout), nn.Linear(hidden[-1], 1))
    initialise(maker, "relu", generator)
    initialise(judge, "leaky_relu", generator)
    for last in (maker[2 * len(hidden)], judge[-1]):  # neither a ReLU nor a leaky one comes after them
        initialise(last, "linear", generator)
    return GAN(maker, judge, latent, pictures=pictures, discriminator_lr=discriminator_lr)
