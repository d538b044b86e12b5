"""BERT: published sizes, the outputs of transformers' own, padding, and what every network must bear."""

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification, BertModel

from glia.catalog.networks.language import ENTRIES
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.bert import Bert, MaskedBert, PooledBert, bert
from tests.models.published import assert_sizes, assert_stages, take, translated
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

SIZES = {"width": 32, "layers": 2, "heads": 4, "inner": 48}
LANGUAGE = Task("language", ("next",), tuple(map(str, range(50))))


def config(**options: int) -> BertConfig:
    return BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=16, **options,
    )  # fmt: skip


def tiny(**options: object) -> Bert:
    return bert(text_facts(), classes(3), generator(), **{**SIZES, **options})  # type: ignore[arg-type]


def padded() -> torch.Tensor:
    rows = tokens(3, 12)
    rows[1, 7:], rows[2, 1:] = 0, 0
    return rows


def test_published_sizes() -> None:
    """Devlin et al. and Turc et al., as their files have it: the body with its pooler."""
    expected = {
        "bert-tiny": 4_385_920, "bert-mini": 11_170_560, "bert-small": 28_763_648, "bert-medium": 41_373_184,
        "bert-base": 109_482_240, "bert-large": 335_141_888,
    }  # fmt: skip
    assert_sizes(tuple(entry for entry in ENTRIES if entry.facts["family"] == "bert"), expected)


def test_the_body_and_the_pooled_vector_are_those_of_transformers() -> None:
    net = PooledBert(0, 50, 32, 2, 4, inner=48, positions=16)
    theirs = BertModel(config())
    take(net, theirs)
    rows = padded()
    with torch.no_grad():
        out = theirs(rows, attention_mask=(rows != 0).long())
        seen = rows != 0
        assert greatest_difference(net.hidden(rows)[seen], out.last_hidden_state[seen]) < 1e-5
        assert greatest_difference(net(rows), out.pooler_output) < 1e-5


def test_the_heads_are_those_of_transformers() -> None:
    rows = padded()
    mask = (rows != 0).long()
    pooled, masked = tiny(), tiny(head="masked")
    for net, theirs in (
        (pooled, BertForSequenceClassification(config(num_labels=3))),
        (masked, BertForMaskedLM(config())),
    ):
        take(net, theirs)
        with torch.no_grad():
            out, expected = net(rows), theirs(rows, attention_mask=mask).logits
        seen = rows != 0 if isinstance(net, MaskedBert) else slice(None)
        assert greatest_difference(out[seen], expected[seen]) < 2e-5


def test_the_oldest_files_names_are_known() -> None:
    """Files of 2018 call a norm's numbers gamma and beta."""
    net = tiny()
    renames = Bert.published_keys["huggingface"]
    old = {
        "bert." + key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for key, value in net.state_dict().items()
    }
    assert translated(renames, old).keys() == net.state_dict().keys()


def test_a_padded_row_says_what_it_says_alone() -> None:
    net, rows = tiny().eval(), padded()
    with torch.no_grad():
        alone = torch.cat([net(row[row != 0].unsqueeze(0)) for row in rows])
        assert greatest_difference(net(rows), alone) < 1e-5


def test_first_weights_are_small_and_from_the_generator_alone() -> None:
    net = bert(text_facts(500), classes(3), generator(), width=64)
    torch.manual_seed(1)
    again = bert(text_facts(500), classes(3), generator(), width=64)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))
    words = net.embeddings.word_embeddings.weight
    assert words.abs().max().item() <= 0.04 and words.std().item() == pytest.approx(0.02 * 0.88, rel=0.02)  # cut at 2


def test_it_bears_what_every_network_must() -> None:
    rows = padded()
    for net in (tiny(dropout=0.0), tiny(dropout=0.0, head="masked")):
        assert_stages(net)
        assert_runs_in_bfloat16(net, rows)
        assert_exports(net, rows)
    assert_stages(PooledBert(0, 50, 32, 2, 4))
    assert_compiles(tiny(layers=1), rows)
    assert_overfits(tiny(dropout=0.0), tokens(32, 12), torch.arange(32) % 3)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(GliaError, match="texts longer than bert's positions; got 16; expected at most 8"):
        tiny(positions=8)
    with pytest.raises(GliaError, match="longer than the network's positions; got 17; expected at most 16"):
        tiny()(tokens(1, 17))
    with pytest.raises(GliaError, match="both ways"):
        bert(text_facts(), LANGUAGE, generator())
    with pytest.raises(GliaError, match="unknown head of bert 'mask'"):
        tiny(head="mask")
    with pytest.raises(GliaError, match="heads of attention; got 5"):
        tiny(heads=5)
    assert bert(text_facts(), LANGUAGE, generator(), **SIZES, head="masked")(padded()).shape == (3, 12, 50)  # type: ignore[arg-type]
