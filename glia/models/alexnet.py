"""AlexNet.

Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks" (arXiv 1404.5997), section 5, after
Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional neural networks" (NIPS 25).
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.models.keys import Rename
from glia.models.normalise import Pictures
from glia.models.stem import pictures_from
from glia.nn.init import initialise

LEAST = 63  # pixels a side that leave something after the third pooling


class AlexNet(nn.Module):
    """Five convolutions and three dense layers. (N, C, H, W) -> (N, outputs); H and W at least 63.

    The form with one tower, 61,100,840 parameters for 3 x 224 x 224 and 1,000 classes, names as in torchvision.
    Differs from 2012: one tower instead of two that meet now and then, so no grouped convolutions; 64, 192, 384, 256
    and 256 maps instead of 96, 256, 384, 384 and 256; no local response normalisation; He's first weights instead of
    N(0, 0.01) with some biases of 1. Differs from 2014: the mean over 6 x 6 fields before the dense layers, which
    leaves the 6 x 6 map of 224 pixels as it is, and lets other sizes in.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {"torchvision": ()}

    def __init__(self, channels: int = 3, outputs: int = 1000, width: int = 4096, dropout: float = 0.5):
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(channels, 64, 11, stride=4, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            *(nn.Dropout(dropout), nn.Linear(256 * 6 * 6, width), nn.ReLU(inplace=True)),
            *(nn.Dropout(dropout), nn.Linear(width, width), nn.ReLU(inplace=True)),
            nn.Linear(width, outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))  # (N, 256, 6, 6)
        out: Tensor = self.classifier(x.flatten(1))
        return out

    def stages(self) -> list[list[str]]:
        layers = [f"features.{place}" for place in (0, 3, 6, 8, 10)] + [f"classifier.{place}" for place in (1, 4, 6)]
        return [[layer] for layer in layers]


def alexnet(
    facts: ImageFacts, task: Task, generator: torch.Generator, *, width: int = 4096, dropout: float = 0.5
) -> Pictures:
    """AlexNet for pictures of at least 63 x 63. width, dropout: of the two hidden dense layers."""
    facts = pictures_from(facts, LEAST, "alexnet")
    net = AlexNet(facts.channels, task.outputs, width, dropout)
    initialise(net, "relu", generator)
    return Pictures(facts, net)
