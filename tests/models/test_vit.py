"""Vision transformer: published sizes, the outputs of transformers' own, and what every network must bear."""

import pytest
import torch
from torch import nn
from transformers import ViTConfig, ViTForImageClassification

from glia.catalog.networks.vit import ENTRIES
from glia.errors import GliaError
from glia.models.normalise import Pictures
from glia.models.vit import ViT, vit
from tests.models.published import assert_sizes, assert_stages, take, translated
from tests.models.zoo import (
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

SIZES = {"width": 32, "layers": 2, "heads": 4}


def tiny(height: int = 16, width: int = 16, **options: int) -> Pictures:
    return vit(image_facts(3, height, width), classes(5), generator(), **{**SIZES, **options})  # type: ignore[arg-type]


def of_transformers() -> ViTForImageClassification:
    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, image_size=16, patch_size=4,
        num_labels=5,
    )  # fmt: skip
    return ViTForImageClassification(config)


def test_published_sizes() -> None:
    """Touvron et al. 2021, table 1 (5 and 22 million); Dosovitskiy et al. 2021, table 1 (86 and 307 million)."""
    expected = {"vit-tiny": 5_717_416, "vit-small": 22_050_664, "vit-base": 86_567_656, "vit-large": 304_326_632}
    assert_sizes(ENTRIES, expected)


def test_logits_are_those_of_transformers() -> None:
    net, theirs = ViT(3, (16, 16), 5, 32, 2, 4, patch=4), of_transformers()
    take(net, theirs)
    x = torch.randn(3, 3, 16, 16, generator=generator())
    with torch.no_grad():
        assert greatest_difference(net(x), theirs(x).logits) < 1e-5


def test_the_names_in_published_files_are_known() -> None:
    """As google/vit-base-patch16-224 has them, written down from its index."""
    net = ViT(3, (16, 16), 5, 32, 1, 4, patch=4)
    layer = "vit.encoder.layer.0."
    names = ["vit.embeddings.cls_token", "vit.embeddings.position_embeddings"]
    for part in (
        "vit.embeddings.patch_embeddings.projection", layer + "attention.attention.query",
        layer + "attention.attention.key", layer + "attention.attention.value", layer + "attention.output.dense",
        layer + "intermediate.dense", layer + "output.dense", layer + "layernorm_before", layer + "layernorm_after",
        "vit.layernorm", "classifier",
    ):  # fmt: skip
        names += [f"{part}.weight", f"{part}.bias"]
    found = translated(ViT.published_keys["huggingface"], {name: torch.zeros(1) for name in names})
    assert found.keys() == net.state_dict().keys()


def test_places_matter_and_zeros_fill_up_the_last_patch() -> None:
    net, x = tiny(14, 18), pictures(2, 3, 14, 18)
    nn.init.normal_(net.network.classifier.weight)
    filled = vit(image_facts(3, 16, 20), classes(5), generator(), **SIZES)
    filled.load_state_dict(net.state_dict())
    whole = torch.nn.functional.pad(net.normalise(x), (0, 2, 0, 2))
    with torch.no_grad():
        assert greatest_difference(net(x), filled.network(whole)) < 1e-5
        assert greatest_difference(net(x), net(x.flip(2))) > 1e-3


def test_patches_fit_the_pictures() -> None:
    sides = [(28, 4), (32, 4), (64, 8), (96, 8), (128, 16), (224, 16)]
    for side, patch in sides:
        assert tiny(side, side).network.embeddings.patch_embeddings.patch == patch
    assert tiny(32, 32, patch=8).network.embeddings.position_embeddings.shape == (1, 17, 32)


def test_it_begins_with_even_chances() -> None:
    net = tiny()
    assert not net(pictures(2, 3, 16, 16)).any()
    assert net.network.embeddings.position_embeddings.std().item() == pytest.approx(0.02 * 0.88, rel=0.1)  # cut at 2
    again = tiny()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


def test_it_bears_what_every_network_must() -> None:
    net, x = tiny(), pictures(2, 3, 16, 16)
    nn.init.normal_(net.network.classifier.weight, generator=generator())
    one = tiny(layers=1)
    nn.init.normal_(one.network.classifier.weight, generator=generator())
    assert_stages(net.network)
    assert_runs_in_bfloat16(net, x)
    assert_exports(net, x)
    assert_compiles(one, x)
    assert_overfits(tiny(), pictures(32, 3, 16, 16), torch.arange(32) % 5)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(GliaError, match="pictures of another size than this .*; got 16 x 20; expected 16 x 16"):
        tiny()(pictures(2, 3, 16, 20))
    with pytest.raises(GliaError, match="pictures too small for vit; got 3 x 16; expected at least 4 pixels a side"):
        tiny(3, 16)
    with pytest.raises(GliaError, match="heads of attention; got 5"):
        tiny(heads=5)
