"""T5: an encoder and a decoder that turn a text into a text, with distances instead of places.

Raffel et al. 2020, arXiv 1910.10683 (version 1.0). Names are Hugging Face's.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.data.facts import PairFacts, TextFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.keys import Rename
from glia.models.transformer import language_only, text_facts
from glia.nn.attention import Cache, attend, merge_heads, padding_mask, split_heads
from glia.nn.positions import relative_buckets

EPS, BUCKETS = 1e-6, 32


class _Attention(nn.Module):
    """Attention without biases and without scaling: the first weights are so small that none is needed.

    table: it holds the numbers that are added to the scores for each bucket of distances, for its whole stack.
    """

    def __init__(self, width: int, heads: int, key: int, dropout: float, table: bool = False):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.q, self.k, self.v = (nn.Linear(width, heads * key, bias=False) for _ in range(3))
        self.o = nn.Linear(heads * key, width, bias=False)
        if table:
            self.relative_attention_bias = nn.Embedding(BUCKETS, heads)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        mask: Tensor | None,
        causal: bool = False,
        cache: Cache | None = None,
    ) -> Tensor:
        q = split_heads(self.q(x), self.heads)
        if context is not None and cache is not None and cache.held is not None:
            k, v = cache.held
        else:
            source = x if context is None else context
            k, v = (split_heads(project(source), self.heads) for project in (self.k, self.v))
            if cache is not None:
                k, v = cache.extend(k, v)
        dropout = self.dropout if self.training else 0.0
        return self.o(merge_heads(attend(q, k, v, mask=mask, causal=causal, dropout=dropout, scale=1.0)))


class _SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int, key: int, dropout: float, table: bool):
        super().__init__()
        self.SelfAttention = _Attention(width, heads, key, dropout, table)
        self.layer_norm, self.drop = nn.RMSNorm(width, EPS), nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor, causal: bool, cache: Cache | None) -> Tensor:
        return x + self.drop(self.SelfAttention(self.layer_norm(x), mask=bias, causal=causal, cache=cache))


class _CrossAttention(nn.Module):
    def __init__(self, width: int, heads: int, key: int, dropout: float):
        super().__init__()
        self.EncDecAttention = _Attention(width, heads, key, dropout)
        self.layer_norm, self.drop = nn.RMSNorm(width, EPS), nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor, cache: Cache | None) -> Tensor:
        return x + self.drop(self.EncDecAttention(self.layer_norm(x), memory, mask=mask, cache=cache))


class _Dense(nn.Module):
    def __init__(self, width: int, inner: int, dropout: float):
        super().__init__()
        self.wi, self.wo = nn.Linear(width, inner, bias=False), nn.Linear(inner, width, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.wo(self.drop(torch.relu(self.wi(x))))


class _FeedForward(nn.Module):
    def __init__(self, width: int, inner: int, dropout: float):
        super().__init__()
        self.DenseReluDense = _Dense(width, inner, dropout)
        self.layer_norm, self.drop = nn.RMSNorm(width, EPS), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(self.DenseReluDense(self.layer_norm(x)))


class EncoderBlock(nn.Module):
    """Self attention and a feed-forward part, an RMS norm before each. bias (1 or N, H, S, S): of the attention."""

    def __init__(self, width: int, heads: int, key: int, inner: int, *, dropout: float, table: bool):
        super().__init__()
        attention = _SelfAttention(width, heads, key, dropout, table)
        self.layer = nn.ModuleList([attention, _FeedForward(width, inner, dropout)])

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        attention, feed_forward = self.layer
        return feed_forward(attention(x, bias, False, None))


class DecoderBlock(nn.Module):
    """Causal self attention, attention to the memory, a feed-forward part, an RMS norm before each.

    bias (1, H, L, S): of the self attention. cache: of the self attention and of the cross attention.
    """

    def __init__(self, width: int, heads: int, key: int, inner: int, *, dropout: float, table: bool):
        super().__init__()
        attention = _SelfAttention(width, heads, key, dropout, table)
        cross = _CrossAttention(width, heads, key, dropout)
        self.layer = nn.ModuleList([attention, cross, _FeedForward(width, inner, dropout)])

    def forward(
        self, x: Tensor, bias: Tensor, memory: Tensor, mask: Tensor, cache: tuple[Cache, Cache] | None = None
    ) -> Tensor:
        own, cross = cache or (None, None)
        attention, looks_back, feed_forward = self.layer
        return feed_forward(looks_back(attention(x, bias, True, own), memory, mask, cross))


class _Stack(nn.Module):
    def __init__(self, blocks: list[EncoderBlock] | list[DecoderBlock], width: int):
        super().__init__()
        self.block = nn.ModuleList(blocks)
        self.final_layer_norm = nn.RMSNorm(width, EPS)

    def bias(self, queries: int, keys: int, *, both_ways: bool) -> Tensor:
        """(1, H, queries, keys): what each head adds to the scores for a distance; the first block has the table."""
        table = self.get_submodule("block.0.layer.0.SelfAttention.relative_attention_bias")
        buckets = relative_buckets(
            queries, keys, both_ways=both_ways, buckets=BUCKETS, device=next(table.parameters()).device
        )
        return table(buckets).permute(2, 0, 1).unsqueeze(0)


class T5(nn.Module):
    """(source (N, S), target (N, L)) -> logits (N, L, vocabulary): those at place i are for token i + 1 of the target.

    The target begins with a token that means "begin": `pad` in the published weights. Rows are filled up with `pad` at
    the end: the source's are not looked at, and what stands at those of the target is of no use. Any length will do.
    One matrix embeds both texts and, after a division by sqrt(width), makes the logits.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {
        "huggingface": (Rename(r"^(encoder\.embed_tokens|decoder\.embed_tokens|lm_head)\.weight$", "shared.weight"),)
    }

    def __init__(
        self,
        vocabulary: int,
        width: int,
        layers: int,
        heads: int,
        inner: int,
        *,
        key: int = 64,
        dropout: float = 0.1,
        pad: int = 0,
    ):
        super().__init__()
        self.pad, self.scale = pad, width**-0.5
        self.shared = nn.Embedding(vocabulary, width)
        self.drop = nn.Dropout(dropout)

        sizes = width, heads, key, inner
        first = [number == 0 for number in range(layers)]
        self.encoder = _Stack([EncoderBlock(*sizes, dropout=dropout, table=table) for table in first], width)
        self.decoder = _Stack([DecoderBlock(*sizes, dropout=dropout, table=table) for table in first], width)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, self.encode(source), source)

    def encode(self, source: Tensor) -> Tensor:
        """(N, S) -> (N, S, width): the memory that the decoder looks at."""
        length = source.shape[1]
        bias = self.encoder.bias(length, length, both_ways=True)
        bias = bias.masked_fill(~padding_mask(source, self.pad), float("-inf"))
        x = self.drop(self.shared(source))
        for block in self.encoder.block:
            x = block(x, bias)
        return self.drop(self.encoder.final_layer_norm(x))

    def decode(
        self, target: Tensor, memory: Tensor, source: Tensor, cache: list[tuple[Cache, Cache]] | None = None
    ) -> Tensor:
        """Logits of the target's places. With a cache (see `new_cache`) the target is the tokens after those held."""
        length, mask = target.shape[1], padding_mask(source, self.pad)
        start = cache[0][0].length if cache else 0
        bias = self.decoder.bias(length, start + length, both_ways=False)
        x = self.drop(self.shared(target))
        for number, block in enumerate(self.decoder.block):
            x = block(x, bias, memory, mask, cache[number] if cache else None)
        x = self.drop(self.decoder.final_layer_norm(x))
        return F.linear(x * self.scale, self.shared.weight)

    def new_cache(self) -> list[tuple[Cache, Cache]]:
        """Empty: for each layer what its self attention and its cross attention will hold."""
        return [(Cache(), Cache()) for _ in self.decoder.block]

    def stages(self) -> list[list[str]]:
        def blocks(name: str, stack: _Stack) -> list[list[str]]:
            made = [[f"{name}.block.{number}"] for number in range(len(stack.block))]
            return [*made[:-1], [*made[-1], f"{name}.final_layer_norm"]]

        return [["shared"], *blocks("encoder", self.encoder), *blocks("decoder", self.decoder)]


def t5(
    facts: TextFacts,
    task: Task,
    generator: torch.Generator,
    *,
    width: int = 256,
    layers: int = 4,
    heads: int = 4,
    inner: int | None = None,
    key: int = 64,
    dropout: float = 0.1,
) -> T5:
    """T5 for source and target texts of one vocabulary. key: numbers a head. inner: of the feed-forward part, 4 * width
    when None.

    First weights as its authors' program (Mesh TensorFlow): normal, 1 / sqrt(inputs), queries 1 / sqrt(key) of that,
    which takes the place of the scaling in attention; embeddings N(0, 1).
    """
    facts = text_facts(facts, "t5")
    language_only(task, "t5")
    if isinstance(facts, PairFacts) and not facts.shared:
        raise GliaError("t5 has one vocabulary for both texts", hint="--tokenizer a tokenizer.json, or another model")
    inner = inner or 4 * width
    net = T5(facts.vocabulary, width, layers, heads, inner, key=key, dropout=dropout, pad=facts.pad)
    with torch.no_grad():
        for name, part in net.named_modules():
            last = name.rpartition(".")[2]
            if isinstance(part, nn.Linear):
                std = (width * key) ** -0.5 if last == "q" else part.in_features**-0.5
                part.weight.normal_(0.0, std, generator=generator)
            elif isinstance(part, nn.Embedding):
                part.weight.normal_(0.0, 1.0 if last == "shared" else width**-0.5, generator=generator)
    return net
