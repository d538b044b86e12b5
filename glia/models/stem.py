"""Pictures of other sizes than those that a network was made for, and TensorFlow's padding."""

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from glia.data.facts import ImageFacts
from glia.errors import GliaError, unknown
from glia.models.normalise import image_facts

Stem = Literal["auto", "imagenet", "small"]
SMALL = 64  # pixels a side: below, five halvings leave less than a 2 x 2 map


def small_stem(stem: str, facts: ImageFacts, model: str) -> bool:
    """Whether the first layers keep the picture large: as was asked for, or ("auto") by its smaller side."""
    if stem not in get_args(Stem):
        raise unknown(f"stem of {model}", stem, get_args(Stem))
    return stem == "small" or (stem == "auto" and min(facts.height, facts.width) < SMALL)


def gentle(strides: Sequence[int], small: bool) -> list[int]:
    """Strides of a network's layers; for small pictures the first two that are 2 become 1.

    Strides have no weights, so published ones fit either way.
    """
    halving = [place for place, stride in enumerate(strides) if stride == 2][: 2 if small else 0]
    return [1 if place in halving else stride for place, stride in enumerate(strides)]


def multiplier(width: float, model: str) -> float:
    """The width multiplier of a mobile network, once it is one."""
    if not 0 < width <= 4:
        raise GliaError(f"width of {model} multiplies all its widths", got=width, expected="above 0, 4 at most")
    return width


def rounded(width: float) -> int:
    """The multiple of 8 nearest to `width`, but no more than a tenth below it: as the authors' code of MobileNetV2."""
    nearest = max(8, int(width + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * width else nearest


def pictures_from(facts: object, least: int, model: str) -> ImageFacts:
    """`facts`, or a GliaError when they are not of pictures with at least `least` pixels a side."""
    found = image_facts(facts, model)
    if min(found.height, found.width) < least:
        size = f"{found.height} x {found.width}"
        hint = f"image_size={least}, or resnet18, which takes any size"
        raise GliaError(f"{model} takes pictures of at least {least} x {least} pixels", got=size, hint=hint)
    return found


class TensorFlowConv2d(nn.Conv2d):
    """A convolution with TensorFlow's padding "SAME": what is odd goes to the right and the bottom.

    With a stride of 2 and an even side that is another pixel than the middle which torch's padding gives.
    """

    def forward(self, x: Tensor) -> Tensor:
        sides: list[int] = []
        for size, kernel, stride in zip((x.shape[3], x.shape[2]), self.kernel_size[::-1], self.stride[::-1]):
            pad = max(kernel - (size % stride or stride), 0)
            sides += [pad // 2, pad - pad // 2]
        return F.conv2d(F.pad(x, sides), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)
