"""MobileNetV3, large and small.

Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le, Adam 2019, "Searching for MobileNetV3"
(arXiv 1905.02244), tables 1 and 2.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.errors import unknown
from glia.models.keys import Rename
from glia.models.normalise import Pictures, image_facts
from glia.models.stem import Stem, gentle, multiplier, rounded, small_stem
from glia.nn.init import initialise

Form = Literal["large", "small"]


class Row(NamedTuple):
    """A row of the paper's tables: kernel, expanded width, width, squeeze and excite, hard swish, stride."""

    kernel: int
    wide: int
    width: int
    squeeze: bool
    swish: bool
    stride: int


LARGE = (
    Row(3, 16, 16, False, False, 1),
    Row(3, 64, 24, False, False, 2),
    Row(3, 72, 24, False, False, 1),
    Row(5, 72, 40, True, False, 2),
    *(Row(5, 120, 40, True, False, 1),) * 2,
    Row(3, 240, 80, False, True, 2),
    Row(3, 200, 80, False, True, 1),
    *(Row(3, 184, 80, False, True, 1),) * 2,
    Row(3, 480, 112, True, True, 1),
    Row(3, 672, 112, True, True, 1),
    Row(5, 672, 160, True, True, 2),
    *(Row(5, 960, 160, True, True, 1),) * 2,
)
SMALL = (
    Row(3, 16, 16, True, False, 2),
    Row(3, 72, 24, False, False, 2),
    Row(3, 88, 24, False, False, 1),
    Row(5, 96, 40, True, True, 2),
    *(Row(5, 240, 40, True, True, 1),) * 2,
    Row(5, 120, 48, True, True, 1),
    Row(5, 144, 48, True, True, 1),
    Row(5, 288, 96, True, True, 2),
    *(Row(5, 576, 96, True, True, 1),) * 2,
)


class Unit(nn.Sequential):
    """A convolution without bias, batch norm, activation. groups: as many as inputs makes it depthwise."""

    def __init__(
        self, inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1, swish: bool | None = None
    ):
        super().__init__(
            nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3),
        )
        if swish is not None:  # None: linear
            self.append(nn.Hardswish(inplace=True) if swish else nn.ReLU(inplace=True))


class SqueezeExcite(nn.Module):
    """Each map times a share in 0..1 that all maps' means decide (Hu et al. 2018, arXiv 1709.01507)."""

    def __init__(self, width: int, squeezed: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(width, squeezed, 1), nn.Conv2d(squeezed, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        share = self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True))))  # (N, width, 1, 1)
        return x * F.hardsigmoid(share)


class Inverted(nn.Module):
    """1 x 1 to more maps, depthwise, squeeze and excite, linear 1 x 1 back; plus the input where its shape is kept."""

    def __init__(self, inputs: int, row: Row, scale: float, stride: int):
        super().__init__()
        wide, outputs = rounded(row.wide * scale), rounded(row.width * scale)
        self.residual = stride == row.stride == 1 and inputs == outputs
        self.block = nn.Sequential()
        if wide != inputs:
            self.block.append(Unit(inputs, wide, 1, swish=row.swish))
        self.block.append(Unit(wide, wide, row.kernel, stride, wide, row.swish))
        if row.squeeze:
            self.block.append(SqueezeExcite(wide, rounded(wide // 4)))
        self.block.append(Unit(wide, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return x + out if self.residual else out


class MobileNetV3(nn.Module):
    """A stem, inverted residuals, a 1 x 1 convolution, the mean, two linear layers.

    (N, C, H, W) -> (N, outputs), any H and W. form: "large" or "small", the paper's tables 1 and 2. width: multiplies
    all widths (rounded to eighths). small: two strides less, for small pictures. Names are torchvision's.
    Differs from the paper: ReLU before the shares of squeeze and excite and dropout of 0.2 before the head, as in
    torchvision; running figures of the norms with torch's momentum of 0.1, where 0.01 would need thousands of steps.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {"torchvision": ()}

    def __init__(
        self,
        channels: int = 3,
        outputs: int = 1000,
        form: Form = "large",
        width: float = 1.0,
        small: bool = False,
        dropout: float = 0.2,
    ):
        super().__init__()
        rows, last = (LARGE, 1280) if form == "large" else (SMALL, 1024)
        inputs, hidden = rounded(16 * width), rounded(last * width)
        strides = gentle([2, *(row.stride for row in rows)], small)
        self.features = nn.Sequential(Unit(channels, inputs, 3, strides[0], swish=True))
        for row, stride in zip(rows, strides[1:]):
            self.features.append(Inverted(inputs, row, width, stride))
            inputs = rounded(row.width * width)
        self.features.append(Unit(inputs, 6 * inputs, 1, swish=True))
        self.classifier = nn.Sequential(
            nn.Linear(6 * inputs, hidden), nn.Hardswish(inplace=True), nn.Dropout(dropout), nn.Linear(hidden, outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (N, 960 or 576, H/32, W/32)
        out: Tensor = self.classifier(x.mean((2, 3)))
        return out

    def stages(self) -> list[list[str]]:
        features = [[f"features.{place}"] for place in range(len(self.features))]
        return [*features, ["classifier.0"], ["classifier.3"]]


def mobilenet_v3(
    facts: ImageFacts,
    task: Task,
    generator: torch.Generator,
    *,
    form: Form = "large",
    width: float = 1.0,
    stem: Stem = "auto",
    dropout: float = 0.2,
) -> Pictures:
    """MobileNetV3 for pictures of any size.

    width: multiplies all widths. stem: "small" has two strides of 2 less, "auto" below 64 pixels.
    """
    facts = image_facts(facts, "mobilenet-v3")
    if form not in get_args(Form):
        raise unknown("form of mobilenet-v3", form, get_args(Form))
    small = small_stem(stem, facts, "mobilenet-v3")
    net = MobileNetV3(facts.channels, task.outputs, form, multiplier(width, "mobilenet-v3"), small, dropout)
    initialise(net, "relu", generator)
    return Pictures(facts, net)
