"""MobileNetV2.

Sandler, Howard, Zhu, Zhmoginov, Chen 2018, "MobileNetV2: inverted residuals and linear bottlenecks" (arXiv 1801.04381),
tables 1 and 2.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.models.keys import Rename
from glia.models.normalise import Pictures, image_facts
from glia.models.stem import Stem, TensorFlowConv2d, gentle, multiplier, rounded, small_stem
from glia.nn.init import initialise

# Expansion, width, how many, stride of the first: table 2.
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class Unit(nn.Sequential):
    """A convolution without bias, batch norm, ReLU6. groups: as many as inputs makes it depthwise."""

    def __init__(
        self, inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1, tensorflow: bool = False
    ):
        convolution = TensorFlowConv2d if tensorflow else nn.Conv2d
        super().__init__(
            convolution(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3 if tensorflow else 1e-5),
            nn.ReLU6(inplace=True),
        )


class Inverted(nn.Module):
    """1 x 1 to more maps, depthwise 3 x 3, 1 x 1 back without activation; plus the input where its shape is kept."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, tensorflow: bool):
        super().__init__()
        wide = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            *([Unit(inputs, wide, 1, tensorflow=tensorflow)] if expansion > 1 else []),
            Unit(wide, wide, 3, stride, groups=wide, tensorflow=tensorflow),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3 if tensorflow else 1e-5),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.residual else out


def _huggingface() -> tuple[Rename, ...]:
    body = r"^(?:mobilenet_v2\.)?"  # a file of the bare body lacks it
    stem = body + r"conv_stem\."
    return (
        *(Rename(r"\.convolution", ".0"), Rename(r"\.normalization", ".1")),
        *(Rename(stem + "first_conv", "features.0"), Rename(stem + "conv_3x3", "features.1.conv.0")),
        *(Rename(stem + rf"reduce_1x1\.{i}", f"features.1.conv.{i + 1}") for i in range(2)),
        *(Rename(body + rf"layer\.{i}\.", f"features.{i + 2}.conv.") for i in range(16)),
        *(Rename(r"\.expand_1x1", ".0"), Rename(r"\.conv\.conv_3x3", ".conv.1")),
        *(Rename(rf"\.reduce_1x1\.{i}", f".{i + 2}") for i in range(2)),
        *(Rename(body + "conv_1x1", "features.18"), Rename("^classifier", "classifier.1")),
    )


def _timm() -> tuple[Rename, ...]:
    first, head = r"^blocks\.0\.0\.", "features.18"
    numbers = [(stage, place) for stage, block in enumerate(BLOCKS) for place in range(block[2])]
    return (
        *(Rename("^conv_stem", "features.0.0"), Rename("^bn1", "features.0.1")),
        *(Rename("^conv_head", f"{head}.0"), Rename("^bn2", f"{head}.1"), Rename("^classifier", "classifier.1")),
        *(Rename(first + "conv_dw", "features.1.conv.0.0"), Rename(first + "bn1", "features.1.conv.0.1")),
        *(Rename(first + "conv_pw", "features.1.conv.1"), Rename(first + "bn2", "features.1.conv.2")),
        *(Rename(rf"^blocks\.{s}\.{p}\.", f"features.{i}.conv.") for i, (s, p) in enumerate(numbers, start=1)),
        *(Rename(r"\.conv_pw\.", ".0.0."), Rename(r"\.bn1\.", ".0.1.")),
        *(Rename(r"\.conv_dw\.", ".1.0."), Rename(r"\.bn2\.", ".1.1.")),
        *(Rename(r"\.conv_pwl\.", ".2."), Rename(r"\.bn3\.", ".3.")),
    )


class MobileNetV2(nn.Module):
    """A stem, seventeen inverted residuals, a 1 x 1 convolution, the mean, one linear layer.

    (N, C, H, W) -> (N, outputs), any H and W. width: multiplies all widths (rounded to eighths), but the last one only
    above 1. small: two strides less, for small pictures. tensorflow: its padding and its norm's epsilon of 1e-3, which
    the weights at Hugging Face were trained with; those of torchvision and timm were not. Names are torchvision's.
    Differs from the paper: He's first weights, and dropout of 0.2 before the head, as in torchvision.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {
        "torchvision": (),
        "timm": _timm(),
        "huggingface": _huggingface(),
    }

    def __init__(
        self,
        channels: int = 3,
        outputs: int = 1000,
        width: float = 1.0,
        small: bool = False,
        tensorflow: bool = False,
        dropout: float = 0.2,
    ):
        super().__init__()
        inputs, last = rounded(32 * width), rounded(1280 * max(width, 1.0))
        strides = gentle([2, *(block[3] for block in BLOCKS)], small)
        self.features = nn.Sequential(Unit(channels, inputs, 3, strides[0], tensorflow=tensorflow))
        for (expansion, wide, count, _), stride in zip(BLOCKS, strides[1:]):
            for place in range(count):
                made = Inverted(inputs, rounded(wide * width), expansion, stride if place == 0 else 1, tensorflow)
                self.features.append(made)
                inputs = rounded(wide * width)
        self.features.append(Unit(inputs, last, 1, tensorflow=tensorflow))
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, outputs))

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (N, 1280, H/32, W/32)
        out: Tensor = self.classifier(x.mean((2, 3)))
        return out

    def stages(self) -> list[list[str]]:
        return [*([f"features.{place}"] for place in range(len(self.features))), ["classifier"]]


def mobilenet_v2(
    facts: ImageFacts,
    task: Task,
    generator: torch.Generator,
    *,
    width: float = 1.0,
    stem: Stem = "auto",
    tensorflow: bool = False,
    dropout: float = 0.2,
) -> Pictures:
    """MobileNetV2 for pictures of any size.

    width: multiplies all widths. stem: "small" has two strides of 2 less, "auto" below 64 pixels. tensorflow: padding
    and norm of the weights that Google published.
    """
    facts = image_facts(facts, "mobilenet-v2")
    small = small_stem(stem, facts, "mobilenet-v2")
    net = MobileNetV2(facts.channels, task.outputs, multiplier(width, "mobilenet-v2"), small, tensorflow, dropout)
    initialise(net, "relu", generator)
    return Pictures(facts, net)
