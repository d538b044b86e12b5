"""DCGAN: the sizes and names of PyTorch's example, the paper's rules, pictures of other sizes."""

import math

import pytest
import torch
from torch import nn

from glia.catalog.entry import find
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.build import build, published
from glia.models.dcgan import dcgan
from glia.models.gan import GAN
from tests.models import zoo

ASK = Task("multilabel", ("real",))


def example_generator() -> nn.Sequential:
    """PyTorch's examples, dcgan/main.py, its netG.main, written out (nz 100, ngf 64, nc 3)."""
    layers: list[nn.Module] = [nn.ConvTranspose2d(100, 512, 4, 1, 0, bias=False), nn.BatchNorm2d(512), nn.ReLU(True)]
    for inputs, outputs in ((512, 256), (256, 128), (128, 64)):
        layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh())


def example_discriminator() -> nn.Sequential:
    """Its netD.main, without the sigmoid that its loss needs."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    for inputs, outputs in ((64, 128), (128, 256), (256, 512)):
        layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(512, 1, 4, 1, 0, bias=False))


def test_the_published_sizes() -> None:
    net = dcgan(zoo.image_facts(3, 64, 64), ASK, zoo.generator())
    assert (zoo.parameters(net.generator), zoo.parameters(net.discriminator)) == (3_576_704, 2_765_568)
    assert zoo.parameters(net) == find("models", "dcgan").facts["published"]["parameters"]


def test_weights_of_pytorchs_example_fit_and_give_the_same() -> None:
    net = build("dcgan", *published("dcgan")).eval()
    assert isinstance(net, GAN)
    noise, x = torch.randn(2, 100, generator=zoo.generator()), zoo.pictures(2, 3, 64, 64)
    for ours, theirs, given in (
        (net.generator, example_generator(), (noise, noise[:, :, None, None])),
        (net.discriminator, example_discriminator(), (net.real(x), net.real(x))),
    ):
        theirs.eval()
        assert ours.published_keys["pytorch"] == ()  # type: ignore[index, operator]
        ours.load_state_dict({f"main.{name}": value for name, value in theirs.state_dict().items()})
        out = theirs(given[1])
        with torch.no_grad():
            assert zoo.greatest_difference(ours(given[0]), out.flatten(1) if out.shape[1] == 1 else out) < 1e-5


def test_the_weights_begin_as_the_paper_says() -> None:
    net = build("dcgan", *published("dcgan"))
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            count = layer.weight.numel()
            assert layer.weight.std().item() == pytest.approx(0.02, rel=5 / math.sqrt(2 * count))
            assert abs(layer.weight.mean().item()) < 5 * 0.02 / math.sqrt(count)
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.1 / math.sqrt(len(layer.weight)))
            assert 0.01 < layer.weight.std().item() < 0.03 and not layer.bias.any()


@pytest.mark.parametrize(
    ("height", "width", "stages"), [(8, 8, 1), (28, 28, 2), (32, 32, 3), (48, 40, 3), (64, 64, 4), (96, 96, 4)]
)
def test_sizes_of_pictures(height: int, width: int, stages: int) -> None:
    net = dcgan(zoo.image_facts(1, height, width), ASK, zoo.generator(), latent=4, width=2)
    assert len(net.generator.stages()) == len(net.discriminator.stages()) == stages + 1  # type: ignore[operator]
    made = net.sample(3)
    assert made.shape == (3, 1, height, width) and made.dtype == torch.uint8
    assert net(made).shape == (3, 1)


@pytest.mark.parametrize(("height", "width"), [(6, 6), (30, 30), (32, 64), (31, 32)])
def test_sizes_that_do_not_fit_are_refused(height: int, width: int) -> None:
    with pytest.raises(GliaError, match=f"got {height} x {width} pixels; expected sides of 4 to 7 times"):
        dcgan(zoo.image_facts(1, height, width), ASK, zoo.generator())
    with pytest.raises(GliaError, match="size of a dcgan; got latent 0, width 2"):
        dcgan(zoo.image_facts(1, 8, 8), ASK, zoo.generator(), latent=0, width=2)


def test_what_every_network_bears() -> None:
    net = dcgan(zoo.image_facts(3, 16, 16), ASK, zoo.generator(), latent=6, width=4)
    noise, x = torch.randn(4, 6, generator=zoo.generator()), zoo.pictures(4, 3, 16, 16)
    assert net.stages()[-1] == ["discriminator.main.5"]
    zoo.assert_runs_in_bfloat16(net.generator, noise)
    zoo.assert_runs_in_bfloat16(net.discriminator, net.real(x))
    zoo.assert_exports(net, x)
    zoo.assert_exports(net.generator, noise)
    zoo.assert_compiles(net.generator, noise)
    zoo.assert_compiles(net, x)


def test_the_discriminator_can_tell_made_pictures_from_true_ones() -> None:
    net = dcgan(zoo.image_facts(1, 16, 16), ASK, zoo.generator(), latent=6, width=8)
    x = torch.cat([zoo.pictures(16, 1, 16, 16), net.sample(16, zoo.generator())])
    optimizer = torch.optim.Adam(net.discriminator.parameters(), 2e-3)
    labels = torch.arange(32).lt(16).float()[:, None]
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(net(x), labels).backward()
        optimizer.step()
    assert ((net.eval()(x) > 0) == (labels > 0.5)).all()
