"""The Transformer of 2017: sizes by hand, outputs of torch's own layers, the cache, what every network must bear."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.catalog.networks.language import ENTRIES
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.transformer import Transformer, transformer
from glia.nn.attention import Attention
from tests.models.published import assert_sizes, assert_stages
from tests.models.zoo import (
    assert_compiles,
    assert_exports,
    assert_overfits,
    assert_runs_in_bfloat16,
    classes,
    generator,
    greatest_difference,
    text_facts,
    tokens,
)

LANGUAGE = Task("language", ("next",), tuple(map(str, range(50))))


def tiny(**options: object) -> Transformer:
    sizes = {"width": 32, "layers": 2, "heads": 4, **options}
    return transformer(text_facts(), LANGUAGE, generator(), **sizes)  # type: ignore[arg-type]


def texts() -> tuple[Tensor, Tensor]:
    source, target = tokens(3, 14), tokens(3, 12).flip(0)
    source[1, 7:], source[2, 1:] = 0, 0
    return source, target


def every_place(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def _fill(theirs: nn.MultiheadAttention, ours: Attention) -> None:
    projections = (ours.q_proj, ours.k_proj, ours.v_proj)
    theirs.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
    theirs.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
    theirs.out_proj.load_state_dict(ours.out_proj.state_dict())


@torch.no_grad()
def of_torch(net: Transformer) -> nn.Transformer:
    """torch's own encoder and decoder with the same weights; without its norm after the last layer."""
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(32, 4, 128, 0.0, batch_first=True), 2, enable_nested_tensor=False
    )
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(32, 4, 128, 0.0, batch_first=True), 2)
    # it draws new weights for its parts, so it comes before they are filled
    whole = nn.Transformer(32, 4, custom_encoder=encoder, custom_decoder=decoder, batch_first=True).eval()
    for layer, ours in zip([*encoder.layers, *decoder.layers], [*net.encoder, *net.decoder]):
        _fill(layer.self_attn, ours.self_attn)
        layer.linear1.load_state_dict(ours.feed_forward.fc1.state_dict())
        layer.linear2.load_state_dict(ours.feed_forward.fc2.state_dict())
        norms = [ours.self_attn_layer_norm, ours.final_layer_norm]
        if hasattr(ours, "encoder_attn"):
            _fill(layer.multihead_attn, ours.encoder_attn)
            norms.insert(1, ours.encoder_attn_layer_norm)
        for number, norm in enumerate(norms):
            getattr(layer, f"norm{number + 1}").load_state_dict(norm.state_dict())
    return whole


def random_norms(net: nn.Module) -> None:
    with torch.no_grad():
        for number, parameter in enumerate(net.parameters()):
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator(number)))


def test_sizes_counted_by_hand() -> None:
    """Table 3 of the paper has 65 and 213 million, with about 37,000 words."""

    def count(width: int, layers: int) -> int:
        attention, norm = 4 * (width**2 + width), 2 * width
        inner = 8 * width**2 + 5 * width
        return 37_000 * width + layers * ((attention + inner + 2 * norm) + (2 * attention + inner + 3 * norm))

    expected = {
        "transformer-tiny": count(128, 2),
        "transformer-small": count(256, 3),
        "transformer-base": 63_082_496,
        "transformer-big": 214_245_376,
    }
    assert (count(512, 6), count(1024, 6)) == (63_082_496, 214_245_376)
    assert_sizes(tuple(entry for entry in ENTRIES if entry.facts["family"] == "transformer"), expected)


@pytest.mark.parametrize("shared", [True, False])
def test_logits_are_those_of_torchs_layers(shared: bool) -> None:
    net = tiny(shared=shared).eval()
    random_norms(net)
    source, target = texts()
    place = torch.arange(16).unsqueeze(1) / 10_000 ** (torch.arange(0, 32, 2) / 32)
    positions = torch.zeros(16, 32)
    positions[:, 0::2], positions[:, 1::2] = place.sin(), place.cos()
    words = net.embed.weight
    written = words if net.embed_target is None else net.embed_target.weight
    empty = source == 0
    with torch.no_grad():
        out = of_torch(net)(
            words[source] * math.sqrt(32) + positions[:14],
            written[target] * math.sqrt(32) + positions[:12],
            tgt_mask=torch.ones(12, 12, dtype=torch.bool).triu(1),
            src_key_padding_mask=empty,
            memory_key_padding_mask=empty,
        )
        expected = out @ (words if net.output is None else net.output.weight).t()
        assert greatest_difference(net(source, target), expected) < 1e-5


def test_steps_from_a_cache_are_the_full_pass() -> None:
    net = tiny().eval()
    random_norms(net)
    source, target = texts()
    with torch.no_grad():
        memory, cache = net.encode(source), net.new_cache()
        parts = [net.decode(target[:, a:b], memory, source, cache) for a, b in ((0, 1), (1, 2), (2, 9), (9, 12))]
        assert greatest_difference(torch.cat(parts, 1), net(source, target)) < 1e-5


def test_a_padded_row_says_what_it_says_alone() -> None:
    net = tiny().eval()
    source, target = texts()
    with torch.no_grad():
        rows = [net(read[read != 0].unsqueeze(0), write.unsqueeze(0)) for read, write in zip(source, target)]
        assert greatest_difference(net(source, target), torch.cat(rows)) < 1e-5


def test_embeddings_begin_as_large_as_the_positions() -> None:
    net = transformer(text_facts(500), LANGUAGE, generator(), width=64, layers=1)
    assert (net.embed.weight * 8).std().item() == pytest.approx(1.0, rel=0.02)
    assert net.encoder[0].feed_forward.fc1.weight.abs().max().item() == pytest.approx((6 / (64 + 256)) ** 0.5, rel=0.01)
    again = transformer(text_facts(500), LANGUAGE, generator(), width=64, layers=1)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


class Joined(nn.Module):
    """Source and target side by side in one tensor."""

    def __init__(self, net: nn.Module, source: int):
        super().__init__()
        self.net, self.source = net, source

    def forward(self, both: Tensor) -> Tensor:
        out: Tensor = self.net(both[:, : self.source], both[:, self.source :])
        return out


def test_it_bears_what_every_network_must() -> None:
    inputs = texts()
    for net in (tiny(dropout=0.0), tiny(dropout=0.0, shared=False)):
        assert_stages(net)
        assert_runs_in_bfloat16(net, inputs)
    assert_exports(net, inputs)
    assert_compiles(tiny(layers=1, dropout=0.0), inputs)
    source = tokens(32, 6)
    begun = F.pad(source, (1, 0))[:, :-1]  # to copy the source
    assert_overfits(Joined(tiny(dropout=0.0), 6), torch.cat((source, begun), 1), source, loss=every_place, lr=5e-3)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(GliaError, match="longer than the network's positions; got 17; expected at most 16"):
        tiny()(tokens(1, 17), tokens(1, 3))
    with pytest.raises(GliaError, match="transformer writes texts; got task classify"):
        transformer(text_facts(), classes(3), generator())
    with pytest.raises(GliaError, match="heads of the transformer; got 5; expected a divisor of the width 32"):
        tiny(heads=5)
