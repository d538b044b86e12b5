"""Encoder and decoder with attention: a text in, another text out, each token after a look at the whole source.

Bahdanau, Cho, Bengio 2015, "Neural machine translation by jointly learning to align and translate" (arXiv 1409.0473).
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from glia.data.facts import Facts, PairFacts, TextFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.keys import Rename
from glia.nn.init import initialise
from glia.nn.lengths import lengths_of_tokens, mask, run_packed


class Memory(NamedTuple):
    """What the decoder may look at: the encoder's states h (N, S, 2 width), U_a h (N, S, width), where there is one."""

    states: Tensor
    keys: Tensor
    there: Tensor


class AdditiveAttention(nn.Module):
    """Weights and their mean of the states: softmax over j of v . tanh(W s + U h_j), the paper's section A.1.2.

    state s (N, width), memory of S places -> context (N, 2 width), weights (N, S), 0 where the source is padding.
    """

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(2 * width, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)

    def remember(self, states: Tensor, there: Tensor) -> Memory:
        """The keys are the same at every step of the decoder."""
        return Memory(states, self.key(states), there)

    def forward(self, state: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        score = self.score(torch.tanh(self.query(state)[:, None] + memory.keys)).squeeze(2).float()
        weights = score.masked_fill(~memory.there, torch.finfo(score.dtype).min).softmax(1)
        weights = weights * memory.there  # a source of nothing gives a context of 0
        return (weights.to(memory.states.dtype)[..., None] * memory.states).sum(1), weights


class Seq2Seq(nn.Module):
    """(source (N, S), target (N, L)) -> logits (N, L, vocabulary): those at place i are for token i + 1 of the target.

    The target begins with a token that says so; in training it is the truth (teacher forcing). To write a text,
    `encode` the source and give `step` one token after the other. Padding of the source is never seen.

    Differs from the paper: torch's GRU, whose reset gate comes after the recurrent matrix, and which has biases as the
    attention's query and the output layers have; the output sees the state s_i (equation 4), not s_(i-1) (A.2.2);
    dropout, on vectors of tokens and before the output; Glorot weights.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {}

    def __init__(self, vocabulary: int, pad: int, outputs: int, *, width: int, embedding: int, dropout: float):
        super().__init__()
        self.pad = pad
        self.source = nn.Embedding(vocabulary, embedding, padding_idx=pad)
        self.encoder = nn.GRU(embedding, width, batch_first=True, bidirectional=True)
        self.begin = nn.Linear(width, width)
        self.target = nn.Embedding(outputs, embedding)
        self.attention = AdditiveAttention(width)
        self.decoder = nn.GRU(embedding + 2 * width, width, batch_first=True)
        self.maxout = nn.Linear(width + embedding + 2 * width, 2 * embedding)
        self.head = nn.Linear(embedding, outputs)
        self.drop = nn.Dropout(dropout)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self._decode(source, target)[0]

    def weights(self, source: Tensor, target: Tensor) -> Tensor:
        """(N, L, S): how much each step of the target looks at each place of the source; the sum of a row is 1."""
        return self._decode(source, target)[1]

    def encode(self, source: Tensor) -> tuple[Memory, Tensor]:
        """(N, S) -> the memory, and the decoder's first state s_0 = tanh(W_s h_1) (N, width), h_1 read backwards."""
        lengths = lengths_of_tokens(source, self.pad)
        states, _ = run_packed(self.encoder, self.drop(self.source(source)), lengths)
        backwards = states[:, 0].chunk(2, 1)[1]
        memory = self.attention.remember(states, mask(lengths, source.shape[1]))
        return memory, torch.tanh(self.begin(backwards))

    def step(self, token: Tensor, state: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Tensor]:
        """The token before (N,) and the state -> logits of the next (N, vocabulary), state, attention (N, S)."""
        vector = self.target(token)
        state, context, weights = self._turn(vector, state, memory)
        return self._told(vector, state, context), state, weights

    def _turn(self, vector: Tensor, state: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Tensor]:
        context, weights = self.attention(state, memory)
        given = torch.cat((vector, context.to(vector.dtype)), 1)
        _, after = self.decoder(given[:, None], state[None].to(vector.dtype))
        return after[0], context, weights

    def _told(self, vector: Tensor, state: Tensor, context: Tensor) -> Tensor:
        """Maxout over pairs, then the linear map, for one place (N, ...) or all (N, L, ...)."""
        pairs = self.maxout(torch.cat((state, vector, context.to(vector.dtype)), -1)).unflatten(-1, (-1, 2))
        return self.head(self.drop(pairs.amax(-1)))

    def _decode(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        memory, state = self.encode(source)
        vectors = self.drop(self.target(target))
        turns = []
        for vector in vectors.unbind(1):
            turn = self._turn(vector, state, memory)
            state = turn[0]
            turns.append(turn)
        states, contexts, weights = (torch.stack(parts, 1) for parts in zip(*turns))
        return self._told(vectors, states, contexts), weights

    def stages(self) -> list[list[str]]:
        return [["source"], ["encoder"], ["begin", "target", "attention", "decoder"], ["maxout", "head"]]


def seq2seq(
    facts: Facts,
    task: Task,
    generator: torch.Generator,
    *,
    width: int = 256,
    embedding: int = 128,
    dropout: float = 0.0,
) -> Seq2Seq:
    """GRUs of `width` units (the encoder's in both directions), tokens as vectors of `embedding` numbers.

    The paper's network is that of width 1000 and embedding 620. Source and target have one `pad`; the source's
    vocabulary is the facts', the target's that of the pairs, or the task's (kind "language").
    """
    if not isinstance(facts, TextFacts):
        raise GliaError("seq2seq takes texts", got=f"{facts.kind} data")
    if task.kind not in ("language", "translate"):
        raise GliaError(
            "seq2seq writes texts", got=f"the task {task.kind!r}", expected="'language'", hint="model='gru'"
        )
    if width < 1 or embedding < 1:
        raise GliaError("size of seq2seq", got=f"width {width}, embedding {embedding}", expected="1 or more of each")
    outputs = facts.targets if isinstance(facts, PairFacts) else task.outputs
    net = Seq2Seq(facts.vocabulary, facts.pad, outputs, width=width, embedding=embedding, dropout=dropout)
    initialise(net, "linear", generator)
    return net
