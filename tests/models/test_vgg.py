"""VGG: published sizes, its layers by hand, small pictures, and that it learns."""

import pytest
import torch
from bodies import assert_stages, counted, shaken
from torch import Tensor, nn
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
from glia.models.vgg import VGG, vgg

SIZES = {
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11-bn": 132_868_840,
    "vgg13-bn": 133_053_736,
    "vgg16-bn": 138_365_992,
    "vgg19-bn": 143_678_248,
}
# Table 1 of the paper: maps after each convolution, M for pooling.
COLUMNS = {
    (1, 1, 2, 2, 2): "64 M 128 M 256 256 M 512 512 M 512 512 M",
    (2, 2, 4, 4, 4): "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}


@pytest.mark.parametrize("name", SIZES)
def test_published_sizes(name: str) -> None:
    assert counted(name) == (SIZES[name], SIZES[name])
    assert round(SIZES["vgg16"] / 1e6) == 138 and round(SIZES["vgg19"] / 1e6) == 144  # the paper's table 2


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("blocks", COLUMNS)
def test_the_layers_are_those_of_the_paper(blocks: tuple[int, ...], batch_norm: bool) -> None:
    """Written out from table 1 over the names that torchvision gives its layers."""
    net = shaken(VGG(3, 5, blocks, batch_norm, pool=1, width=64))
    w, place, y = net.state_dict(), 0, torch.randn(2, 3, 32, 32, generator=generator())
    x = y
    for item in COLUMNS[blocks].split():
        if item == "M":
            y, place = F.max_pool2d(y, 2), place + 1
            continue
        y = F.conv2d(y, w[f"features.{place}.weight"], w[f"features.{place}.bias"], padding=1)
        assert y.shape[1] == int(item)
        if batch_norm:
            place += 1
            norm = [w[f"features.{place}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
            y = F.batch_norm(y, *norm)
        y, place = F.relu(y), place + 2

    def dense(y: Tensor, place: int) -> Tensor:
        return F.linear(y, w[f"classifier.{place}.weight"], w[f"classifier.{place}.bias"])

    with torch.no_grad():
        out = dense(F.relu(dense(F.relu(dense(y.flatten(1), 0)), 3)), 6)
        assert out.std() > 1e-4
        assert greatest_difference(net(x), out) < 1e-5
    used = {key.rpartition(".")[0] for key in w}
    assert len([name for name, module in net.named_modules() if name in used]) == len(used)


@pytest.mark.parametrize(("side", "pool", "inputs"), [(32, None, 512), (64, None, 25_088), (32, 7, 25_088)])
def test_small_pictures_have_small_dense_layers(side: int, pool: int | None, inputs: int) -> None:
    with torch.device("meta"):
        net = vgg(image_facts(3, side, side), classes(5), generator(), blocks=(1, 1, 1, 1, 1), pool=pool)
    assert net.network.classifier[0].in_features == inputs


def test_wrong_input_is_refused_in_one_line() -> None:
    with pytest.raises(GliaError, match="vgg takes pictures of at least 32 x 32 pixels; got 40 x 31"):
        vgg(image_facts(3, 40, 31), classes(4), generator())
    with pytest.raises(GliaError, match="vgg has five groups of convolutions; got blocks="):
        vgg(image_facts(3, 40, 40), classes(4), generator(), blocks=(1, 2))


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glia.models.vgg.WIDTHS", (8, 16, 16, 32, 32))


def tiny(batch_norm: bool) -> nn.Module:
    options = {"blocks": (1, 1, 1, 1, 1), "width": 32, "dropout": 0.0, "batch_norm": batch_norm}
    return vgg(image_facts(1, 32, 32), classes(4), generator(), **options)  # type: ignore[arg-type]


@pytest.mark.usefixtures("narrow")
def test_what_every_network_bears() -> None:
    net, x = tiny(True), pictures(4, 1, 32, 32)
    assert_stages(net.network)
    assert_exports(net, x)
    assert_compiles(net, x)
    assert_runs_in_bfloat16(net, x)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("batch_norm", [False, True])
def test_it_learns_pictures_by_heart(batch_norm: bool) -> None:
    assert_overfits(tiny(batch_norm), pictures(32, 1, 32, 32), torch.arange(32) % 4)
