"""Depthwise convolutions against one plain convolution a channel."""

import pytest
import torch
from torch.nn import functional as F

from glia.errors import GliaError
from glia.nn.depthwise import depthwise, separable

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@pytest.mark.parametrize("places", [1, 2, 3])
def test_each_channel_has_filters_of_its_own(places: int) -> None:
    x = torch.randn(2, 3, *[6] * places)
    layer = depthwise(3, 3, stride=2, places=places, multiplier=2)
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    assert weight.numel() == 3 * 2 * 3**places
    parts = [CONV[places](x[:, c : c + 1], weight[2 * c : 2 * c + 2], bias[2 * c : 2 * c + 2], 2, 1) for c in range(3)]
    torch.testing.assert_close(layer(x), torch.cat(parts, 1))


def test_separable_is_one_plain_convolution_of_products() -> None:
    """Section 3.1 of the MobileNet paper: the filter of output o on channel c is pointwise[o, c] * depthwise[c]."""
    x, layer = torch.randn(2, 3, 7, 7), separable(3, 5, 3)
    first, second = layer[0].get_parameter("weight"), layer[1].get_parameter("weight")
    whole = second * first.transpose(0, 1)  # (5, 3, 1, 1) * (1, 3, 3, 3)
    torch.testing.assert_close(layer(x), F.conv2d(x, whole, layer[1].get_parameter("bias"), padding=1))
    with pytest.raises(GliaError, match="places of a depthwise convolution; got 4"):
        depthwise(3, 3, places=4)
