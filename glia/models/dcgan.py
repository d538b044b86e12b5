"""Deep convolutional generative adversarial networks, for pictures.

Radford, Metz, Chintala 2016, "Unsupervised representation learning with deep convolutional generative adversarial
networks" (arXiv 1511.06434), section 3 and figure 1.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.gan import GAN, stages
from glia.models.keys import Rename
from glia.models.normalise import image_facts

LEAST, MOST = 4, 7  # pixels a side of the generator's first maps


def _doublings(height: int, width: int) -> int:
    """How often the first maps are doubled to reach the picture."""
    times, sides = 0, (height, width)
    while all(side % 2 == 0 and side // 2 >= LEAST for side in sides):
        times, sides = times + 1, (sides[0] // 2, sides[1] // 2)
    if not times or max(sides) > MOST:
        raise GliaError(
            "pictures for dcgan",
            got=f"{height} x {width} pixels",
            expected=f"sides of {LEAST} to {MOST} times one power of two (28, 32, 48, 64 ...)",
            hint="image_size=32, or model='gan'",
        )
    return times


class Generator(nn.Module):
    """(N, latent) noise -> (N, C, H, W) in -1..1: transposed convolutions, each doubling the map; 64 x 64 take four.

    Parameter names, and no biases before a norm or the tanh, as in PyTorch's DCGAN example. The paper's first layer,
    "project and reshape", is the first transposed convolution.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {"pytorch": ()}

    def __init__(self, latent: int, channels: int, height: int, width_px: int, width: int):
        super().__init__()
        times = _doublings(height, width_px)
        maps = [width * 2**place for place in reversed(range(times))]
        first = (height >> times, width_px >> times)
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent, maps[0], first, 1, 0, bias=False)]
        for inputs, outputs in zip(maps, [*maps[1:], channels]):
            layers += [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)]
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)]
        self.main = nn.Sequential(*layers, nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.main(z[:, :, None, None])
        return out

    def stages(self) -> list[list[str]]:
        return stages(self)


class Discriminator(nn.Module):
    """(N, C, H, W) in -1..1 -> (N, 1) logits: convolutions with a stride of 2, leaky ReLU, norms but for the first."""

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {"pytorch": ()}

    def __init__(self, channels: int, height: int, width_px: int, width: int):
        super().__init__()
        times = _doublings(height, width_px)
        maps = [width * 2**place for place in range(times)]
        layers: list[nn.Module] = []
        for place, (inputs, outputs) in enumerate(zip([channels, *maps[:-1]], maps)):
            layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False))
            layers += [nn.BatchNorm2d(outputs)] if place else []
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        last = (height >> times, width_px >> times)
        self.main = nn.Sequential(*layers, nn.Conv2d(maps[-1], 1, last, 1, 0, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.main(x)
        return out.flatten(1)

    def stages(self) -> list[list[str]]:
        return stages(self)


def dcgan(
    facts: ImageFacts,
    task: Task,
    generator: torch.Generator,
    *,
    latent: int = 100,
    width: int = 64,
    discriminator_lr: float = 1.0,
) -> GAN:
    """DCGAN: for 64 x 64 colour pictures 3,576,704 parameters in the generator, 2,765,568 in the discriminator.

    width: maps next to the picture; each further stage doubles them. Weights begin at N(0, 0.02) (section 4), norms at
    N(1, 0.02) as in PyTorch's example. `task` is not used. Trains with Adam at 2e-4, beta1 of 0.5 (section 4).
    """
    facts = image_facts(facts, "dcgan")
    if latent < 1 or width < 1:
        raise GliaError("size of a dcgan", got=f"latent {latent}, width {width}", expected="1 and more of each")
    shape = facts.channels, facts.height, facts.width
    maker, judge = Generator(latent, *shape, width), Discriminator(*shape, width)
    with torch.no_grad():
        for layer in (*maker.main, *judge.main):
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.weight.normal_(0.0, 0.02, generator=generator)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.weight.normal_(1.0, 0.02, generator=generator)
                layer.bias.zero_()
    return GAN(maker, judge, latent, pictures=True, discriminator_lr=discriminator_lr)
