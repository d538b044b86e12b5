"""What words and pairs of words are evidence of: a linear model that begins where naive Bayes ends.

Wang, Manning 2012, "Baselines and bigrams: simple, good sentiment and topic classification": ratios of counts tell the
classes of few or short texts better than weights that are learnt from zero.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.data.batches import Batches
from glia.data.facts import TextFacts
from glia.data.task import Task
from glia.models.keys import Rename

# Words are no independent witnesses, as naive Bayes has it, and a pair repeats what its words said: the sum is taken
# times STEEP over sqrt(length), a pair times PAIRS. Both by folds of training sentences (Stanford Sentiment Treebank).
STEEP, PAIRS = 2.4, 0.4
HASH = (1_000_003, 8_191)  # primes: a pair's bucket is (first * one + second * other) mod buckets
_ROWS = 256  # that are counted at once


class Evidence(nn.Module):
    """Tokens (N, L) -> (N, outputs): the evidence of words and of pairs of neighbours, summed, over the root of the
    length. It says nothing (all is zero) until `begin_from` or training.

    buckets: pairs that are known, at most. Each belongs to one pair alone, the most frequent of those that would share
    it: most pairs of a new text were never met, and must not speak with the voice of others.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {}

    owner: Tensor

    def __init__(self, facts: TextFacts, task: Task, buckets: int):
        super().__init__()
        self.pad, self.vocabulary, self.kind = facts.pad, facts.vocabulary, task.kind
        self.register_buffer("owner", torch.full((buckets,), -1, dtype=torch.int64))
        self.embedding = nn.Embedding(facts.vocabulary + buckets, task.outputs, padding_idx=facts.pad)
        self.bias = nn.Parameter(torch.zeros(task.outputs))
        with torch.no_grad():
            self.embedding.weight.zero_()

    def forward(self, tokens: Tensor) -> Tensor:
        count = (tokens != self.pad).sum(1, keepdim=True).clamp_min(1).to(self.bias.dtype)
        return self.bias + STEEP * self.embedding(self._found(tokens)).sum(1) / count.sqrt()

    def _found(self, tokens: Tensor) -> Tensor:
        """(N, 2 L - 1): the rows of the embedding for words and pairs; that of the filling for what is not known."""
        names, buckets = self._pairs(tokens)
        known = self.owner[buckets] == names
        return torch.cat([tokens, torch.where(known, buckets + self.vocabulary, self.pad)], 1)

    def _pairs(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Of each token and the next (N, L - 1): a number that no other pair has, and its bucket."""
        return tokens[:, :-1] * self.vocabulary + tokens[:, 1:], pair_buckets(tokens, len(self.owner))

    def begin_from(self, train: Batches) -> None:
        """Begin at naive Bayes' log-ratios, over the texts that hold a word or pair, one added to each count. Numbers
        have no such ratios: for them only the pairs are settled.
        """
        self._settle(train)
        if self.kind == "regress":
            return
        yes, no = self._counts(train)
        known = (yes + no).sum(0) > 0
        known[-1] = False
        if self.kind == "classify":
            told, prior = _logs(yes, known), (yes[:, -1] + 1).log()
            told, prior = told - told.mean(0), prior - prior.mean()
        else:
            told = _logs(yes, known) - _logs(no, known)
            prior = ((yes[:, -1] + 1) / (no[:, -1] + 1)).log()
        told = (told * known)[:, :-1].T
        told[self.vocabulary :] *= PAIRS
        with torch.no_grad():
            self.embedding.weight.copy_(told)
            self.bias.copy_(prior)

    def _settle(self, train: Batches) -> None:
        """Give each bucket to the most frequent of its pairs."""
        met = []
        for batch in train.ordered(_ROWS):
            there = batch.inputs != self.pad
            met.append(self._pairs(batch.inputs)[0][there[:, :-1] & there[:, 1:]])
        names, counts = torch.cat(met).unique(return_counts=True)
        pairs = torch.stack([names // self.vocabulary, names % self.vocabulary], 1)
        buckets = self._pairs(pairs)[1][:, 0]
        order = counts.argsort(stable=True)
        order = order[buckets[order].argsort(stable=True)]  # by bucket, then by count
        last = torch.ones_like(order, dtype=torch.bool)
        last[:-1] = buckets[order][1:] != buckets[order][:-1]
        self.owner[buckets[order][last]] = names[order][last]

    def _counts(self, train: Batches) -> tuple[Tensor, Tensor]:
        """(outputs, rows of the embedding + 1) of the texts that have a class or label, and that have it not: how many
        hold each word or pair, and, at the end, how many there are."""
        outputs, width = len(self.bias), self.embedding.num_embeddings + 1
        yes, no = torch.zeros(outputs, width), torch.zeros(outputs, width)
        for batch in train.ordered(_ROWS):
            holds = torch.zeros(len(batch.inputs), width).scatter_(1, self._found(batch.inputs), 1.0)
            holds[:, -1], holds[:, self.pad] = 1, 0
            has = F.one_hot(batch.targets, outputs) if self.kind == "classify" else batch.targets
            yes += has.float().T @ holds
            no += (1 - has.float()).T @ holds
        return yes, no


def pair_buckets(tokens: Tensor, buckets: int) -> Tensor:
    """The bucket, below `buckets`, of each token and the next: (N, L) -> (N, L - 1)."""
    return (tokens[:, :-1] * HASH[0] + tokens[:, 1:] * HASH[1]) % buckets


def _logs(counts: Tensor, known: Tensor) -> Tensor:
    """(outputs, ...): the log of each word's share of its class, one added to each count."""
    return ((counts + 1) / ((counts + 1) * known).sum(1, keepdim=True)).log()
