"""Folders as Hugging Face's library writes them, with random weights: loaded, our networks answer as theirs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
    ResNetModel,
    ViTConfig,
    ViTForImageClassification,
)

from glia.data.task import Task
from glia.models.bert import bert
from glia.models.gpt import gpt
from glia.models.resnet import resnet
from glia.models.vit import ViT
from glia.models.weights import load_weights
from glia.nn.stages import stages, within
from tests.models.zoo import classes, generator, greatest_difference, image_facts, text_facts, tokens

BERT = BertConfig(
    vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
    max_position_embeddings=16, num_labels=3,
)  # fmt: skip
RESNET = ResNetConfig(
    embedding_size=8, hidden_sizes=[8, 16, 32, 64], depths=[1, 1, 2, 1], layer_type="basic", num_labels=5
)
VIT = ViTConfig(
    image_size=16, patch_size=4, num_channels=3, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
    intermediate_size=128, num_labels=5,
)  # fmt: skip
GPT = GPT2Config(vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=4)


def our_bert() -> nn.Module:
    return bert(text_facts(), classes(3), generator(), width=32, layers=2, heads=4, inner=48)


def our_resnet() -> nn.Module:
    return resnet(image_facts(3, 64, 64), classes(5), generator(), blocks=(1, 1, 2, 1), width=8, stem="imagenet")


def our_gpt() -> nn.Module:
    language = Task("language", ("next",), tuple(map(str, range(50))))
    return gpt(text_facts(), language, generator(), width=32, layers=2, heads=4)


def logits(theirs: PreTrainedModel, x: Tensor) -> Tensor:
    return theirs(x).logits


def pixels() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=generator())


Make = Callable[[], nn.Module]
CASES: dict[str, tuple[Make, Callable[[], PreTrainedModel], Callable[[nn.Module], nn.Module], Tensor]] = {
    "bert": (our_bert, lambda: BertForSequenceClassification(BERT), lambda net: net, tokens(3, 12)),
    "gpt2": (our_gpt, lambda: GPT2LMHeadModel(GPT), lambda net: net, tokens(3, 12)),
    "resnet": (our_resnet, lambda: ResNetForImageClassification(RESNET), lambda net: net.network, pixels()),
    "vit": (
        lambda: ViT(3, (16, 16), 5, 32, 2, 4, patch=4), lambda: ViTForImageClassification(VIT), lambda net: net,
        torch.randn(2, 3, 16, 16, generator=generator()),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("shards", [False, True])
def test_a_folder_of_theirs(tmp_path: Path, kind: str, shards: bool) -> None:
    make, build, body, x = CASES[kind]
    torch.manual_seed(0)
    theirs, ours = build().eval(), make().eval()
    theirs.save_pretrained(tmp_path, **({"max_shard_size": "30KB"} if shards else {}))
    assert (tmp_path / "model.safetensors.index.json").exists() == shards
    loaded = load_weights(ours, tmp_path)
    assert loaded.source == "huggingface" and not loaded.fresh, loaded.line()
    with torch.no_grad():
        assert greatest_difference(body(ours)(x), logits(theirs, x)) < 1e-5


@pytest.mark.parametrize(
    ("make", "build"), [(our_bert, lambda: BertModel(BERT)), (our_resnet, lambda: ResNetModel(RESNET))]
)
def test_a_body_without_a_head(tmp_path: Path, make: Make, build: Callable[[], Any]) -> None:
    theirs, ours = build(), make()
    theirs.save_pretrained(tmp_path)
    loaded = load_weights(ours, tmp_path)
    assert loaded.missing and all(within(name, stages(ours)[-1]) for name in loaded.missing), loaded.line()
    assert not loaded.unexpected and not loaded.wrong_shape
    total = sum(p.numel() for p in theirs.parameters())
    kept = {name: p for name, p in ours.named_parameters() if name not in loaded.fresh}
    assert sum(p.numel() for p in kept.values()) == total
    norms = sorted(round(p.detach().double().norm().item(), 4) for p in kept.values())
    assert norms == sorted(round(p.detach().double().norm().item(), 4) for p in theirs.parameters())
