"""Residual networks for ImageNet: ResNet-18, 34, 50, 101 and 152.

He, Zhang, Ren, Sun 2015, "Deep residual learning for image recognition" (arXiv 1512.03385), table 1 and figure 5.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.keys import Rename
from glia.models.normalise import Pictures, image_facts
from glia.models.stem import Stem, small_stem
from glia.nn.init import initialise
from glia.nn.stochastic_depth import StochasticDepth, rising


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """The paper's option B: a 1 x 1 convolution where the shape changes, else the input itself."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class Basic(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut: figure 5, left."""

    expansion: ClassVar[int] = 1

    def __init__(self, inputs: int, width: int, stride: int, depth: float = 0.0):
        super().__init__()
        self.conv1, self.bn1 = _conv(inputs, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv(width, width, 3), nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)
        self.depth = StochasticDepth(depth)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        out = self.depth(self.bn2(self.conv2(out)))
        return torch.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1 x 1 to a quarter of the width, 3 x 3 there, 1 x 1 back, beside a shortcut: figure 5, right."""

    expansion: ClassVar[int] = 4

    def __init__(self, inputs: int, width: int, stride: int, depth: float = 0.0):
        super().__init__()
        self.conv1, self.bn1 = _conv(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = _conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(inputs, 4 * width, stride)
        self.depth = StochasticDepth(depth)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        out = torch.relu(self.bn2(self.conv2(out)))
        out = self.depth(self.bn3(self.conv3(out)))
        return torch.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """A stem, four stages of residual blocks at widths w, 2w, 4w, 8w, the mean over the map, one linear layer.

    (N, C, H, W) -> (N, outputs), any H and W. blocks: how many in each stage. bottleneck: of three layers, four times
    as wide, instead of two. small: the stem is a 3 x 3 convolution without stride or pooling, as for CIFAR, so that the
    map is 4 times larger a side. Names are those of torchvision.
    Differs from the paper: the stride of a bottleneck is in its 3 x 3 convolution, not in the first 1 x 1 ("v1.5":
    Goyal et al. 2017, arXiv 1706.02677, section 5.1); dropout before the head on demand.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {
        "torchvision": (),
        "timm": (),
        "huggingface": (
            Rename(r"^resnet\.embedder\.embedder\.convolution", "conv1"),
            Rename(r"^resnet\.embedder\.embedder\.normalization", "bn1"),
            *(Rename(rf"^resnet\.encoder\.stages\.{i}\.layers", f"layer{i + 1}") for i in range(4)),
            *(Rename(rf"\.layer\.{i}\.convolution", f".conv{i + 1}") for i in range(3)),
            *(Rename(rf"\.layer\.{i}\.normalization", f".bn{i + 1}") for i in range(3)),
            Rename(r"\.shortcut\.convolution", ".downsample.0"),
            Rename(r"\.shortcut\.normalization", ".downsample.1"),
            Rename(r"^classifier\.1", "fc"),
        ),
    }

    def __init__(
        self,
        channels: int = 3,
        outputs: int = 1000,
        blocks: Sequence[int] = (2, 2, 2, 2),
        bottleneck: bool = False,
        width: int = 64,
        small: bool = False,
        dropout: float = 0.0,
        *,
        stochastic_depth: float = 0.0,
    ):
        super().__init__()
        self.conv1 = _conv(channels, width, 3) if small else _conv(channels, width, 7, 2)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        block, inputs, made = (Bottleneck if bottleneck else Basic), width, []
        depths = iter(rising(stochastic_depth, sum(blocks)))
        for stage, count in enumerate(blocks):
            made.append(nn.Sequential())
            for place in range(count):
                stride = 2 if stage and place == 0 else 1
                made[-1].append(block(inputs, width * 2**stage, stride, next(depths)))
                inputs = width * 2**stage * block.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = made
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))  # (N, w, H/4, W/4), or (N, w, H, W) when small
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (N, 8w or 32w, H/32, W/32)
        return self.fc(self.drop(x.mean((2, 3))))

    def stages(self) -> list[list[str]]:
        return [["conv1", "bn1"], ["layer1"], ["layer2"], ["layer3"], ["layer4"], ["fc"]]


def resnet(
    facts: ImageFacts,
    task: Task,
    generator: torch.Generator,
    *,
    blocks: Sequence[int] = (2, 2, 2, 2),
    bottleneck: bool = False,
    width: int = 64,
    stem: Stem = "auto",
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> Pictures:
    """A residual network for pictures of any size.

    stem: "imagenet" as published (7 x 7 with stride 2, then pooling), "small" without them; "auto" is the small one
    below 64 pixels. Published weights need "imagenet". stochastic_depth: how often the last block is left out of a
    training step, the ones before it less (glia.nn.stochastic_depth).
    """
    facts = image_facts(facts, "resnet")
    if len(blocks) != 4 or min(blocks) < 1:
        raise GliaError("resnet has four stages of blocks", got=f"blocks={list(blocks)}")
    small = small_stem(stem, facts, "resnet")
    net = ResNet(
        facts.channels, task.outputs, blocks, bottleneck, width, small, dropout, stochastic_depth=stochastic_depth
    )
    initialise(net, "relu", generator)
    return Pictures(facts, net)
