"""BERT: an encoder that reads a text both ways, for questions about the whole text.

Devlin et al. 2018, arXiv 1810.04805; the small sizes: Turc et al. 2019, arXiv 1908.08962. Names are Hugging Face's.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.data.facts import TextFacts
from glia.data.task import Task
from glia.errors import GliaError, unknown
from glia.models.keys import Rename
from glia.models.transformer import text_facts
from glia.nn.attention import attend, check_heads, merge_heads, padding_mask, split_heads
from glia.nn.positions import PositionEmbedding

EPS = 1e-12  # of the norms, as published


class _Embeddings(nn.Module):
    """Word, place and sentence (always the first), summed and normed."""

    def __init__(self, vocabulary: int, width: int, positions: int, dropout: float):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, width)
        self.position_embeddings = PositionEmbedding(positions, width)
        self.token_type_embeddings = nn.Embedding(2, width)
        self.LayerNorm = nn.LayerNorm(width, EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.word_embeddings(tokens) + self.token_type_embeddings.weight[0]
        return self.dropout(self.LayerNorm(x + self.position_embeddings(tokens.shape[1])))


class SelfAttention(nn.Module):
    """Queries, keys and values, without the map of the outputs. (N, L, width) -> (N, L, width)."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        check_heads(width, heads)
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = (split_heads(project(x), self.heads) for project in (self.query, self.key, self.value))
        return merge_heads(attend(q, k, v, mask=mask, dropout=self.dropout if self.training else 0.0))


class _Output(nn.Module):
    """The end of a residual branch: norm(dropout(dense(x)) + shortcut)."""

    def __init__(self, inputs: int, width: int, dropout: float):
        super().__init__()
        self.dense = nn.Linear(inputs, width)
        self.LayerNorm = nn.LayerNorm(width, EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(x)) + shortcut)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.self = SelfAttention(width, heads, dropout)
        self.output = _Output(width, width, dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.output(self.self(x, mask), x)


class Dense(nn.Module):
    """A linear map of the name that published weights have."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.dense = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x)


class Layer(nn.Module):
    """Attention and a feed-forward part with GELU, a norm after each sum. (N, L, width) -> (N, L, width)."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float):
        super().__init__()
        self.attention = _Attention(width, heads, dropout)
        self.intermediate = Dense(width, inner)
        self.output = _Output(inner, width, dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.attention(x, mask)
        return self.output(F.gelu(self.intermediate(x)), x)


class _Encoder(nn.Module):
    def __init__(self, layers: list[Layer]):
        super().__init__()
        self.layer = nn.ModuleList(layers)


class _Transform(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.LayerNorm = nn.LayerNorm(width, EPS)

    def forward(self, x: Tensor) -> Tensor:
        return self.LayerNorm(F.gelu(self.dense(x)))


class _Predictions(nn.Module):
    """Which token was masked: its logits come from the embeddings' own matrix (tied) and a bias."""

    def __init__(self, width: int, vocabulary: int):
        super().__init__()
        self.transform = _Transform(width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, x: Tensor, embeddings: Tensor) -> Tensor:
        return F.linear(self.transform(x), embeddings, self.bias)


class _Cls(nn.Module):
    def __init__(self, width: int, vocabulary: int):
        super().__init__()
        self.predictions = _Predictions(width, vocabulary)


class Bert(nn.Module):
    """The body: tokens (N, L), at most `positions` -> a vector for each, (N, L, width). Tokens `pad` are not looked at.

    inner: width of the feed-forward part, 4 * width when None.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {
        "huggingface": (
            Rename(r"^bert\.", ""),
            Rename(r"LayerNorm\.gamma$", "LayerNorm.weight"),  # in the oldest files
            Rename(r"LayerNorm\.beta$", "LayerNorm.bias"),
            Rename(r"^cls\.predictions\.decoder\.weight$", "embeddings.word_embeddings.weight"),  # the same, tied
            Rename(r"^cls\.predictions\.decoder\.bias$", "cls.predictions.bias"),
        )
    }

    def __init__(
        self,
        vocabulary: int,
        width: int,
        layers: int,
        heads: int,
        *,
        inner: int | None = None,
        positions: int = 512,
        dropout: float = 0.1,
        pad: int = 0,
    ):
        super().__init__()
        self.pad = pad
        self.embeddings = _Embeddings(vocabulary, width, positions, dropout)
        self.encoder = _Encoder([Layer(width, heads, inner or 4 * width, dropout) for _ in range(layers)])

    def hidden(self, tokens: Tensor) -> Tensor:
        """(N, L) -> (N, L, width)."""
        mask = padding_mask(tokens, self.pad)
        x = self.embeddings(tokens)
        for layer in self.encoder.layer:
            x = layer(x, mask)
        return x

    def forward(self, tokens: Tensor) -> Tensor:
        return self.hidden(tokens)

    def stages(self) -> list[list[str]]:
        layers = [[f"encoder.layer.{number}"] for number in range(len(self.encoder.layer))]
        kept = {name.partition(".")[0] for name, _ in self.named_parameters()} - {"embeddings", "encoder"}
        head = [name for name, _ in self.named_children() if name in kept]
        return [["embeddings"], *layers, *([head] if head else [])]


class PooledBert(Bert):
    """Tokens (N, L) -> (N, outputs): a dense layer and tanh on the first token's vector, dropout, a linear layer.

    With outputs 0 the pooled vector (N, width) itself.
    """

    def __init__(self, outputs: int, vocabulary: int, width: int, *sizes: int, dropout: float = 0.1, **options: Any):
        super().__init__(vocabulary, width, *sizes, dropout=dropout, **options)
        self.pooler = Dense(width, width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, outputs) if outputs else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        return self.classifier(self.dropout(torch.tanh(self.pooler(self.hidden(tokens)[:, 0]))))


class MaskedBert(Bert):
    """Tokens (N, L), some of them masked -> logits (N, L, vocabulary) of those that stood there, for pretraining."""

    def __init__(self, vocabulary: int, width: int, *sizes: int, **options: Any):
        super().__init__(vocabulary, width, *sizes, **options)
        self.cls = _Cls(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.cls.predictions(self.hidden(tokens), self.embeddings.word_embeddings.weight)


def bert(
    facts: TextFacts,
    task: Task,
    generator: torch.Generator,
    *,
    width: int = 128,
    layers: int = 2,
    heads: int | None = None,
    inner: int | None = None,
    dropout: float = 0.1,
    positions: int | None = None,
    head: Literal["pooled", "masked"] = "pooled",
) -> Bert:
    """BERT for these texts.

    heads: one for each 64 of the width when None. inner: of the feed-forward part, 4 * width when None. positions: the
    most tokens of a row, facts.length when None. Matrices begin with N(0, 0.02^2), cut off at twice that, as published.
    """
    facts = text_facts(facts, "bert")
    if task.kind == "language" and head == "pooled":
        raise GliaError(
            "bert reads both ways: it would see the next token",
            got="task language",
            hint="model='gpt', or head='masked'",
        )
    if positions is not None and facts.length > positions:
        raise GliaError("texts longer than bert's positions", got=facts.length, expected=f"at most {positions}")
    if head not in ("pooled", "masked"):
        raise unknown("head of bert", head, ("pooled", "masked"))
    sizes = facts.vocabulary, width, layers, heads or max(width // 64, 1)
    options: dict[str, Any] = {
        "inner": inner,
        "positions": positions or facts.length,
        "dropout": dropout,
        "pad": facts.pad,
    }
    net = MaskedBert(*sizes, **options) if head == "masked" else PooledBert(task.outputs, *sizes, **options)
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, nn.Linear | nn.Embedding):
                nn.init.trunc_normal_(part.weight, std=0.02, a=-0.04, b=0.04, generator=generator)
            if isinstance(part, nn.Linear):
                nn.init.zeros_(part.bias)
    return net
