"""U-Net: figure 1 by hand, what it takes and gives, and that it learns."""

import pytest
import torch
from bodies import assert_stages, counted, shaken
from torch import Tensor, nn
from torch.nn import functional as F
from zoo import (
    assert_compiles,
    assert_exports,
    assert_runs_in_bfloat16,
    classes,
    generator,
    greatest_difference,
    image_facts,
    pictures,
)

from glia.errors import GliaError
from glia.models.unet import UNet, unet


def test_the_published_size_by_hand() -> None:
    """Figure 1: widths 64 to 1024, two convolutions each, up-convolutions of 2 x 2, a 1 x 1 to two classes."""
    down = [(1, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    down += [(512, 1024), (1024, 1024)]
    up = [(1024, 512), (512, 512), (512, 256), (256, 256), (256, 128), (128, 128), (128, 64), (64, 64)]
    grow = [(1024, 512), (512, 256), (256, 128), (128, 64)]
    by_hand = sum(9 * a * b + b for a, b in down + up) + sum(4 * a * b + b for a, b in grow) + 64 * 2 + 2
    assert counted("unet") == (by_hand, by_hand) == (31_030_658, 31_030_658)
    assert len(down) + len(up) + len(grow) + 1 == 23  # "in total the network has 23 convolutional layers"


def test_the_map_sizes_are_those_of_figure_1() -> None:
    with torch.device("meta"):
        net = UNet()
        seen: list[int] = []
        for double in [*net.down, *net.up]:
            double.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[-1]))
        assert net(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)
    assert seen == [568, 280, 136, 64, 28, 52, 100, 196, 388]


def by_hand(net: nn.Module, x: Tensor, padding: int) -> Tensor:
    """Figure 1 over the network's weights, without batch norm; the crop by torch's own negative padding."""
    w, beside = dict(net.named_parameters()), []

    def double(x: Tensor, at: str) -> Tensor:
        for place in (0, 2):
            x = F.relu(F.conv2d(x, w[f"{at}.{place}.weight"], w[f"{at}.{place}.bias"], padding=padding))
        return x

    for level in range(5):
        x = double(x, f"down.{level}")
        if level < 4:
            beside.append(x)
            x = F.max_pool2d(x, 2)
    for level in range(4):
        x = F.conv_transpose2d(x, w[f"grow.{level}.weight"], w[f"grow.{level}.bias"], stride=2)
        cut = (beside[-1].shape[2] - x.shape[2]) // 2
        x = double(torch.cat([F.pad(beside.pop(), [-cut] * 4), x], 1), f"up.{level}")
    return F.conv2d(x, w["output.weight"], w["output.bias"])


@pytest.mark.parametrize(("padded", "side", "out"), [(False, 188, 4), (False, 204, 20), (True, 16, 16), (True, 48, 48)])
def test_the_arithmetic_is_that_of_figure_1(padded: bool, side: int, out: int) -> None:
    net = shaken(UNet(3, 5, width=4, padded=padded))
    x = torch.randn(2, 3, side, side, generator=generator())
    with torch.no_grad():
        answer = net(x)
        assert answer.shape == (2, 5, out, out) and answer.std() > 1e-4
        assert greatest_difference(answer, by_hand(net, x, int(padded))) < 1e-5


@pytest.mark.parametrize("shape", [(16, 16), (17, 31), (33, 50)])
def test_padded_it_answers_every_pixel_of_any_size(shape: tuple[int, int]) -> None:
    net = unet(image_facts(3, *shape), classes(4), generator(), width=4, padded=True, batch_norm=True)
    assert net(pictures(2, 3, *shape)).shape == (2, 4, *shape)


def test_sizes_that_do_not_fit_are_refused_in_one_line() -> None:
    for side in (172, 190, 572 + 8):
        with pytest.raises(GliaError, match=rf"unet loses a border; got {side} x 188; .* Try: padded=True"):
            unet(image_facts(1, side, 188), classes(2), generator())
    with pytest.raises(GliaError, match="unet halves pictures four times; got 15 x 40; expected at least 16 x 16"):
        unet(image_facts(1, 15, 40), classes(2), generator(), padded=True)


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glia.models.unet.DEPTH", 2)


def tiny(**options: bool) -> nn.Module:
    return unet(image_facts(1, 16, 16), classes(2), generator(), width=4, padded=True, **options)


@pytest.mark.usefixtures("shallow")
def test_what_every_network_bears() -> None:
    net, x = tiny(batch_norm=True), pictures(4, 1, 16, 16)
    assert_stages(net.network)
    assert_stages(tiny().network)
    assert_runs_in_bfloat16(shaken(net), x)
    assert_exports(net, x)
    assert_compiles(net, x)


@pytest.mark.usefixtures("shallow")
def test_it_learns_which_pixels_are_bright() -> None:
    """Trained by cross entropy a pixel on 32 pictures, it marks those above half of white."""
    net, x = tiny(batch_norm=True), pictures(32, 1, 16, 16)
    y = (x[:, 0] > 127).long()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    assert (net(x).argmax(1) == y).float().mean() > 0.97
