"""Bags of words: texts as sums of what words and pairs of words say; alone, or beside networks that err otherwise.

Joulin et al. 2016, "Bag of tricks for efficient text classification", arXiv 1607.01759 (fastText); words left out at
random in training: Iyyer et al. 2015, "Deep unordered composition rivals syntactic methods".
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from glia.data.batches import Batches
from glia.data.facts import TextFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.evidence import Evidence, pair_buckets
from glia.models.keys import Rename
from glia.models.recurrent import recurrent
from glia.models.tabular import Ensemble
from glia.models.transformer import text_facts

BUCKETS = (1 << 10, 1 << 16)  # pairs of words share so many vectors: about 8 for each training text, within these
_SPREAD = 0.3  # standard deviation of a GRU's vectors of words: with 1 few epochs hardly move them


class Bag(nn.Module):
    """Tokens (N, L) -> (N, outputs): vectors of words and of pairs of neighbours, summed, over the root of the length.

    words: share of the words that are left out in training, drawn anew at each step.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {}

    def __init__(
        self,
        facts: TextFacts,
        outputs: int,
        generator: torch.Generator,
        *,
        width: int,
        buckets: int,
        dropout: float,
        words: float,
    ):
        super().__init__()
        self.pad, self.words, self.buckets = facts.pad, words, buckets
        self.embedding = nn.Embedding(facts.vocabulary, width, padding_idx=facts.pad)
        # Pairs begin at zero: one that training never met says nothing.
        self.pairs = nn.Embedding(buckets, width) if buckets else None
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, outputs)
        with torch.no_grad():
            self.embedding.weight.normal_(std=0.1, generator=generator)[facts.pad] = 0
            if self.pairs is not None:
                self.pairs.weight.zero_()
            self.head.weight.uniform_(-(width**-0.5), width**-0.5, generator=generator)
            self.head.bias.zero_()

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = left_out(tokens, self.words if self.training else 0.0, self.pad)
        there = (tokens != self.pad).to(self.embedding.weight.dtype)
        total = self.embedding(tokens).sum(1)  # of pads the vector is 0
        if self.pairs is not None and tokens.shape[1] > 1:
            both = there[:, 1:] * there[:, :-1]
            total = total + (self.pairs(pair_buckets(tokens, self.buckets)) * both[..., None]).sum(1)
        count = there.sum(1, keepdim=True).clamp_min(1)
        return self.head(self.drop(total / count.sqrt()))

    def stages(self) -> list[list[str]]:
        return [["embedding", "pairs"] if self.pairs is not None else ["embedding"], ["head"]]


class BagGru(Ensemble):
    """Naive Bayes, a bag of words and two-way GRUs that learn each by itself, words left out for each anew; their mean
    answers.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {}

    def __init__(
        self,
        facts: TextFacts,
        task: Task,
        generator: torch.Generator,
        *,
        grus: int,
        width: int,
        dropout: float,
        words: float,
    ):
        super().__init__()
        self.kind, self.pad, self.words = task.kind, facts.pad, words
        self.evidence = Evidence(facts, task, _buckets(facts.rows))
        self.bag = bag(facts, task, generator, width=width, dropout=dropout, words=0.0)
        self.grus = nn.ModuleList(
            recurrent(
                facts, task, generator, cell="gru", width=width, bidirectional=True, dropout=dropout, pooling=pooling
            )
            for pooling in [("max", "mean")[place % 2] for place in range(grus)]
        )
        with torch.no_grad():
            for gru in self.grus:
                gru.get_parameter("front.embedding.weight").mul_(_SPREAD)

    def begin_from(self, train: Batches) -> None:
        """What training rows tell before any is learnt from."""
        self.evidence.begin_from(train)

    def members(self, table: Tensor) -> Tensor:
        """Tokens (N, L) -> (N, members, outputs)."""
        share = self.words if self.training else 0.0
        each = (self.evidence, self.bag, *self.grus)
        return torch.stack([one(left_out(table, share, self.pad)) for one in each], 1)

    def stages(self) -> list[list[str]]:
        return [["evidence", "bag", "grus"]]


def left_out(tokens: Tensor, share: float, pad: int) -> Tensor:
    """Tokens with a share of them, drawn at random, as if they were filling."""
    if not share:
        return tokens
    return tokens.masked_fill(torch.rand(tokens.shape, device=tokens.device) < share, pad)


def bag(
    facts: TextFacts,
    task: Task,
    generator: torch.Generator,
    *,
    width: int = 64,
    buckets: int | None = None,
    dropout: float = 0.5,
    words: float = 0.1,
) -> Bag:
    """A linear model over vectors of words and pairs. buckets: of the pairs, by
    the number of texts when None; 0 for words alone. words: left out."""
    facts = text_facts(facts, "bag")
    _check(task, width, words)
    buckets = _buckets(facts.rows) if buckets is None else buckets
    return Bag(facts, task.outputs, generator, width=width, buckets=buckets, dropout=dropout, words=words)


def bag_gru(
    facts: TextFacts,
    task: Task,
    generator: torch.Generator,
    *,
    members: int = 3,
    width: int = 96,
    dropout: float = 0.5,
    words: float = 0.1,
) -> BagGru:
    """Naive Bayes, a bag, and as many GRUs as make `members`. words: share that is left out in training."""
    facts = text_facts(facts, "bag-gru")
    _check(task, width, words)
    if members < 3:
        raise GliaError("members of bag-gru", got=members, expected="3 or more", hint="model='bag' or model='gru'")
    return BagGru(facts, task, generator, grus=members - 2, width=width, dropout=dropout, words=words)


def _buckets(rows: int) -> int:
    """A power of two."""
    return min(max(1 << (8 * max(rows, 1) - 1).bit_length(), BUCKETS[0]), BUCKETS[1])


def _check(task: Task, width: int, words: float) -> None:
    if task.kind not in ("classify", "multilabel", "regress"):
        raise GliaError("a bag of words answers for a whole text", got=f"task {task.kind}", hint="model='gru' or 'gpt'")
    if width < 2 or not 0 <= words < 1:
        raise GliaError("size of a bag of words", got=f"width {width}, words {words}", expected="2 or more, 0 to 1")
