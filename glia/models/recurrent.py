"""Recurrent networks for texts, series and sounds: Elman's, LSTM and GRU, stacked, in one direction or both.

Elman 1990, "Finding structure in time"; Hochreiter, Schmidhuber 1997, "Long short-term memory", with the forget gate of
Gers et al. 2000; Cho et al. 2014, arXiv 1406.1078 (GRU); Schuster, Paliwal 1997 (both directions).
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from glia.data.facts import Facts, SeriesFacts, SoundFacts, TensorFacts, TextFacts
from glia.data.task import Task
from glia.errors import GliaError, unknown
from glia.models.keys import Rename
from glia.models.sound import Bands
from glia.nn.init import initialise
from glia.nn.lengths import lengths_of_series, lengths_of_tokens, mask, masked_max, masked_mean, run_packed

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
POOLINGS = ("last", "mean", "max", "attention")


class Tokens(nn.Module):
    """int64 (N, L) -> a vector a token (N, L, width) and the lengths (N,)."""

    def __init__(self, facts: TextFacts, width: int):
        super().__init__()
        self.pad, self.width = facts.pad, width
        self.embedding = nn.Embedding(facts.vocabulary, width, padding_idx=facts.pad)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.embedding(x), lengths_of_tokens(x, self.pad)


class Steps(nn.Module):
    """Floats (N, L, C), NaN past the end -> standardised by the facts' mean and std, with the lengths (N,).

    A gap inside a row counts as the mean of its channel. A channel that never varies is centred only.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, facts: SeriesFacts | TensorFacts):
        super().__init__()
        self.width = facts.shape[1]
        mean, std = (facts.mean, facts.std) if isinstance(facts, SeriesFacts) else ((0.0,), (1.0,))
        kept = [value if value > 1e-6 else 1.0 for value in std]
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(kept, dtype=torch.float32))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = (x.to(self.mean.dtype) - self.mean) / self.std
        return z.masked_fill(z.isnan(), 0.0), lengths_of_series(x)


class AttentionPool(nn.Module):
    """A mean whose weights are learnt: softmax of u . tanh(W h + b) over the places that are there.

    Yang et al. 2016, "Hierarchical attention networks for document classification", equations 5 to 7.
    (N, L, H), mask (N, L) -> (N, H); 0 where the row has nothing.
    """

    def __init__(self, width: int):
        super().__init__()
        self.project, self.score = nn.Linear(width, width), nn.Linear(width, 1, bias=False)

    def weights(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, L), the sum of a row is 1."""
        score = self.score(torch.tanh(self.project(x))).squeeze(2).float()
        return score.masked_fill(~mask, torch.finfo(score.dtype).min).softmax(1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return (self.weights(x, mask).to(x.dtype)[..., None] * x).sum(1)


class Recurrent(nn.Module):
    """Tokens (N, L), steps (N, L, C) or waves (N, samples) -> (N, outputs); every row as if it were alone.

    front: raw rows -> vectors (N, L, front.width) and lengths. pooling: what the head sees of the last layer: "last"
    (the state after each direction's last step), "mean", "max" or "attention" over the row's places, or None for every
    place by itself, (N, L, outputs). Dropout lies on the vectors of tokens, between the layers and before the head.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {}

    def __init__(
        self,
        front: Tokens | Steps | Bands,
        cell: str,
        outputs: int,
        *,
        width: int,
        depth: int,
        bidirectional: bool,
        dropout: float,
        pooling: str | None,
    ):
        super().__init__()
        self.front, self.pooling = front, pooling
        self.drop_in = nn.Dropout(dropout if isinstance(front, Tokens) else 0.0)
        between = dropout if depth > 1 else 0.0
        self.rnn = CELLS[cell](
            front.width, width, depth, batch_first=True, dropout=between, bidirectional=bidirectional
        )
        states = width * (2 if bidirectional else 1)
        self.pool = AttentionPool(states) if pooling == "attention" else None
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(states, outputs)

    def forward(self, x: Tensor) -> Tensor:
        vectors, lengths = self.front(x)
        outputs, last = run_packed(self.rnn, self.drop_in(vectors), lengths)  # (N, L, states), (N, states)
        if self.pooling is None:
            return self.head(self.drop(outputs))
        there = mask(lengths, vectors.shape[1])
        if self.pool is not None:
            pooled = self.pool(outputs, there)
        elif self.pooling == "mean":
            pooled = masked_mean(outputs, there)
        else:
            pooled = masked_max(outputs, there) if self.pooling == "max" else last
        return self.head(self.drop(pooled))

    endless: ClassVar[bool] = True  # it can read on, however much it has read

    def new_cache(self) -> list[Tensor | tuple[Tensor, Tensor]]:
        """Empty: the state after what was read."""
        return []

    def step(self, tokens: Tensor, cache: list[Tensor | tuple[Tensor, Tensor]]) -> Tensor:
        """Logits (N, L, vocabulary) of the next L tokens, after those that the cache has read; it then has these too.

        For the task language.
        """
        if self.pooling is not None or not isinstance(self.front, Tokens):
            raise GliaError("only a network for the task language reads on token by token")
        outputs, state = self.rnn(self.drop_in(self.front.embedding(tokens)), cache.pop() if cache else None)
        cache.append(state)
        return self.head(self.drop(outputs))

    def stages(self) -> list[list[str]]:
        """Vectors of tokens, each recurrent layer, the head with its pooling."""
        names = [name for name, _ in self.rnn.named_parameters()]
        layers = [
            [f"rnn.{name}" for name in names if name.removesuffix("_reverse").endswith(f"_l{layer}")]
            for layer in range(self.rnn.num_layers)
        ]
        front = [["front"]] if isinstance(self.front, Tokens) else []
        return [*front, *layers, ["pool", "head"] if self.pool is not None else ["head"]]


def recurrent(
    facts: Facts,
    task: Task,
    generator: torch.Generator,
    *,
    cell: Literal["rnn", "lstm", "gru"] = "gru",
    width: int = 128,
    depth: int = 1,
    bidirectional: bool = False,
    dropout: float = 0.0,
    pooling: Literal["auto", "last", "mean", "max", "attention"] = "auto",
) -> Recurrent:
    """`depth` layers of `width` units in each direction; tokens have vectors of `width` numbers.

    pooling "auto": "last" for numbers, "mean" for classes and labels. The task "language" gives logits at every place,
    (N, L, vocabulary), in one direction only. TensorFacts must be those of rows (L, C).
    """
    if cell not in CELLS:
        raise unknown("recurrent cell", cell, CELLS)
    if pooling not in ("auto", *POOLINGS):
        raise unknown(f"pooling of {cell}", pooling, ("auto", *POOLINGS))
    if width < 1 or depth < 1:
        raise GliaError(f"size of {cell}", got=f"width {width}, depth {depth}", expected="1 or more of each")
    how: str | None = ("last" if task.kind == "regress" else "mean") if pooling == "auto" else pooling
    if task.kind == "language":
        if bidirectional:
            raise GliaError(f"{cell} for the next token", got="bidirectional=True", expected="one direction")
        how = None
    net = Recurrent(
        _front(facts, cell, width), cell, task.outputs, width=width, depth=depth, bidirectional=bidirectional,
        dropout=dropout, pooling=how,
    )  # fmt: skip
    initialise(net, "linear", generator)
    return net


def _front(facts: Facts, cell: str, width: int) -> Tokens | Steps | Bands:
    if isinstance(facts, TextFacts):
        return Tokens(facts, width)
    if isinstance(facts, SoundFacts):
        return Bands(facts)
    if isinstance(facts, SeriesFacts) or (isinstance(facts, TensorFacts) and len(facts.shape) == 2):
        return Steps(facts)
    shape = f" of shape {facts.shape}" if isinstance(facts, TensorFacts) else ""
    raise GliaError(f"{cell} takes texts, series and sounds", got=f"{facts.kind} data{shape}", hint="model='mlp'")
