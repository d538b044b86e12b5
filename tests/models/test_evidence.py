"""What words are evidence of: against scikit-learn's naive Bayes, and by hand where that has no such thing."""

import numpy as np
import pytest
import torch
from sklearn.naive_bayes import MultinomialNB

from glia.data.batches import Batches
from glia.data.facts import TextFacts
from glia.data.task import Task
from glia.models.build import build
from glia.models.evidence import PAIRS, STEEP, Evidence
from tests.models import zoo

WORDS, ROWS, LONG, BUCKETS = 30, 200, 9, 1 << 20


def texts(targets: torch.Tensor) -> Batches:
    """Texts of one to nine of the words 1 to 19, the first of which says what the class is."""
    dice = zoo.generator()
    lengths = torch.randint(1, LONG + 1, (ROWS,), generator=dice)
    tokens = torch.randint(1, 20, (ROWS, LONG), generator=dice)
    first = targets if targets.ndim == 1 else targets[:, 0]
    tokens[:, 0] = torch.where(torch.rand(ROWS, generator=dice) < 0.7, first.long() + 1, tokens[:, 0])
    tokens[torch.arange(LONG) >= lengths[:, None]] = 0
    return Batches(tokens, targets, torch.arange(ROWS))


def held(tokens: torch.Tensor) -> np.ndarray:
    """(N, features): 1 where a text holds a word, and for each pair of words that any text holds."""
    words = torch.zeros(len(tokens), WORDS).scatter(1, tokens, 1.0)[:, 1:].numpy()
    rows = [row[row != 0].tolist() for row in tokens]
    names = sorted({pair for row in rows for pair in zip(row, row[1:])})
    pairs = [[float(pair in set(zip(row, row[1:]))) for pair in names] for row in rows]
    return np.concatenate([words, np.array(pairs)], 1)


def evidence(task: Task) -> Evidence:
    return Evidence(TextFacts(WORDS, LONG, 0, ROWS), task, BUCKETS)


def test_it_begins_at_naive_bayes() -> None:
    targets = torch.randint(3, (ROWS,), generator=zoo.generator())
    train = texts(targets)
    net = evidence(zoo.classes(3))
    assert not net(train.inputs).any()
    net.begin_from(train)
    wide = held(train.inputs)
    known = wide.any(0)
    theirs = MultinomialNB(alpha=1.0).fit(wide[:, known], targets.numpy())
    log_p = theirs.feature_log_prob_ - theirs.feature_log_prob_.mean(0)
    weight = net.embedding.weight.detach().numpy()
    seen = known[: WORDS - 1]
    assert np.allclose(weight[1:WORDS][seen], log_p.T[: seen.sum()], atol=1e-4)
    assert not weight[1:WORDS][~seen].any() and not weight[0].any()
    pairs = weight[WORDS:][weight[WORDS:].any(1)]
    assert len(pairs) == (net.owner >= 0).sum() == known.sum() - seen.sum()
    assert np.allclose(np.sort(pairs, 0), np.sort(PAIRS * log_p.T[seen.sum() :], 0), atol=1e-4)
    assert np.allclose(net.bias.detach(), theirs.class_log_prior_ - theirs.class_log_prior_.mean(), atol=0.02)


def test_a_text_is_a_sum_and_pairs_that_were_never_met_are_silent() -> None:
    train = texts(torch.randint(2, (ROWS,), generator=zoo.generator()))
    net = evidence(zoo.classes(2))
    net.begin_from(train)
    row = train.inputs[(train.inputs[:, 1] != 0) & (train.inputs[:, 2] == 0)][0, :2]
    weight = net.embedding.weight
    pair = weight[WORDS + int((net.owner == row[0] * WORDS + row[1]).nonzero()[0])]
    both = STEEP * (weight[row].sum(0) + pair) / 2**0.5
    assert pair.any() and torch.allclose(net(row[None])[0], net.bias + both, atol=1e-5)
    met = set(zip(*(train.inputs.unfold(1, 2, 1).flatten(0, 1).T.tolist())))
    new = next((a, b) for a in range(1, 20) for b in range(1, 20) if (a, b) not in met)
    alone = STEEP * weight[list(new)].sum(0) / 2**0.5
    assert torch.allclose(net(torch.tensor([new]))[0], net.bias + alone, atol=1e-5)


def test_of_pairs_that_share_a_bucket_the_most_frequent_has_it() -> None:
    tokens = torch.tensor([[1, 2], [3, 4], [3, 4], [5, 6]])
    net = Evidence(TextFacts(WORDS, 2, 0, 4), zoo.classes(2), 1)
    net.begin_from(Batches(tokens, torch.tensor([0, 1, 1, 0]), torch.arange(4)))
    assert net.owner.tolist() == [3 * WORDS + 4]
    net = evidence(zoo.classes(2))
    net.begin_from(Batches(tokens[:, :1], torch.tensor([0, 1, 1, 0]), torch.arange(4)))
    assert (net.owner == -1).all() and net(tokens[:, :1])[1].argmax() == 1


def test_labels_are_counted_one_by_one() -> None:
    targets = (torch.rand(ROWS, 2, generator=zoo.generator()) < 0.3).float()
    train = texts(targets)
    net = evidence(Task("multilabel", ("a", "b"), ("a", "b")))
    net.begin_from(train)
    wide = held(train.inputs)
    known = wide.any(0)
    seen = known[: WORDS - 1]
    for place in (0, 1):
        one = MultinomialNB(alpha=1.0).fit(wide[:, known], targets[:, place].numpy())
        ratio = one.feature_log_prob_[1] - one.feature_log_prob_[0]
        ours = net.embedding.weight[1:WORDS, place].detach().numpy()[seen]
        assert np.allclose(ours, ratio[: seen.sum()], atol=1e-4)
        assert net.bias[place].item() == pytest.approx(one.class_log_prior_[1] - one.class_log_prior_[0], abs=0.05)


def test_the_default_network_counts_where_rows_are_given() -> None:
    train = texts(torch.randint(2, (ROWS,), generator=zoo.generator()))
    facts = TextFacts(WORDS, LONG, 0, ROWS)
    without, counted = (build("bag-gru", facts, zoo.classes(2), width=8, train=rows) for rows in (None, train))
    assert not without.evidence.embedding.weight.any() and counted.evidence.embedding.weight.any()  # type: ignore[union-attr]
    numbers = build("bag-gru", facts, Task("regress", ("y",), center=(0.0,), scale=(1.0,)), width=8, train=train)
    assert not numbers.evidence.embedding.weight.any()  # type: ignore[union-attr]
