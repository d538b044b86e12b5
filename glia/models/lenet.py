"""LeNet-5.

LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition", section II.B, figure 2.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.errors import unknown
from glia.models.keys import Rename
from glia.models.normalise import normalise
from glia.models.stem import pictures_from
from glia.nn.init import initialise

_ACTS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "tanh": torch.tanh}
_POOLS: dict[str, Callable[[Tensor, int], Tensor]] = {"max": F.max_pool2d, "average": F.avg_pool2d}
LEAST = 4  # pixels a side that leave something after the second pooling
MAP = 5  # pixels a side of the last feature maps: what the paper's 32 x 32 input leaves


class LeNet5(nn.Module):
    """Two 5 x 5 convolutions with pooling, then 120, 84 and the outputs. (N, C, H, W) -> (N, outputs).

    The modern form, 61,706 parameters for 28 x 28 or 32 x 32 grey images and ten classes. Where it differs from the
    paper (60,000): C3 sees all six maps of S2, not the table of chosen ones; pooling has no weights; ReLU and maximum
    for scaled tanh and average (`activation="tanh", pooling="average"` gives those back); the output layer is linear
    instead of radial basis functions.
    Sizes: the paper pads 28 pixels to 32, and so does the first convolution below 32. Maps larger than 5 x 5 after the
    last pooling are averaged to 5 x 5; images below 28 pad the second convolution too, and their maps stay small.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {}

    def __init__(self, facts: ImageFacts, outputs: int, activation: str, pooling: str, dropout: float):
        super().__init__()
        side = min(facts.height, facts.width)
        first, second = (2 if side < 32 else 0), (2 if side < 28 else 0)
        self.activation, self.pooling = activation, pooling
        self.normalise = normalise(facts)
        self.c1 = nn.Conv2d(facts.channels, 6, 5, padding=first)
        self.c3 = nn.Conv2d(6, 16, 5, padding=second)
        height, width = ((n + 2 * first - 4) // 2 + 2 * second - 4 for n in (facts.height, facts.width))
        self.map = min(height // 2, MAP), min(width // 2, MAP)
        self.c5 = nn.Linear(16 * self.map[0] * self.map[1], 120)
        self.f6 = nn.Linear(120, 84)
        self.drop = nn.Dropout(dropout)
        self.output = nn.Linear(84, outputs)

    def forward(self, x: Tensor) -> Tensor:
        act, pool = _ACTS[self.activation], _POOLS[self.pooling]
        x = pool(act(self.c1(self.normalise(x))), 2)  # (N, 6, H/2, W/2)
        x = pool(act(self.c3(x)), 2)  # (N, 16, H/4, W/4) about
        if x.shape[2:] != self.map:
            x = F.adaptive_avg_pool2d(x, self.map)
        x = act(self.f6(act(self.c5(x.flatten(1)))))
        return self.output(self.drop(x))

    def stages(self) -> list[list[str]]:
        return [["c1"], ["c3"], ["c5"], ["f6"], ["output"]]


def lenet5(
    facts: ImageFacts,
    task: Task,
    generator: torch.Generator,
    *,
    activation: Literal["relu", "tanh"] = "relu",
    pooling: Literal["max", "average"] = "max",
    dropout: float = 0.0,
) -> LeNet5:
    """LeNet-5 for images of at least 4 x 4."""
    for what, given, choices in (("activation", activation, _ACTS), ("pooling", pooling, _POOLS)):
        if given not in choices:
            raise unknown(f"{what} of lenet5", given, choices)
    net = LeNet5(pictures_from(facts, LEAST, "lenet5"), task.outputs, activation, pooling, dropout)
    initialise(net, activation, generator)
    return net
