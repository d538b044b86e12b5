"""Bags of words: against sums by hand; padding and order where they must not count; members that learn apart."""

import pytest
import torch

from glia.data.task import Task
from glia.errors import GliaError
from glia.models.bag import Bag, BagGru
from glia.models.build import build
from glia.models.choose_text import EPOCHS, choose_text, text_settings
from glia.models.tabular import combine
from tests.models import zoo

FACTS = zoo.text_facts(50, 12)


def padded(*rows: list[int], length: int = 8) -> torch.Tensor:
    return torch.tensor([row + [0] * (length - len(row)) for row in rows])


def test_a_bag_is_a_sum_by_hand() -> None:
    net = build("bag", FACTS, zoo.classes(3), width=4, buckets=64).eval()
    assert isinstance(net, Bag) and net.pairs is not None
    with torch.no_grad():
        net.pairs.weight.normal_(generator=zoo.generator())
        words = sum(net.embedding.weight[token] for token in (7, 9, 7))
        pairs = sum(net.pairs.weight[(a * 1_000_003 + b * 8_191) % 64] for a, b in ((7, 9), (9, 7)))
        expected = net.head((words + pairs) / 3**0.5)
        assert torch.allclose(net(padded([7, 9, 7]))[0], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["bag", "bag-gru"])
def test_filling_is_not_seen_and_nothing_is_an_answer(name: str) -> None:
    net = build(name, FACTS, zoo.classes(2)).eval()
    rows = [[7, 9, 7], [3], [1, 2, 3, 4, 5, 6]]
    with torch.no_grad():
        together = net(padded(*rows))
        for row, answer in zip(rows, together):
            assert torch.allclose(net(torch.tensor([row]))[0], answer, atol=1e-5)
        assert net(padded([], [])).isfinite().all()


def test_order_counts_by_pairs_alone() -> None:
    net = build("bag", FACTS, zoo.classes(2), buckets=0).eval()
    with torch.no_grad():
        assert torch.allclose(net(padded([1, 2, 3])), net(padded([3, 1, 2])), atol=1e-6)


def test_members_learn_apart_and_answer_together() -> None:
    net = build("bag-gru", FACTS, zoo.classes(2), members=4, width=8)
    assert isinstance(net, BagGru) and len(net.grus) == 2
    tokens = padded([1, 2, 3], [4, 5])
    assert net.train()(tokens).shape == (2, 4, 2)
    with torch.no_grad():
        assert torch.equal(net.eval()(tokens), combine(net.members(tokens), "classify"))
    net.members(tokens)[:, 1, 0].sum().backward()
    touched = {name for name, p in net.named_parameters() if p.grad is not None and bool(p.grad.any())}
    assert touched and all(name.startswith("bag.") for name in touched)


def test_the_choice_follows_the_size() -> None:
    task = Task("classify", ("answer",), ("a", "b"))
    small, large = choose_text(FACTS, 7_000, task), choose_text(zoo.text_facts(50, 400), 500_000, task)
    assert (small.name, large.name) == ("bag-gru", "bag")
    assert "7,000 texts" in small.why and small.train["epochs"] > large.train["epochs"] >= EPOCHS[0]
    assert text_settings("lstm", FACTS, 100, task)["batch_size"] == 8


def test_what_is_refused() -> None:
    for options, said in (({"members": 2}, "members"), ({"width": 1}, "size"), ({"words": 1.0}, "size")):
        with pytest.raises(GliaError, match=said):
            build("bag-gru", FACTS, zoo.classes(2), **options)
    with pytest.raises(GliaError, match="whole text"):
        build("bag", FACTS, Task("language", ("text",), ("a", "b")))
