"""T5: published sizes, the outputs of transformers' own, the cache, and what every network must bear."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import T5Config, T5ForConditionalGeneration

from glia.catalog.networks.language import ENTRIES
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.t5 import T5, t5
from tests.models.published import assert_sizes, assert_stages, take
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


def tiny(**options: object) -> T5:
    return t5(text_facts(), LANGUAGE, generator(), **{"width": 32, "layers": 2, "heads": 4, "key": 6, **options})  # type: ignore[arg-type]


def pair() -> tuple[T5, T5ForConditionalGeneration]:
    config = T5Config(vocab_size=50, d_model=32, d_kv=6, d_ff=128, num_layers=2, num_heads=4)
    net, theirs = tiny(), T5ForConditionalGeneration(config)
    take(net, theirs)
    return net, theirs


def texts(rows: int = 3, source: int = 40, target: int = 30) -> tuple[Tensor, Tensor]:
    """Some padded; long enough for buckets of several distances."""
    read, write = tokens(rows, source), tokens(rows, target).flip(0)
    read[1, 17:], read[2, 1:] = 0, 0
    write[:, 0] = 0  # begins
    return read, write


class Joined(nn.Module):
    """Source and target side by side in one tensor."""

    def __init__(self, net: nn.Module, source: int):
        super().__init__()
        self.net, self.source = net, source

    def forward(self, both: Tensor) -> Tensor:
        out: Tensor = self.net(both[:, : self.source], both[:, self.source :])
        return out


def every_place(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def test_published_sizes() -> None:
    """As the published files have it. The tiny one: 32,128 words of 256; 4 layers with 4 heads of 64."""
    maps, inner, table = 4 * 256 * 256, 2 * 256 * 1024, 32 * 4
    stacks = 4 * (maps + inner + 2 * 256) + 4 * (2 * maps + inner + 3 * 256) + 2 * (table + 256)
    expected = {
        "t5-tiny": 32_128 * 256 + stacks, "t5-small": 60_506_624, "t5-base": 222_903_552, "t5-large": 737_668_096,
    }  # fmt: skip
    assert_sizes(tuple(entry for entry in ENTRIES if entry.facts["family"] == "t5"), expected)


def test_logits_are_those_of_transformers() -> None:
    net, theirs = pair()
    source, target = texts()
    with torch.no_grad():
        expected = theirs(source, attention_mask=(source != 0).long(), decoder_input_ids=target).logits
        assert greatest_difference(net(source, target), expected) < 1e-5


def test_steps_from_a_cache_are_the_full_pass() -> None:
    net, _ = pair()
    source, target = texts()
    with torch.no_grad():
        memory, cache = net.encode(source), net.new_cache()
        parts = [net.decode(target[:, a:b], memory, source, cache) for a, b in ((0, 1), (1, 9), (9, 10), (10, 30))]
        assert greatest_difference(torch.cat(parts, 1), net(source, target)) < 1e-5


def test_a_padded_row_says_what_it_says_alone() -> None:
    net, _ = pair()
    source, target = texts()
    with torch.no_grad():
        rows = [net(read[read != 0].unsqueeze(0), write.unsqueeze(0)) for read, write in zip(source, target)]
        assert greatest_difference(net(source, target), torch.cat(rows)) < 1e-5


def test_first_weights_are_those_of_its_program() -> None:
    net = t5(text_facts(200), LANGUAGE, generator(), width=128, layers=2, heads=4, key=32)
    block = net.decoder.block[0].layer
    for weight, std in (
        (net.shared.weight, 1.0),
        (block[0].SelfAttention.q.weight, (128 * 32) ** -0.5),
        (block[0].SelfAttention.k.weight, 128**-0.5),
        (block[1].EncDecAttention.o.weight, 128**-0.5),
        (block[2].DenseReluDense.wo.weight, 512**-0.5),
    ):
        assert weight.std().item() == pytest.approx(std, rel=0.03)


def test_it_bears_what_every_network_must() -> None:
    inputs = texts(3, 12, 10)
    net = tiny(dropout=0.0)
    assert_stages(net)
    assert_runs_in_bfloat16(net, inputs)
    assert_exports(net, inputs)
    assert_compiles(tiny(layers=1, dropout=0.0), inputs)
    source = tokens(32, 6)
    begun = F.pad(source, (1, 0))  # to copy the source
    assert_overfits(
        Joined(tiny(dropout=0.0), 6), torch.cat((source, begun[:, :-1]), 1), source, loss=every_place, lr=5e-3
    )


def test_it_writes_texts_only() -> None:
    with pytest.raises(GliaError, match="t5 writes texts; got task classify; expected task language"):
        t5(text_facts(), classes(3), generator())
