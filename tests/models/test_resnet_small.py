"""CIFAR's residual networks: published sizes, the paper's arithmetic by hand, any size, and that they learn."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from bodies import assert_stages, counted
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from zoo import assert_compiles, assert_exports, assert_runs_in_bfloat16

from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.normalise import halvings
from glia.models.resnet_small import Block, resnet9, resnet_small
from glia.models.weights import load_weights

TEN = Task("classify", ("thing",), tuple("abcdefghij"))
resnet8, resnet20 = (partial(resnet_small, blocks=blocks) for blocks in (1, 3))
ALL = (resnet8, resnet9, resnet20)
Make = Callable[..., nn.Module]
FIRST = (  # (network, sum of all |weights|, sum of all |answers| to four pictures), from seed 0
    (resnet8, 4864.0682194, 105.187904),
    (resnet20, 15560.1940048, 752.329425),
    (resnet9, 16949.4519984, 44.009577),
)


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


@pytest.mark.parametrize(("layers", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_the_sizes_are_those_of_table_6(layers: int, millions: float) -> None:
    built, listed = counted(f"resnet{layers}")
    assert built == listed
    assert round(built / 1e6, 1 if layers == 110 else 2) == millions


def test_weights_of_runs_with_the_old_names_still_load(tmp_path: Path) -> None:
    net, other = (resnet20(facts(3, 32, 32), TEN, generator(seed)) for seed in (0, 1))
    old = {name.replace("blocks.", "stages."): value for name, value in other.state_dict().items()}
    assert old.keys() != net.state_dict().keys()
    net.load_state_dict(dict(old))
    torch.testing.assert_close(net.state_dict(), other.state_dict(), rtol=0, atol=0)
    held = nn.ModuleDict({"net": net})
    held.load_state_dict({f"net.{name}": value for name, value in old.items()})
    save_file(old, tmp_path / "old.safetensors")
    loaded = load_weights(resnet20(facts(3, 32, 32), TEN, generator(2)), tmp_path / "old.safetensors")
    assert not loaded.fresh and not loaded.unexpected and loaded.source == "glia"


def test_the_first_weights_and_answers_are_those_of_the_first_release() -> None:
    """Sums that the first release gave, so that its runs can be had again from their seeds."""
    x = pictures(4, 3, 32, 32)
    for make, weights, answers in FIRST:
        net = make(facts(3, 32, 32), TEN, generator()).eval()
        total = sum(p.double().abs().sum().item() for p in net.parameters())
        assert total == pytest.approx(weights, rel=1e-6)
        assert net(x).double().abs().sum().item() == pytest.approx(answers, rel=1e-4)


@pytest.mark.parametrize("make", ALL)
def test_what_every_network_bears(make: Make) -> None:
    net, x = make(facts(3, 12, 12), TEN, generator(), width=8), pictures(4, 3, 12, 12)
    assert_stages(net)
    assert_runs_in_bfloat16(net, x)
    assert_exports(net, x)
    assert_compiles(net, x)


def test_resnet20_has_twenty_layers_and_halves_the_map_twice() -> None:
    net = resnet20(facts(3, 32, 32), TEN, generator())
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net.modules()) == 20
    sizes: list[tuple[int, ...]] = []
    for block in net.blocks:
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
