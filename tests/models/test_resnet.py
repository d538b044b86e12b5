"""ImageNet's residual networks: published sizes, Hugging Face's numbers, small pictures, and that they learn."""

import pytest
import torch
from bodies import assert_stages, counted, renamed, shaken
from transformers import ResNetConfig, ResNetForImageClassification
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
from glia.models.resnet import Basic, Bottleneck, ResNet, resnet
from glia.nn.stochastic_depth import StochasticDepth

SIZES = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
}


@pytest.mark.parametrize("name", SIZES)
def test_published_sizes(name: str) -> None:
    """torchvision's figures; the paper gives operations instead."""
    assert counted(name) == (SIZES[name], SIZES[name])


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("side", [64, 75])
def test_it_answers_as_hugging_faces(bottleneck: bool, side: int) -> None:
    ours = ResNet(3, 7, (1, 2, 1, 2), bottleneck, width=8).eval()
    widths = [8 * 2**i * (4 if bottleneck else 1) for i in range(4)]
    kind = "bottleneck" if bottleneck else "basic"
    config = ResNetConfig(
        embedding_size=8, hidden_sizes=widths, depths=[1, 2, 1, 2], layer_type=kind, num_labels=7, hidden_act="relu"
    )
    theirs = shaken(ResNetForImageClassification(config))
    ours.load_state_dict(renamed(theirs.state_dict(), ResNet.published_keys["huggingface"]))
    x = torch.randn(2, 3, side, side, generator=generator())
    with torch.no_grad():
        assert greatest_difference(ours(x), theirs(x).logits) < 1e-5


@pytest.mark.parametrize("bottleneck", [False, True])
def test_names_are_torchvisions(bottleneck: bool) -> None:
    """`conv1`, `bn1`, `layer1.0.conv1`, ..., `layer2.0.downsample.0`, `fc`, as in its published files."""
    keys = ResNet(3, 10, (1, 1, 1, 1), bottleneck, width=2).state_dict().keys()
    convs = 3 if bottleneck else 2
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    wanted = {"conv1.weight", "fc.weight", "fc.bias", *(f"bn1.{part}" for part in norm)}
    for layer in range(1, 5):
        parts = [(f"conv{i}", f"bn{i}") for i in range(1, convs + 1)]
        if bottleneck or layer > 1:
            parts.append(("downsample.0", "downsample.1"))
        for conv, bn in parts:
            wanted |= {f"layer{layer}.0.{conv}.weight", *(f"layer{layer}.0.{bn}.{part}" for part in norm)}
    assert set(keys) == wanted


@pytest.mark.parametrize(("block", "convolutions"), [(Basic, 2), (Bottleneck, 3)])
def test_depth_is_in_the_name(block: type[Basic] | type[Bottleneck], convolutions: int) -> None:
    """Table 1: 18 = 1 + 2 * 8 + 1 and 50 = 1 + 3 * 16 + 1; shortcuts do not count."""
    counts = (2, 2, 2, 2) if block is Basic else (3, 4, 6, 3)
    net = ResNet(blocks=counts, bottleneck=block is Bottleneck, width=2)
    blocks = [module for module in net.modules() if isinstance(module, block)]
    main = [name for b in blocks for name, _ in b.named_children() if name.startswith("conv")]
    assert len(main) == convolutions * len(blocks) == {2: 16, 3: 48}[convolutions]


@pytest.mark.parametrize(
    ("side", "stem", "map_side"),
    [(32, "auto", 4), (63, "auto", 8), (64, "auto", 2), (224, "auto", 7), (32, "imagenet", 1), (96, "small", 12)],
)
def test_small_pictures_keep_their_map(side: int, stem: str, map_side: int) -> None:
    net = resnet(image_facts(3, side, side), classes(4), generator(), width=2, stem=stem).eval()  # type: ignore[arg-type]
    seen: list[int] = []
    net.network.layer4.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[-1]))
    assert net(pictures(2, 3, side, side)).shape == (2, 4)
    assert seen == [map_side]


def test_wrong_options_are_refused_in_one_line() -> None:
    facts = image_facts(3, 32, 32)
    with pytest.raises(GliaError, match="unknown stem of resnet 'smal'.*'small'"):
        resnet(facts, classes(3), generator(), stem="smal")  # type: ignore[arg-type]
    with pytest.raises(GliaError, match=r"resnet has four stages of blocks; got blocks=\[2, 2\]"):
        resnet(facts, classes(3), generator(), blocks=(2, 2))


@pytest.mark.parametrize("bottleneck", [False, True])
def test_what_every_network_bears(bottleneck: bool) -> None:
    net, x = (
        resnet(image_facts(3, 16, 16), classes(4), generator(), blocks=(1, 1, 1, 1), bottleneck=bottleneck, width=8),
        pictures(32, 3, 16, 16),
    )
    assert_stages(net.network)
    assert_runs_in_bfloat16(net, x[:4])
    assert_overfits(net, x, torch.arange(32) % 4)
    if bottleneck:
        assert_exports(net, x[:2])
        assert_compiles(net, x[:2])


def test_branches_are_left_out_in_training_only() -> None:
    net = ResNet(3, 4, (1, 1, 1, 1), width=8, small=True, stochastic_depth=0.9)
    depths = [part.drop for part in net.modules() if isinstance(part, StochasticDepth)]
    assert depths == pytest.approx([0.225, 0.45, 0.675, 0.9])
    x = torch.randn(6, 3, 32, 32, generator=generator())
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.eval()
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))
