"""The three MobileNets: published sizes, Hugging Face's numbers, the papers' tables by hand, and that they learn."""

from typing import Any

import pytest
import torch
from bodies import assert_stages, counted, renamed, shaken
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    MobileNetV1Config,
    MobileNetV1ForImageClassification,
    MobileNetV2Config,
    MobileNetV2ForImageClassification,
)
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
from glia.models import mobilenet_v3
from glia.models.build import build
from glia.models.mobilenet_v1 import MobileNetV1
from glia.models.mobilenet_v2 import MobileNetV2
from glia.models.mobilenet_v3 import MobileNetV3
from glia.models.stem import rounded

SIZES = {  # torchvision's for v2 and v3; the papers say 4.2, 3.4, 2.5 and 5.4 million
    "mobilenet-v1": 4_231_976,
    "mobilenet-v2": 3_504_872,
    "mobilenet-v3-small": 2_542_856,
    "mobilenet-v3-large": 5_483_032,
}


@pytest.mark.parametrize("name", SIZES)
def test_published_sizes(name: str) -> None:
    assert counted(name) == (SIZES[name], SIZES[name])


def noise(side: int, rows: int = 2) -> Tensor:
    return torch.randn(rows, 3, side, side, generator=generator())


@pytest.mark.parametrize("tensorflow", [False, True])
@pytest.mark.parametrize(("width", "side"), [(0.25, 64), (0.5, 71)])
def test_v1_answers_as_hugging_faces(width: float, side: int, tensorflow: bool) -> None:
    config = MobileNetV1Config(depth_multiplier=width, tf_padding=tensorflow, num_labels=7)
    theirs = shaken(MobileNetV1ForImageClassification(config))
    ours = MobileNetV1(3, 7, width, tensorflow=tensorflow).eval()
    ours.load_state_dict(renamed(theirs.state_dict(), MobileNetV1.published_keys["huggingface"]))
    with torch.no_grad():
        assert greatest_difference(ours(noise(side)), theirs(noise(side)).logits) < 1e-5


@pytest.mark.parametrize("tensorflow", [False, True])
@pytest.mark.parametrize(("width", "side"), [(0.35, 64), (1.0, 71)])
def test_v2_answers_as_hugging_faces(width: float, side: int, tensorflow: bool) -> None:
    epsilon = 1e-3 if tensorflow else 1e-5
    config = MobileNetV2Config(
        depth_multiplier=width, tf_padding=tensorflow, layer_norm_eps=epsilon, num_labels=7, finegrained_output=True
    )
    theirs = shaken(MobileNetV2ForImageClassification(config))
    ours = MobileNetV2(3, 7, width, tensorflow=tensorflow).eval()
    ours.load_state_dict(renamed(theirs.state_dict(), MobileNetV2.published_keys["huggingface"]))
    with torch.no_grad():
        assert greatest_difference(ours(noise(side)), theirs(noise(side)).logits) < 1e-5


def test_v2_takes_a_file_of_the_bare_body() -> None:
    theirs = MobileNetV2ForImageClassification(MobileNetV2Config(depth_multiplier=0.35)).mobilenet_v2.state_dict()
    taken = renamed(theirs, MobileNetV2.published_keys["huggingface"])
    ours = MobileNetV2(width=0.35).features.state_dict()
    assert sorted(taken) == sorted(f"features.{key}" for key in ours)


def test_v2_takes_the_names_of_timm() -> None:
    """Its layers by stage and place there: blocks.0.0 is (dw, pw), the others (pw, dw, pwl), each with a norm."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    layers = [("conv_stem", "bn1"), ("blocks.0.0.conv_dw", "blocks.0.0.bn1"), ("blocks.0.0.conv_pw", "blocks.0.0.bn2")]
    for stage, count in enumerate((2, 3, 4, 3, 3, 1), start=1):
        for place in range(count):
            at = f"blocks.{stage}.{place}"
            layers += [(f"{at}.conv_pw", f"{at}.bn1"), (f"{at}.conv_dw", f"{at}.bn2"), (f"{at}.conv_pwl", f"{at}.bn3")]
    layers.append(("conv_head", "bn2"))
    theirs = [key for conv, bn in layers for key in (f"{conv}.weight", *(f"{bn}.{part}" for part in norm))]
    theirs += ["classifier.weight", "classifier.bias"]
    empty = renamed(dict.fromkeys(theirs, torch.zeros(())), MobileNetV2.published_keys["timm"])
    assert list(empty) == list(MobileNetV2(width=0.1).state_dict())  # both name the layers in the order they run


def v3(w: dict[str, Tensor], x: Tensor, table: str) -> Tensor:
    """A table of the paper, row by row: kernel, expansion, squeeze and excite, activation, stride."""
    acts = {"HS": lambda x: x * F.relu6(x + 3) / 6, "RE": F.relu, "": lambda x: x}

    def unit(x: Tensor, at: str, act: str, stride: int = 1) -> Tensor:
        kernel = w[f"{at}.0.weight"]
        groups = x.shape[1] // kernel.shape[1]
        x = F.conv2d(x, kernel, None, stride, kernel.shape[2] // 2, groups=groups)
        norm = [w[f"{at}.1.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return acts[act](F.batch_norm(x, *norm, eps=1e-3))

    x = unit(x, "features.0", "HS", 2)
    rows = [row.split() for row in table.strip().splitlines()]
    for number, (kernel, wide, width, squeeze, act, stride) in enumerate(rows, start=1):
        y, at = x, f"features.{number}.block"
        place = 0
        if int(wide) != x.shape[1]:
            y, place = unit(y, f"{at}.0", act), 1
        assert w[f"{at}.{place}.0.weight"].shape == (int(wide), 1, int(kernel), int(kernel))
        y = unit(y, f"{at}.{place}", act, int(stride))
        place += 1
        if squeeze == "SE":
            s = y.mean((2, 3))
            s = F.relu(s @ w[f"{at}.{place}.fc1.weight"].flatten(1).T + w[f"{at}.{place}.fc1.bias"])
            s = F.relu6(s @ w[f"{at}.{place}.fc2.weight"].flatten(1).T + w[f"{at}.{place}.fc2.bias"] + 3) / 6
            y, place = y * s[:, :, None, None], place + 1
        y = unit(y, f"{at}.{place}", "")
        x = x + y if x.shape == y.shape else y
        assert x.shape[1] == int(width)
    x = unit(x, f"features.{len(rows) + 1}", "HS").mean((2, 3))
    x = acts["HS"](F.linear(x, w["classifier.0.weight"], w["classifier.0.bias"]))
    return F.linear(x, w["classifier.3.weight"], w["classifier.3.bias"])


LARGE = """
3 16 16 - RE 1
3 64 24 - RE 2
3 72 24 - RE 1
5 72 40 SE RE 2
5 120 40 SE RE 1
5 120 40 SE RE 1
3 240 80 - HS 2
3 200 80 - HS 1
3 184 80 - HS 1
3 184 80 - HS 1
3 480 112 SE HS 1
3 672 112 SE HS 1
5 672 160 SE HS 2
5 960 160 SE HS 1
5 960 160 SE HS 1
"""
SMALL = """
3 16 16 SE RE 2
3 72 24 - RE 2
3 88 24 - RE 1
5 96 40 SE HS 2
5 240 40 SE HS 1
5 240 40 SE HS 1
5 120 48 SE HS 1
5 144 48 SE HS 1
5 288 96 SE HS 2
5 576 96 SE HS 1
5 576 96 SE HS 1
"""


@pytest.mark.parametrize(("form", "table"), [("large", LARGE), ("small", SMALL)])
def test_v3_is_the_papers_table(form: Any, table: str) -> None:
    net, x = shaken(MobileNetV3(3, 7, form)), noise(75)
    with torch.no_grad():
        wanted = v3(net.state_dict(), x, table)
        assert wanted.std() > 1e-3
        assert greatest_difference(net(x), wanted) < 1e-5


def test_widths_are_rounded_as_in_the_authors_code() -> None:
    """To eighths, up where that would take more than a tenth: 0.35 * 32 = 11.2 -> 16 (8 is less than 0.9 of it)."""
    assert [rounded(width) for width in (3, 11.2, 8.4, 24 * 0.75, 12, 20, 100)] == [8, 16, 8, 24, 16, 24, 104]


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize(("side", "stem", "map_side"), [(32, "auto", 4), (64, "auto", 2), (32, "imagenet", 1)])
def test_small_pictures_keep_their_map(name: str, side: int, stem: str, map_side: int) -> None:
    net = build(name, image_facts(3, side, side), classes(4), width=0.25, stem=stem).eval()
    seen: list[int] = []
    last = net.network.layer if name == "mobilenet-v1" else net.network.features
    last.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[-1]))
    assert net(pictures(2, 3, side, side)).shape == (2, 4)
    assert seen == [map_side]


@pytest.mark.parametrize("name", SIZES)
def test_wrong_options_are_refused_in_one_line(name: str) -> None:
    facts = image_facts(3, 32, 32)
    with pytest.raises(GliaError, match="width of mobilenet-v. multiplies all its widths; got 64"):
        build(name, facts, classes(3), width=64)
    with pytest.raises(GliaError, match="unknown stem of mobilenet-v. 'none'"):
        build(name, facts, classes(3), stem="none")


def tiny(name: str) -> nn.Module:
    return build(name, image_facts(3, 24, 24), classes(4), width=0.25, dropout=0.0)


@pytest.mark.parametrize("name", SIZES)
def test_what_every_network_bears(name: str) -> None:
    net = tiny(name)
    assert_stages(net.network)
    assert_runs_in_bfloat16(shaken(net), pictures(2, 3, 24, 24))


@pytest.mark.parametrize("name", ["mobilenet-v1", "mobilenet-v2", "mobilenet-v3-small"])
def test_it_is_traced_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few blocks of each kind: tracing all takes long."""
    monkeypatch.setattr("glia.models.mobilenet_v1.WIDTHS", (16, 32))
    monkeypatch.setattr("glia.models.mobilenet_v1.STRIDES", (2, 1, 2))
    monkeypatch.setattr("glia.models.mobilenet_v2.BLOCKS", ((1, 16, 1, 1), (6, 24, 2, 2)))
    monkeypatch.setattr("glia.models.mobilenet_v3.SMALL", (mobilenet_v3.SMALL[2], mobilenet_v3.SMALL[5]))
    net, x = tiny(name), pictures(2, 3, 24, 24)
    assert_exports(net, x)
    assert_compiles(net, x)


@pytest.mark.parametrize("name", SIZES)
def test_it_learns_pictures_by_heart(name: str) -> None:
    assert_overfits(tiny(name), pictures(32, 3, 24, 24), torch.arange(32) % 4, lr=5e-3)


def test_a_form_must_be_known() -> None:
    with pytest.raises(GliaError, match="unknown form of mobilenet-v3 'medium'"):
        build("mobilenet-v3-small", image_facts(3, 32, 32), classes(3), form="medium")
