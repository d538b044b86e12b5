"""Raw images to standardised floats: the first layer of every image network."""

import math

import torch
from torch import Tensor, nn

from glia.data.facts import ImageFacts
from glia.errors import GliaError


class Normalise(nn.Module):
    """Images of 0..255, uint8 or float, (N, C, H, W) -> (x / 255 - mean) / std, float and channels last.

    mean, std: one number a channel, in 0..1. A channel that never varies (std 0) is centred only.
    Channels last, because CPU and GPU convolutions run faster on it; the layers after it keep the order.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]):
        super().__init__()
        kept = [value if value > 1e-6 else 1.0 for value in std]
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(kept, dtype=torch.float32).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.mean.dtype, memory_format=torch.channels_last)
        return (x - 255 * self.mean) * (1 / (255 * self.std))

    def extra_repr(self) -> str:
        mean, std = (buffer.flatten().tolist() for buffer in (self.mean, self.std))
        return ", ".join(f"{m:.3f}+-{s:.3f}" for m, s in zip(mean, std))


def normalise(facts: ImageFacts) -> Normalise:
    """The `Normalise` of these images."""
    return Normalise(facts.mean, facts.std)


class Pictures(nn.Module):
    """Raw pictures (N, C, H, W) of 0..255 -> normalised -> `network`.

    `network` is the plain module with its published names, so that published weights fit it as they are.
    """

    def __init__(self, facts: ImageFacts, network: nn.Module):
        super().__init__()
        self.normalise = normalise(facts)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(self.normalise(x))
        return out


def image_facts(facts: object, model: str) -> ImageFacts:
    """`facts`, or a GliaError when they are not those of images."""
    if isinstance(facts, ImageFacts):
        return facts
    raise GliaError(f"{model} takes images", got=f"{getattr(facts, 'kind', facts)} data", hint="model='mlp'")


def halvings(facts: ImageFacts, comfortable: int = 32) -> int:
    """How often to halve the picture before the body of a network that was made for `comfortable` pixels a side."""
    return max(0, round(math.log2(min(facts.height, facts.width) / comfortable)))
