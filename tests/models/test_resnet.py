"""Residual networks: published sizes, the paper's arithmetic by hand, any size of picture, and that they learn."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.normalise import halvings
from glia.models.resnet import Block, resnet8, resnet9, resnet20

TEN = Task("classify", ("thing",), tuple("abcdefghij"))
ALL = (resnet8, resnet9, resnet20)
Make = Callable[..., nn.Module]


def facts(channels: int, height: int, width: int) -> ImageFacts:
    return ImageFacts(channels, height, width, (0.48,) * channels, (0.25,) * channels, 100)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(rows: int, channels: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (rows, channels, height, width), dtype=torch.uint8, generator=generator(1))


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_resnet20_has_the_published_size() -> None:
    """He et al. 2015, table 6: 0.27 million, with shortcuts that have no parameters."""
    assert parameters(resnet20(facts(3, 32, 32), TEN, generator())) == 269_722
    projections = 16 * 32 + 32 * 64 + 2 * 32 + 2 * 64
    assert parameters(resnet20(facts(3, 32, 32), TEN, generator(), shortcut="B")) == 269_722 + projections


def test_resnet20_has_twenty_layers_and_halves_the_map_twice() -> None:
    net = resnet20(facts(3, 32, 32), TEN, generator())
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net.modules()) == 20
    sizes: list[tuple[int, ...]] = []
    for block in net.stages:
        block.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[1:])))
    net(pictures(2, 3, 32, 32))
    assert sizes == [(16, 32, 32)] * 3 + [(32, 16, 16)] * 3 + [(64, 8, 8)] * 3


def test_resnet9_at_width_64_is_the_size_of_its_source() -> None:
    """Page's network: 6.57 million, from prep 64, layers 128, 256, 512 and two residual pairs."""
    convolutions = 9 * (3 * 64 + 64 * 128 + 2 * 128**2 + 128 * 256 + 256 * 512 + 2 * 512**2)
    norms = 2 * (64 + 3 * 128 + 256 + 3 * 512)
    assert parameters(resnet9(facts(3, 32, 32), TEN, generator(), width=64)) == convolutions + norms + 512 * 10 + 10


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_a_block_that_shrinks_is_the_papers_formula(shortcut: str) -> None:
    block = Block(4, 6, 2, shortcut).eval()
    x = torch.randn(2, 4, 9, 8, generator=generator())
    if shortcut == "A":
        kept = torch.zeros(2, 6, 5, 4)
        kept[:, :4] = x[:, :, ::2, ::2]
    else:
        assert isinstance(block.project, nn.Sequential)
        kept = F.conv2d(x, block.project[0].weight, stride=2) / (1 + 1e-5) ** 0.5  # a fresh norm divides by that
    inner = F.relu(F.conv2d(x, block.conv1.weight, stride=2, padding=1) / (1 + 1e-5) ** 0.5)
    out = F.relu(F.conv2d(inner, block.conv2.weight, padding=1) / (1 + 1e-5) ** 0.5 + kept)
    torch.testing.assert_close(block(x), out, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 20), (1, 28, 28), (3, 64, 48), (3, 224, 224)])
def test_any_size_gives_one_answer_a_picture(make: Make, shape: tuple[int, int, int]) -> None:
    net = make(facts(*shape), TEN, generator(), width=8)
    assert net(pictures(2, *shape)).shape == (2, 10)


def test_large_pictures_are_shrunk_before_the_body() -> None:
    assert [halvings(facts(3, side, side)) for side in (8, 28, 32, 45, 48, 64, 96, 128, 224)] == [
        0,
        0,
        0,
        0,
        1,
        1,
        2,
        2,
        3,
    ]
    net = resnet20(facts(3, 224, 224), TEN, generator())
    assert net.stem(net.normalise(pictures(1, 3, 224, 224))).shape == (1, 16, 28, 28)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 64, 64)])
def test_every_parameter_has_a_gradient(make: Make, shape: tuple[int, int, int]) -> None:
    net = make(facts(*shape), TEN, generator(), width=8)
    F.cross_entropy(net(pictures(16, *shape)), torch.arange(16) % 10).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("make", ALL)
def test_in_evaluation_a_picture_does_not_see_its_batch(make: Make) -> None:
    net, x = make(facts(3, 32, 32), TEN, generator(), dropout=0.5), pictures(12, 3, 32, 32)
    net(x)  # the running figures leave their start
    net.eval()
    with torch.inference_mode():
        torch.testing.assert_close(net(x)[:1], net(x[:1]), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(net(x.flip(0)).flip(0), net(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", ALL)
def test_it_can_learn_32_pictures_by_heart(make: Make) -> None:
    net, x = make(facts(3, 16, 16), TEN, generator(), width=8), pictures(32, 3, 12, 12)
    y = torch.randint(0, 10, (32,), generator=generator(2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(50):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    assert (net(x).argmax(1) == y).all()


def test_the_convolutions_run_channels_last() -> None:
    net = resnet20(facts(3, 32, 32), TEN, generator())
    seen: list[bool] = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda m, inputs, output: seen.append(output.is_contiguous(memory_format=torch.channels_last))
            )
    net(pictures(2, 3, 32, 32))
    assert seen == [True] * 19


def test_an_unknown_shortcut_is_refused() -> None:
    with pytest.raises(GliaError, match="unknown shortcut 'C'; expected one of A, B"):
        resnet20(facts(3, 32, 32), TEN, generator(), shortcut="C")  # type: ignore[arg-type]
