"""GPT-2: published sizes, the outputs of transformers' own, the cache, and what every network must bear."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

from glia.catalog.networks.language import ENTRIES
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.gpt import GPT2, gpt
from tests.models.published import assert_sizes, assert_stages, take
from tests.models.zoo import (
    assert_compiles,
    assert_exports,
    assert_overfits,
    assert_runs_in_bfloat16,
    classes,
    generator,
    greatest_difference,
    image_facts,
    text_facts,
    tokens,
)

LANGUAGE = Task("language", ("next",), tuple(map(str, range(50))))
SIZES = {"width": 32, "layers": 2, "heads": 4}


def config(**options: int) -> GPT2Config:
    return GPT2Config(
        vocab_size=50, n_embd=32, n_layer=2, n_head=4, n_positions=16, bos_token_id=0, eos_token_id=0, **options
    )


def tiny(task: Task = LANGUAGE, **options: object) -> GPT2:
    return gpt(text_facts(), task, generator(), **{**SIZES, **options})  # type: ignore[arg-type]


def every_place(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def test_published_sizes() -> None:
    """The four of the paper as their files have it; the small ones by hand: 12 w^2 + 13 w a layer, and so on."""
    expected = {
        "gpt2": 124_439_808, "gpt2-medium": 354_823_168, "gpt2-large": 774_030_080, "gpt2-xl": 1_557_611_200,
    }  # fmt: skip
    small = (
        ("gpt", 128, 4, 129),
        ("gpt-nano", 48, 3, 51_281),
        ("gpt-micro", 128, 4, 51_281),
        ("gpt-mini", 192, 6, 51_281),
    )
    for name, w, layers, places in small:  # places: and words
        expected[name] = layers * (12 * w**2 + 13 * w) + 2 * w + places * w
    assert_sizes(tuple(entry for entry in ENTRIES if entry.facts["family"] == "gpt"), expected)


def test_logits_are_those_of_transformers() -> None:
    net, theirs = tiny(), GPT2LMHeadModel(config())
    take(net, theirs)
    rows = tokens(3, 16)
    with torch.no_grad():
        assert greatest_difference(net(rows), theirs(rows).logits) < 1e-5


def test_the_answer_from_the_last_token_is_that_of_transformers() -> None:
    net, theirs = tiny(classes(3)), GPT2ForSequenceClassification(config(num_labels=3, pad_token_id=0))
    take(net, theirs)
    rows = tokens(3, 12)
    rows[1, 7:], rows[2, 1:] = 0, 0
    with torch.no_grad():
        alone = torch.cat([net(row[row != 0].unsqueeze(0)) for row in rows])
        assert greatest_difference(net(rows), theirs(rows).logits) < 1e-5
        assert greatest_difference(net(rows), alone) < 1e-5


def test_steps_from_a_cache_are_the_full_pass() -> None:
    net, theirs = tiny(), GPT2LMHeadModel(config())
    take(net, theirs)
    rows, cache = tokens(2, 16), net.new_cache()
    with torch.no_grad():
        parts = [net.step(rows[:, start:end], cache) for start, end in ((0, 5), (5, 6), (6, 7), (7, 12), (12, 16))]
        assert greatest_difference(torch.cat(parts, 1), net(rows)) < 1e-5
    with pytest.raises(GliaError, match="longer than the network's positions; got 17; expected at most 16"):
        net.step(rows[:, :1], cache)
    with pytest.raises(GliaError, match="got 17; expected at most 16"):
        net(tokens(1, 17))


def test_a_place_does_not_see_what_comes_after() -> None:
    net, rows = tiny().eval(), tokens(2, 12)
    other = rows.clone()
    other[:, 6:] = 7
    with torch.no_grad():
        assert greatest_difference(net(rows)[:, :6], net(other)[:, :6]) < 1e-6
        assert greatest_difference(net(rows)[:, 6:], net(other)[:, 6:]) > 1e-3


def test_first_weights_are_those_of_the_paper() -> None:
    """0.02, at the ends of the residual branches 0.02 / sqrt(2 layers): the loss begins at that of even chances."""
    net = gpt(text_facts(), LANGUAGE, generator(), width=128, layers=8)
    block = net.h[3]
    for weight, std in (
        (net.wte.weight, 0.02),
        (block.attn.c_attn.weight, 0.02),
        (block.attn.c_proj.weight, 0.005),
        (block.mlp.c_proj.weight, 0.005),
    ):
        assert weight.std().item() == pytest.approx(std, rel=0.03)
    rows = tokens(32, 16)
    assert every_place(net(rows[:, :-1]), rows[:, 1:]).item() == pytest.approx(math.log(50), abs=0.1)
    again = gpt(text_facts(), LANGUAGE, generator(), width=128, layers=8)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


def test_it_bears_what_every_network_must() -> None:
    rows = tokens(3, 12)
    for net in (tiny(), tiny(classes(3))):
        assert_stages(net)
        assert_runs_in_bfloat16(net, rows)
        assert_exports(net, rows)
    assert_compiles(tiny(layers=1), rows)
    assert_overfits(tiny(classes(3)), tokens(32, 12), torch.arange(32) % 3)
    rows = tokens(32, 9)
    rows[:, 0] = torch.arange(1, 33)  # the first token tells the row
    assert_overfits(tiny(), rows[:, :-1], rows[:, 1:], loss=every_place, lr=5e-3)


def test_texts_longer_than_the_positions_are_refused() -> None:
    with pytest.raises(GliaError, match="texts longer than gpt's positions; got 16; expected at most 8"):
        tiny(positions=8)
    with pytest.raises(GliaError, match="gpt takes texts; got image data"):
        gpt(image_facts(3, 8, 8), LANGUAGE, generator())  # type: ignore[arg-type]
