"""LeNet-5: the published size, any size of picture, and that it learns."""

import pytest
import torch
from bodies import assert_stages, counted
from torch.nn import functional as F
from zoo import assert_compiles, assert_exports, assert_runs_in_bfloat16

from glia.data.facts import ImageFacts, TableFacts, TensorFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.lenet import LeNet5, lenet5

TEN = Task("classify", ("digit",), tuple("0123456789"))


def facts(channels: int, height: int, width: int) -> ImageFacts:
    return ImageFacts(channels, height, width, (0.13,) * channels, (0.31,) * channels, 100)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(rows: int, channels: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (rows, channels, height, width), dtype=torch.uint8, generator=generator(1))


def parameters(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("side", [28, 32])
def test_it_has_the_published_layers(side: int) -> None:
    """LeCun et al. 1998, section II.B: C1 156, C5 48,120, F6 10,164. C3 is full here, and the output linear."""
    net = lenet5(facts(1, side, side), TEN, generator())
    layers = {name: parameters(getattr(net, name)) for name in ("c1", "c3", "c5", "f6", "output")}
    assert layers == {"c1": 156, "c3": 2416, "c5": 48_120, "f6": 10_164, "output": 850}
    assert parameters(net) == 61_706
    assert counted("lenet5") == (61_706, 61_706)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 12, 20), (1, 28, 28), (3, 32, 32), (3, 64, 48), (3, 224, 224)])
def test_any_size_gives_one_answer_a_picture(shape: tuple[int, int, int]) -> None:
    net = lenet5(facts(*shape), TEN, generator())
    assert net(pictures(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 64, 48)])
def test_every_parameter_has_a_gradient(shape: tuple[int, int, int]) -> None:
    net = lenet5(facts(*shape), TEN, generator())
    F.cross_entropy(net(pictures(16, *shape)), torch.arange(16) % 10).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_first_convolution_sees_standardised_pixels() -> None:
    net = lenet5(ImageFacts(2, 8, 8, (0.5, 0.1), (0.25, 0.0), 9), TEN, generator())
    flat = torch.tensor([255, 51], dtype=torch.uint8).view(1, 2, 1, 1).expand(1, 2, 8, 8)
    seen = net.normalise(flat)[0, :, 0, 0]
    torch.testing.assert_close(seen, torch.tensor([2.0, 0.1]))  # (1 - 0.5) / 0.25; a constant channel is only centred
    torch.testing.assert_close(net.normalise(flat.float()), net.normalise(flat))


def test_the_classic_form_squashes_and_averages() -> None:
    net = lenet5(facts(1, 28, 28), TEN, generator(), activation="tanh", pooling="average")
    x = pictures(3, 1, 28, 28)
    a = F.avg_pool2d(torch.tanh(F.conv2d(net.normalise(x), net.c1.weight, net.c1.bias, padding=2)), 2)
    b = F.avg_pool2d(torch.tanh(F.conv2d(a, net.c3.weight, net.c3.bias)), 2)
    out = net.output(torch.tanh(net.f6(torch.tanh(net.c5(b.flatten(1))))))
    torch.testing.assert_close(net(x), out)


def test_the_seed_alone_decides_the_weights() -> None:
    def flat(seed: int) -> torch.Tensor:
        torch.rand(seed + 1)  # what else was drawn does not matter
        return torch.nn.utils.parameters_to_vector(lenet5(facts(1, 28, 28), TEN, generator(seed)).parameters())

    assert torch.equal(flat(3), flat(3))
    assert not torch.equal(flat(3), flat(4))


def test_it_can_learn_32_pictures_by_heart() -> None:
    assert learnt_by_heart(lenet5(facts(1, 28, 28), TEN, generator()), pictures(32, 1, 28, 28)) == 1.0


def learnt_by_heart(net: LeNet5, x: torch.Tensor) -> float:
    """Share of random labels that are right after 100 steps."""
    y = torch.randint(0, 10, (len(x),), generator=generator(2))
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    return (net(x).argmax(1) == y).float().mean().item()


def test_what_every_network_bears() -> None:
    net, x = lenet5(facts(1, 28, 28), TEN, generator()), pictures(4, 1, 28, 28)
    assert_stages(net)
    assert_runs_in_bfloat16(net, x)
    assert_exports(net, x)
    assert_compiles(net, x)


def test_a_picture_that_is_too_small_is_refused_in_one_line() -> None:
    assert lenet5(facts(1, 4, 9), TEN, generator())(pictures(2, 1, 4, 9)).shape == (2, 10)
    with pytest.raises(GliaError, match="lenet5 takes pictures of at least 4 x 4 pixels; got 3 x 9"):
        lenet5(facts(1, 3, 9), TEN, generator())


def test_other_data_is_refused_in_one_line() -> None:
    table = TableFacts((), (), (), (), (), (), (), (), 5)
    for wrong in (table, TensorFacts((8,), 5)):
        with pytest.raises(GliaError, match="lenet5 takes images; got (table|tensor) data"):
            lenet5(wrong, TEN, generator())  # type: ignore[arg-type]


@pytest.mark.parametrize("option", [{"activation": "rleu"}, {"pooling": "maxx"}])
def test_an_unknown_option_value_is_refused(option: dict[str, str]) -> None:
    with pytest.raises(GliaError, match="Try: '(relu|max)'"):
        lenet5(facts(1, 28, 28), TEN, generator(), **option)  # type: ignore[arg-type]
