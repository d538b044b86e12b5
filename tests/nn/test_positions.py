"""Positions: formulas by hand, Llama's rotary, T5's buckets."""

import math

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaConfig, LlamaRotaryEmbedding, apply_rotary_pos_emb
from transformers.models.t5.modeling_t5 import T5Attention

from glia.errors import GliaError
from glia.nn.positions import PositionEmbedding, Rotary, Sinusoidal, relative_buckets, sinusoidal


@pytest.mark.parametrize("width", [6, 7])
def test_sinusoids_are_the_papers(width: int) -> None:
    table = sinusoidal(50, width)
    for place in (0, 1, 49):
        for column in range(width):
            angle = place / 10_000 ** ((column - column % 2) / width)
            expected = math.cos(angle) if column % 2 else math.sin(angle)
            assert table[place, column].item() == pytest.approx(expected, abs=1e-6)


def test_places_go_on_from_a_start_and_end_with_the_table() -> None:
    x = torch.zeros(2, 3, 4)
    torch.testing.assert_close(Sinusoidal(8, 4)(x, start=5)[1], sinusoidal(8, 4)[5:])
    learned = PositionEmbedding(8, 4)
    assert torch.equal(learned(3, start=5), learned.weight[5:])
    for late in (lambda: Sinusoidal(8, 4)(x, start=6), lambda: learned(3, start=6)):
        with pytest.raises(GliaError, match="longer than the network's positions; got 9; expected at most 8"):
            late()


def test_rotary_is_llamas() -> None:
    config = LlamaConfig(hidden_size=32, num_attention_heads=4, max_position_embeddings=64)
    q, k = torch.randn(2, 2, 4, 10, 8, generator=torch.Generator().manual_seed(0))
    cos, sin = LlamaRotaryEmbedding(config)(q, torch.arange(3, 13).unsqueeze(0))
    rotary = Rotary(8)
    for ours, theirs in zip((rotary(q, 3), rotary(k, 3)), apply_rotary_pos_emb(q, k, cos, sin)):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_turned_products_depend_on_the_distance_only() -> None:
    q, k = torch.randn(2, 1, 1, 1, 6, generator=torch.Generator().manual_seed(0))
    rotary = Rotary(6)
    products = [(rotary(q, start + 4) * rotary(k, start)).sum().item() for start in (0, 7, 90)]
    assert products == pytest.approx([products[0]] * 3, abs=1e-4)
    with pytest.raises(GliaError, match="even number"):
        Rotary(5)


@pytest.mark.parametrize("both_ways", [True, False])
def test_buckets_are_t5s(both_ways: bool) -> None:
    distance = torch.arange(300) - torch.arange(300).unsqueeze(1)
    theirs = T5Attention._relative_position_bucket(distance, both_ways, 32, 128)
    assert torch.equal(relative_buckets(300, 300, both_ways=both_ways), theirs)
    assert torch.equal(relative_buckets(2, 300, both_ways=both_ways), theirs[-2:])
