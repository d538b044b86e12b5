"""MobileNet, the first.

Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto, Adam 2017, "MobileNets: efficient convolutional neural
networks for mobile vision applications" (arXiv 1704.04861), table 1.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.models.keys import Rename
from glia.models.normalise import Pictures, image_facts
from glia.models.stem import Stem, TensorFlowConv2d, gentle, multiplier, small_stem
from glia.nn.init import initialise

WIDTHS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)  # of the stem, then of each depthwise convolution


class Unit(nn.Module):
    """A convolution without bias, batch norm, ReLU6. groups: as many as inputs makes it depthwise."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, groups: int, tensorflow: bool):
        super().__init__()
        convolution = TensorFlowConv2d if tensorflow else nn.Conv2d
        self.convolution = convolution(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
        self.normalization = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(self.normalization(self.convolution(x)))


class MobileNetV1(nn.Module):
    """A stem, thirteen pairs of a depthwise 3 x 3 and a pointwise 1 x 1 convolution, the mean, one linear layer.

    (N, C, H, W) -> (N, outputs), any H and W. width: the paper's multiplier alpha of all widths. small: two strides
    less, for small pictures. tensorflow: its padding, which the published weights were trained with. Names are Hugging
    Face's without their prefix: layer.{2i} is depthwise, layer.{2i + 1} pointwise.
    Differs from the paper: ReLU6, the norm's epsilon of 1e-3 and little dropout, as in the authors' code; the stride of
    the last depthwise layer is 1 (the paper's table says 2, yet keeps the size of the map).
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {"huggingface": (Rename(r"^mobilenet_v1\.", ""),)}

    def __init__(
        self,
        channels: int = 3,
        outputs: int = 1000,
        width: float = 1.0,
        small: bool = False,
        tensorflow: bool = False,
        dropout: float = 0.001,
    ):
        super().__init__()
        widths = [max(int(wide * width), 8) for wide in (32, *WIDTHS)]
        first, *strides = gentle(STRIDES, small)
        self.conv_stem = Unit(channels, widths[0], 3, first, 1, tensorflow)
        self.layer = nn.Sequential()
        for stride, inputs, wide in zip(strides, widths, widths[1:]):
            self.layer.append(Unit(inputs, inputs, 3, stride, inputs, tensorflow))
            self.layer.append(Unit(inputs, wide, 1, 1, 1, tensorflow))
        self.drop = nn.Dropout(dropout)
        self.classifier = nn.Linear(widths[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(self.conv_stem(x))  # (N, 1024, H/32, W/32)
        return self.classifier(self.drop(x.mean((2, 3))))

    def stages(self) -> list[list[str]]:
        pairs = [[f"layer.{2 * pair}", f"layer.{2 * pair + 1}"] for pair in range(len(self.layer) // 2)]
        return [["conv_stem"], *pairs, ["classifier"]]


def mobilenet_v1(
    facts: ImageFacts,
    task: Task,
    generator: torch.Generator,
    *,
    width: float = 1.0,
    stem: Stem = "auto",
    tensorflow: bool = False,
    dropout: float = 0.001,
) -> Pictures:
    """MobileNet for pictures of any size.

    width: multiplies all widths. stem: "small" has two strides of 2 less, "auto" below 64 pixels. tensorflow: padding
    for the weights that Google published.
    """
    facts = image_facts(facts, "mobilenet-v1")
    small = small_stem(stem, facts, "mobilenet-v1")
    net = MobileNetV1(facts.channels, task.outputs, multiplier(width, "mobilenet-v1"), small, tensorflow, dropout)
    initialise(net, "relu", generator)
    return Pictures(facts, net)
