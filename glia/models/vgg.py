"""VGG.

Simonyan, Zisserman 2015, "Very deep convolutional networks for large-scale image recognition" (arXiv 1409.1556),
table 1, columns A, B, D and E.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.keys import Rename
from glia.models.normalise import Pictures
from glia.models.stem import SMALL, pictures_from
from glia.nn.init import initialise

WIDTHS = (64, 128, 256, 512, 512)
LEAST = 32  # pixels a side: five halvings leave one
MAP = 7  # pixels a side of the map that the paper's dense layers see


class VGG(nn.Module):
    """Five groups of 3 x 3 convolutions, each ended by 2 x 2 pooling, and three dense layers of 4,096.

    (N, C, H, W) -> (N, outputs); H and W at least 32. blocks: convolutions of each group. batch_norm: after each of
    them (Ioffe and Szegedy 2015), which the paper did not have. pool: side of the map before the dense layers, to which
    a mean over fields brings pictures of other sizes than 224. Names are those of torchvision.
    Differs from the paper: He's first weights, so the deep forms need not begin from a trained shallow one.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {"torchvision": ()}

    def __init__(
        self,
        channels: int = 3,
        outputs: int = 1000,
        blocks: Sequence[int] = (2, 2, 3, 3, 3),
        batch_norm: bool = False,
        pool: int = MAP,
        width: int = 4096,
        dropout: float = 0.5,
    ):
        super().__init__()
        layers: list[nn.Module] = []
        self._groups: list[list[str]] = []
        for count, maps in zip(blocks, WIDTHS, strict=True):
            self._groups.append([])
            for _ in range(count):
                made = [nn.Conv2d(channels, maps, 3, padding=1), *([nn.BatchNorm2d(maps)] if batch_norm else [])]
                self._groups[-1] += [f"features.{len(layers) + place}" for place in range(len(made))]
                layers += [*made, nn.ReLU(inplace=True)]
                channels = maps
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(pool)
        self.classifier = nn.Sequential(
            *(nn.Linear(WIDTHS[-1] * pool**2, width), nn.ReLU(inplace=True), nn.Dropout(dropout)),
            *(nn.Linear(width, width), nn.ReLU(inplace=True), nn.Dropout(dropout)),
            nn.Linear(width, outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))  # (N, 512, pool, pool)
        out: Tensor = self.classifier(x.flatten(1))
        return out

    def stages(self) -> list[list[str]]:
        return [*self._groups, ["classifier.0"], ["classifier.3"], ["classifier.6"]]


def vgg(
    facts: ImageFacts,
    task: Task,
    generator: torch.Generator,
    *,
    blocks: Sequence[int] = (2, 2, 3, 3, 3),
    batch_norm: bool = False,
    pool: int | None = None,
    width: int = 4096,
    dropout: float = 0.5,
) -> Pictures:
    """VGG for pictures of at least 32 x 32. width, dropout: of the two hidden dense layers.

    pool: side of the map that the dense layers see. None: 7 as published, but the 1 pixel that is left of pictures
    below 64, where 7 x 7 copies of it would cost 100 million weights more.
    """
    facts = pictures_from(facts, LEAST, "vgg")
    if len(blocks) != len(WIDTHS) or min(blocks) < 1:
        raise GliaError("vgg has five groups of convolutions", got=f"blocks={list(blocks)}")
    side = pool or (1 if min(facts.height, facts.width) < SMALL else MAP)
    net = VGG(facts.channels, task.outputs, blocks, batch_norm, side, width, dropout)
    initialise(net, "relu", generator)
    return Pictures(facts, net)
