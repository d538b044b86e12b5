"""Residual networks for small images: ResNet-20 to 110 for CIFAR, and the shallow wide ResNet-9.

He, Zhang, Ren, Sun 2015, "Deep residual learning for image recognition" (arXiv 1512.03385), section 4.2.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.errors import unknown
from glia.models.keys import Rename
from glia.models.normalise import halvings, image_facts, normalise
from glia.nn.init import initialise


def _conv(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


def _stem(facts: ImageFacts, width: int) -> nn.Sequential:
    """Normalised image -> `width` maps. Images far above 32 pixels are halved here, since the body was made for 32:
    by a stride of 2, and from the second halving on by 3 x 3 maximum pooling as in the paper's ImageNet form."""
    halve = halvings(facts)
    pools = [nn.MaxPool2d(3, 2, 1) for _ in range(halve - 1)]
    stride = 2 if halve else 1
    return nn.Sequential(_conv(facts.channels, width, stride), nn.BatchNorm2d(width), nn.ReLU(inplace=True), *pools)


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, the paper's figure 2: relu(F(x) + shortcut(x))."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: str):
        super().__init__()
        self.conv1, self.norm1 = _conv(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = _conv(outputs, outputs), nn.BatchNorm2d(outputs)
        self.stride, self.extra = stride, outputs - inputs
        self.project: nn.Module | None = None
        if shortcut == "B" and (stride > 1 or self.extra):
            self.project = nn.Sequential(_conv(inputs, outputs, stride, size=1), nn.BatchNorm2d(outputs))

    def shortcut(self, x: Tensor) -> Tensor:
        if self.project is not None:
            return self.project(x)
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.extra)) if self.extra else x

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(out)) + self.shortcut(x))


class ResNet(nn.Module):
    """Depth 6n + 2: a stem, three stages of n blocks at widths w, 2w, 4w, the mean over the map, one linear layer.

    (N, C, H, W) -> (N, outputs). shortcut "A": where the width grows, every second pixel and zeros for the new maps
    (no parameters; the paper's choice for CIFAR-10); "B": a 1 x 1 convolution there.
    Differs from the paper: `width` other than 16 on demand, and a stem that shrinks images of more than 45 pixels.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {"glia": (Rename(r"^stages\.", "blocks."),)}

    def __init__(self, facts: ImageFacts, outputs: int, blocks: int, width: int, shortcut: str, dropout: float):
        super().__init__()
        if shortcut not in ("A", "B"):
            raise unknown("shortcut", shortcut, ("A", "B"))
        self.normalise = normalise(facts)
        self.stem = _stem(facts, width)
        widths = [width, width, 2 * width, 4 * width]
        made = [
            Block(widths[s] if b == 0 else widths[s + 1], widths[s + 1], 2 if s and b == 0 else 1, shortcut)
            for s in range(3)
            for b in range(blocks)
        ]
        self.blocks = nn.Sequential(*made)
        self.drop = nn.Dropout(dropout)
        self.output = nn.Linear(4 * width, outputs)
        self._per_stage = blocks
        self.register_load_state_dict_pre_hook(_old_names)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(self.normalise(x)))  # (N, 4w, H/4, W/4)
        return self.output(self.drop(x.mean((2, 3))))

    def stages(self) -> list[list[str]]:
        n = self._per_stage
        thirds = [[f"blocks.{place}" for place in range(third * n, third * n + n)] for third in range(3)]
        return [["stem"], *thirds, ["output"]]


def _old_names(net: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """The blocks were called stages in the first runs; `published_keys` says so to those who read a file themselves."""
    old = prefix + "stages."
    for key in [key for key in state if key.startswith(old)]:
        state[f"{prefix}blocks.{key.removeprefix(old)}"] = state.pop(key)


def resnet_small(
    facts: ImageFacts,
    task: Task,
    generator: torch.Generator,
    *,
    blocks: int = 3,
    width: int = 16,
    shortcut: Literal["A", "B"] = "A",
    dropout: float = 0.0,
) -> ResNet:
    """ResNet of 6 * blocks + 2 layers for small pictures of any size. ResNet-20 (blocks=3): 269,722 parameters for
    32 x 32 colour pictures and ten classes with shortcut A.
    """
    net = ResNet(image_facts(facts, "resnet"), task.outputs, blocks, width, shortcut, dropout)
    initialise(net, "relu", generator)
    return net


class Unit(nn.Module):
    """A 3 x 3 convolution, maximum pooling where asked, batch norm, ReLU.

    The norm after the pooling measures a quarter of the pixels, so it costs a quarter.
    """

    def __init__(self, inputs: int, outputs: int, pool: bool = False):
        super().__init__()
        self.conv, self.norm, self.pool = _conv(inputs, outputs), nn.BatchNorm2d(outputs), pool
        self.before: nn.Module | None = None  # what `glia.models.video` does to the maps first

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x if self.before is None else self.before(x))
        if self.pool and min(x.shape[2:]) > 1:
            x = F.max_pool2d(x, 2)
        return torch.relu(self.norm(x))


class ResNet9(nn.Module):
    """Eight convolutions and a linear layer, wide and shallow. (N, C, H, W) -> (N, outputs).

    After the network of Page 2018, "How to train your ResNet" (the DAWNBench entry): stem w; 2w and pool, plus a
    residual pair; 4w and pool; 8w and pool, plus a residual pair; the maximum over the map; a linear layer times 1/8.
    Differs: default width 16 instead of 64, pooling before the norm, a stem that shrinks images of more than 45 pixels.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {}

    def __init__(self, facts: ImageFacts, outputs: int, width: int, dropout: float):
        super().__init__()
        w = width
        self.normalise = normalise(facts)
        self.stem = _stem(facts, w)
        self.down1, self.pair1 = Unit(w, 2 * w, pool=True), nn.Sequential(Unit(2 * w, 2 * w), Unit(2 * w, 2 * w))
        self.down2 = Unit(2 * w, 4 * w, pool=True)
        self.down3, self.pair3 = Unit(4 * w, 8 * w, pool=True), nn.Sequential(Unit(8 * w, 8 * w), Unit(8 * w, 8 * w))
        self.drop = nn.Dropout(dropout)
        self.output = nn.Linear(8 * w, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down1(self.stem(self.normalise(x)))  # (N, 2w, H/2, W/2)
        x = self.down2(x + self.pair1(x))  # (N, 4w, H/4, W/4)
        x = self.down3(x)  # (N, 8w, H/8, W/8)
        x = (x + self.pair3(x)).amax((2, 3))
        return self.output(self.drop(x)) / 8

    def stages(self) -> list[list[str]]:
        return [["stem"], ["down1", "pair1"], ["down2"], ["down3", "pair3"], ["output"]]


def resnet9(
    facts: ImageFacts, task: Task, generator: torch.Generator, *, width: int = 16, dropout: float = 0.0
) -> ResNet9:
    """ResNet-9: the best accuracy for a few minutes of work on small images."""
    net = ResNet9(image_facts(facts, "resnet9"), task.outputs, width, dropout)
    initialise(net, "relu", generator)
    return net
