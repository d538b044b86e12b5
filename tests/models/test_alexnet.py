"""AlexNet: the published size, its layers by hand, and that it learns."""

import pytest
import torch
from bodies import assert_stages, counted
from torch.nn import functional as F
from zoo import (
    assert_compiles,
    assert_exports,
    assert_overfits,
    assert_runs_in_bfloat16,
    classes,
    generator,
    greatest_difference,
    image_facts,
    pictures,
)

from glia.errors import GliaError
from glia.models.alexnet import AlexNet, alexnet


def tiny() -> torch.nn.Module:
    return alexnet(image_facts(3, 63, 63), classes(4), generator(), width=32, dropout=0.0)


def test_published_size() -> None:
    """Convolutions 2,469,696 and dense layers 58,631,144, by hand; torchvision's sum."""
    convolutions = [(3, 64, 11), (64, 192, 5), (192, 384, 3), (384, 256, 3), (256, 256, 3)]
    dense = [(256 * 36, 4096), (4096, 4096), (4096, 1000)]
    by_hand = sum(a * b * k * k + b for a, b, k in convolutions) + sum(a * b + b for a, b in dense)
    assert counted("alexnet") == (by_hand, by_hand) == (61_100_840, 61_100_840)


def test_names_are_torchvisions() -> None:
    with torch.device("meta"):
        keys = AlexNet().state_dict().keys()
    layers = ["features.0", "features.3", "features.6", "features.8", "features.10"]
    layers += ["classifier.1", "classifier.4", "classifier.6"]
    assert list(keys) == [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]


def test_the_layers_are_those_of_the_paper() -> None:
    """Strides, paddings and pooling of one-weird-trick's section 5, written out."""
    body = tiny().network
    w = dict(body.named_parameters())
    x = torch.randn(1, 3, 224, 224, generator=generator())

    def conv(x: torch.Tensor, place: int, stride: int, padding: int) -> torch.Tensor:
        return F.relu(F.conv2d(x, w[f"features.{place}.weight"], w[f"features.{place}.bias"], stride, padding))

    def dense(x: torch.Tensor, place: int) -> torch.Tensor:
        return F.linear(x, w[f"classifier.{place}.weight"], w[f"classifier.{place}.bias"])

    with torch.no_grad():
        a = F.max_pool2d(conv(x, 0, 4, 2), 3, 2)
        assert a.shape == (1, 64, 27, 27)
        b = F.max_pool2d(conv(a, 3, 1, 2), 3, 2)
        c = F.max_pool2d(conv(conv(conv(b, 6, 1, 1), 8, 1, 1), 10, 1, 1), 3, 2)
        assert c.shape == (1, 256, 6, 6)
        out = dense(F.relu(dense(F.relu(dense(c.flatten(1), 1)), 4)), 6)
        assert greatest_difference(body(x), out) < 1e-5


def test_a_picture_that_is_too_small_is_refused_in_one_line() -> None:
    with pytest.raises(GliaError, match="alexnet takes pictures of at least 63 x 63 pixels; got 62 x 90. Try: image_"):
        alexnet(image_facts(3, 62, 90), classes(4), generator())


def test_what_every_network_bears() -> None:
    net, x = tiny(), pictures(32, 3, 63, 63)
    assert_stages(net.network)
    assert_exports(net, x[:2])
    assert_compiles(net, x[:2])
    assert_runs_in_bfloat16(net, x[:2])


def test_it_learns_pictures_by_heart() -> None:
    assert_overfits(tiny(), pictures(32, 3, 63, 63), torch.arange(32) % 4, lr=1e-3)
