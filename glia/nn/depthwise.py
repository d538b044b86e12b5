"""Convolutions that look at each channel on its own: cheap, and followed by one over channels alone."""

from torch import nn

from glia.errors import GliaError

_BY_PLACES = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def depthwise(
    channels: int, kernel: int, *, stride: int = 1, places: int = 2, multiplier: int = 1, bias: bool = True
) -> nn.Module:
    """A convolution with `multiplier` filters for each channel, which see that channel alone.

    (N, channels, places ...) -> (N, channels * multiplier, places / stride ...), padded by kernel // 2. places: 1, 2 or
    3 dimensions. Its weights are 1 / channels of those of a plain one. Howard et al. 2017, arXiv 1704.04861, section 3.
    """
    if places not in _BY_PLACES:
        raise GliaError("places of a depthwise convolution", got=places, expected="1, 2 or 3 dimensions")
    made: nn.Module = _BY_PLACES[places](
        channels, channels * multiplier, kernel, stride, kernel // 2, groups=channels, bias=bias
    )
    return made


def separable(inputs: int, outputs: int, kernel: int, *, stride: int = 1, places: int = 2) -> nn.Sequential:
    """A depthwise convolution and one of 1 x 1 over its channels: a plain convolution in two cheap steps.

    (N, inputs, places ...) -> (N, outputs, places / stride ...). Without the norms and activations that MobileNet has
    between them. Chollet 2017, arXiv 1610.02357.
    """
    first = depthwise(inputs, kernel, stride=stride, places=places, bias=False)
    return nn.Sequential(first, _BY_PLACES[places](inputs, outputs, 1))
