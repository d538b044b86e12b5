"""U-Net: an answer for every pixel.

Ronneberger, Fischer, Brox 2015, "U-Net: convolutional networks for biomedical image segmentation" (arXiv 1505.04597),
figure 1.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.keys import Rename
from glia.models.normalise import Pictures, image_facts
from glia.nn.init import initialise

DEPTH = 4  # how often the map is halved


class Double(nn.Sequential):
    """Two 3 x 3 convolutions with ReLU. Unpadded, each takes a pixel off every edge."""

    def __init__(self, inputs: int, outputs: int, padded: bool, batch_norm: bool):
        super().__init__()
        for channels in (inputs, outputs):
            self.append(nn.Conv2d(channels, outputs, 3, padding=1 if padded else 0, bias=not batch_norm))
            if batch_norm:
                self.append(nn.BatchNorm2d(outputs))
            self.append(nn.ReLU(inplace=True))


class UNet(nn.Module):
    """Down four times, up four times, each time beside the map of the same size on the way down.

    (N, C, H, W) -> (N, outputs, H', W'): logits of every pixel. Unpadded, as published, H' = H - 184 and W' = W - 184:
    the answer is for the middle, and each side must be 16 b + 124 with b of 4 or more (572 gives 388). padded: H' = H,
    any side from 16. batch_norm: after each convolution. width: of the first maps. 31,030,658 parameters for one
    channel and two classes: 18,842,048 down, 12,188,480 up, 130 in the last 1 x 1 convolution.
    Differs from the paper: dropout at the end of the way down on demand only (it gives no rate); maps of a padded
    network whose side is odd are filled up with zeros on the way up.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {}

    def __init__(
        self,
        channels: int = 1,
        outputs: int = 2,
        width: int = 64,
        padded: bool = False,
        batch_norm: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__()
        widths = [width * 2**level for level in range(DEPTH + 1)]
        self.down = nn.ModuleList(
            Double(inputs, outputs, padded, batch_norm) for inputs, outputs in zip([channels, *widths], widths)
        )
        self.drop = nn.Dropout(dropout)
        upward = widths[::-1]
        self.grow = nn.ModuleList(nn.ConvTranspose2d(wide, wide // 2, 2, stride=2) for wide in upward[:-1])
        self.up = nn.ModuleList(Double(wide, wide // 2, padded, batch_norm) for wide in upward[:-1])
        self.output = nn.Conv2d(width, outputs, 1)
        self.padded = padded

    def forward(self, x: Tensor) -> Tensor:
        beside: list[Tensor] = []
        for level, double in enumerate(self.down):
            x = double(F.max_pool2d(x, 2) if level else x)  # (N, w * 2^level, H / 2^level, W / 2^level)
            x = self.drop(x) if level >= DEPTH - 1 else x
            beside.append(x)
        beside.pop()
        for grow, double in zip(self.grow, self.up, strict=True):
            x = double(self._joined(beside.pop(), grow(x)))
        return self.output(x)

    def _joined(self, wide: Tensor, x: Tensor) -> Tensor:
        """The middle of `wide` and `x`, or `wide` and `x` with a last row or column of zeros, as one stack of maps."""
        down, across = wide.shape[2] - x.shape[2], wide.shape[3] - x.shape[3]
        if self.padded:
            x = F.pad(x, (0, across, 0, down))
        else:
            wide = wide[:, :, down // 2 : down // 2 + x.shape[2], across // 2 : across // 2 + x.shape[3]]
        return torch.cat([wide, x], 1)

    def stages(self) -> list[list[str]]:
        down = [[f"down.{level}"] for level in range(DEPTH + 1)]
        return [*down, *([f"grow.{level}", f"up.{level}"] for level in range(DEPTH)), ["output"]]


def unet(
    facts: ImageFacts,
    task: Task,
    generator: torch.Generator,
    *,
    width: int = 64,
    padded: bool = False,
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> Pictures:
    """U-Net with one map of logits for each output of the task, as `UNet` says.

    No task of the workbench asks for an answer a pixel: a task of kind "classify" names the classes of the pixels here,
    and cross entropy takes the logits with targets (N, H', W').
    """
    facts = image_facts(facts, "unet")
    size = f"{facts.height} x {facts.width}"
    if padded and min(facts.height, facts.width) < 2**DEPTH:
        raise GliaError("unet halves pictures four times", got=size, expected="at least 16 x 16")
    if not padded and any(side < 188 or (side - 124) % 16 for side in (facts.height, facts.width)):
        fitting = "sides of 16 b + 124 with b of 4 or more: 188, 204, ... 572"
        raise GliaError("unpadded, unet loses a border", got=size, expected=fitting, hint="padded=True")
    net = UNet(facts.channels, task.outputs, width, padded, batch_norm, dropout)
    initialise(net, "relu", generator)
    return Pictures(facts, net)
