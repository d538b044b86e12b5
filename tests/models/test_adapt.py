"""Published weights at another picture size, and with other channels: as transformers does, and as sums say."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import ViTConfig, ViTForImageClassification

from glia.models.adapt import adapted
from glia.models.resnet_small import resnet_small
from glia.models.vit import ViT
from glia.models.weights import load_weights
from tests.models.zoo import classes, generator, greatest_difference, image_facts


def theirs() -> ViTForImageClassification:
    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, image_size=32, patch_size=8,
        num_labels=5,
    )  # fmt: skip
    net = ViTForImageClassification(config).eval()
    torch.nn.init.normal_(net.vit.embeddings.position_embeddings)
    return net


def test_places_are_drawn_anew_as_transformers_does(tmp_path: Path) -> None:
    source = theirs()
    save_file(source.state_dict(), tmp_path / "vit.safetensors")
    for side in (16, 48):
        net = ViT(3, (side, side), 5, 32, 2, 4, patch=8).eval()
        loaded = load_weights(net, tmp_path / "vit.safetensors")
        assert loaded.adapted == ("embeddings.position_embeddings",) and not loaded.fresh
        assert "fitted to this size: embeddings.position_embeddings" in loaded.line()
        x = torch.randn(2, 3, side, side, generator=generator())
        with torch.no_grad():
            want = source(x, interpolate_pos_encoding=True).logits
            assert greatest_difference(net(x), want) < 1e-5


def test_grey_and_coloured_pictures_of_the_same_content_get_the_same_answer(tmp_path: Path) -> None:
    kinds = {n: resnet_small(image_facts(n, 16, 16), classes(4), generator(), blocks=1).eval() for n in (1, 3)}
    grey = torch.randint(0, 256, (2, 1, 16, 16), generator=generator()).to(torch.uint8)
    for first, second in ((3, 1), (1, 3)):
        save_file(kinds[first].state_dict(), tmp_path / "w.safetensors")
        net = kinds[second]
        assert len(load_weights(net, tmp_path / "w.safetensors").adapted) == 1
        with torch.no_grad():
            pictures = {1: grey, 3: grey.expand(-1, 3, -1, -1)}
            assert greatest_difference(net(pictures[second]), kinds[first](pictures[first])) < 1e-4


def test_what_cannot_be_fitted_honestly_is_not() -> None:
    net = resnet_small(image_facts(3, 16, 16), classes(4), generator(), blocks=1)
    first = next(name for name, value in net.named_parameters() if value.ndim == 4)
    shape = tuple(dict(net.named_parameters())[first].shape)
    assert adapted(net, first, (shape[0], 1, *shape[2:]), shape) is not None
    assert adapted(net, first, (shape[0], 4, *shape[2:]), shape) is None
    assert adapted(net, first, (shape[0], 1, 7, 7), shape) is None
    vit = ViT(3, (32, 32), 5, 32, 1, 4, patch=8)
    place = "embeddings.position_embeddings"
    assert adapted(vit, place, (1, 17 + 1, 32), (1, 17, 32)) is None  # no square of patches
    assert adapted(vit, place, (1, 10, 64), (1, 17, 32)) is None
