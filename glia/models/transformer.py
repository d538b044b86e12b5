"""The Transformer of 2017: an encoder reads a text, a decoder writes another.

Vaswani et al. 2017, "Attention is all you need" (arXiv 1706.03762).
"""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.data.facts import PairFacts, TextFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.keys import Rename
from glia.nn.attention import Attention, Cache, check_heads, padding_mask
from glia.nn.positions import Sinusoidal


def text_facts(facts: object, model: str) -> TextFacts:
    """`facts`, or a GliaError when they are not those of texts."""
    if isinstance(facts, TextFacts):
        return facts
    raise GliaError(f"{model} takes texts", got=f"{getattr(facts, 'kind', facts)} data")


def language_only(task: Task, model: str) -> None:
    """Raises a GliaError when the task is not to write texts."""
    if task.kind not in ("language", "translate"):
        raise GliaError(
            f"{model} writes texts", got=f"task {task.kind}", expected="task language", hint="model='bert-tiny'"
        )


class _FeedForward(nn.Module):
    """Section 3.3: max(0, x W1 + b1) W2 + b2."""

    def __init__(self, width: int, inner: int, dropout: float):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.drop(torch.relu(self.fc1(x))))


class EncoderLayer(nn.Module):
    """Self attention and a feed-forward part, a norm after each sum. (N, S, width) -> (N, S, width)."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float):
        super().__init__()
        self.self_attn = Attention(width, heads, dropout=dropout)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.feed_forward = _FeedForward(width, inner, dropout)
        self.final_layer_norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.self_attn_layer_norm(x + self.drop(self.self_attn(x, mask=mask)))
        return self.final_layer_norm(x + self.drop(self.feed_forward(x)))


class DecoderLayer(nn.Module):
    """Causal self attention, attention to what the encoder read, a feed-forward part. (N, L, width) -> the same.

    cache: of the self attention and of the cross attention.
    """

    def __init__(self, width: int, heads: int, inner: int, dropout: float):
        super().__init__()
        self.self_attn = Attention(width, heads, dropout=dropout)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.encoder_attn = Attention(width, heads, dropout=dropout)
        self.encoder_attn_layer_norm = nn.LayerNorm(width)
        self.feed_forward = _FeedForward(width, inner, dropout)
        self.final_layer_norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor, cache: tuple[Cache, Cache] | None = None) -> Tensor:
        own, cross = cache or (None, None)
        x = self.self_attn_layer_norm(x + self.drop(self.self_attn(x, causal=True, cache=own)))
        x = self.encoder_attn_layer_norm(x + self.drop(self.encoder_attn(x, memory, mask=mask, cache=cross)))
        return self.final_layer_norm(x + self.drop(self.feed_forward(x)))


class Transformer(nn.Module):
    """(source (N, S), target (N, L)) -> logits (N, L, vocabulary): those at place i are for token i + 1 of the target.

    The target begins with a token that means "begin". Pads are at the end of rows: those of the source are not looked
    at; what stands at those of the target is of no use.
    shared: one matrix embeds source and target and makes the logits (section 3.4); otherwise there are three, and
    `targets` may be another vocabulary for the target.
    As the paper: norms after the sums, sinusoidal positions, embeddings times sqrt(width). Differs: dropout on the
    attention's weights and between the feed-forward layers too (as the authors' own program has it), linear maps of the
    attention with biases (as torch's layers).
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {}

    def __init__(
        self,
        vocabulary: int,
        width: int,
        layers: int,
        heads: int,
        inner: int,
        *,
        positions: int,
        dropout: float = 0.1,
        shared: bool = True,
        pad: int = 0,
        targets: int | None = None,
    ):
        super().__init__()
        check_heads(width, heads, "the transformer")
        self.pad, self.scale = pad, math.sqrt(width)
        self.embed = nn.Embedding(vocabulary, width)
        self.embed_target = None if shared else nn.Embedding(targets or vocabulary, width)
        self.output = None if shared else nn.Linear(width, targets or vocabulary, bias=False)
        self.positions = Sinusoidal(positions, width)
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.ModuleList(EncoderLayer(width, heads, inner, dropout) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(width, heads, inner, dropout) for _ in range(layers))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, self.encode(source), source)

    def encode(self, source: Tensor) -> Tensor:
        """(N, S) -> (N, S, width): the memory that the decoder looks at."""
        mask = padding_mask(source, self.pad)
        x = self.drop(self.positions(self.embed(source) * self.scale))
        for layer in self.encoder:
            x = layer(x, mask)
        return x

    def decode(
        self, target: Tensor, memory: Tensor, source: Tensor, cache: list[tuple[Cache, Cache]] | None = None
    ) -> Tensor:
        """Logits of the target's places. With a cache (see `new_cache`) the target is the tokens after those held."""
        mask = padding_mask(source, self.pad)
        embed = self.embed if self.embed_target is None else self.embed_target
        start = cache[0][0].length if cache else 0
        x = self.drop(self.positions(embed(target) * self.scale, start))
        for number, layer in enumerate(self.decoder):
            x = layer(x, memory, mask, cache[number] if cache else None)
        return F.linear(x, self.embed.weight) if self.output is None else self.output(x)

    def weights(self, source: Tensor, target: Tensor) -> Tensor:
        """(N, L, S): how much each step of the target looks at each place of the source, in the last layer; the mean
        over its heads, so the sum of a row is 1."""
        seen: list[Tensor] = []
        attention: Attention = self.decoder[-1].encoder_attn  # type: ignore[assignment]
        hook = attention.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        memory = self.encode(source)
        try:
            self.decode(target, memory, source)
        finally:
            hook.remove()
        return attention.weights(seen[0], memory, padding_mask(source, self.pad)).mean(1)

    def new_cache(self) -> list[tuple[Cache, Cache]]:
        """Empty: for each layer what its self attention and its cross attention will hold."""
        return [(Cache(), Cache()) for _ in self.decoder]

    def stages(self) -> list[list[str]]:
        reads = [[f"encoder.{number}"] for number in range(len(self.encoder))]
        writes = [[f"decoder.{number}"] for number in range(len(self.decoder))]
        if self.output is None:
            return [["embed"], *reads, *writes]
        return [["embed", "embed_target"], *reads, *writes, ["output"]]


def transformer(
    facts: TextFacts,
    task: Task,
    generator: torch.Generator,
    *,
    width: int = 512,
    layers: int = 6,
    heads: int = 8,
    inner: int | None = None,
    dropout: float = 0.1,
    shared: bool = True,
    positions: int | None = None,
) -> Transformer:
    """The Transformer for source and target texts of one vocabulary.

    inner: width of the feed-forward part, 4 * width when None. positions: the most tokens of a row, facts.length when
    None. shared: only where source and target have one vocabulary. Linear maps begin with Glorot's uniform numbers,
    embeddings with N(0, 1 / width): times sqrt(width) that is 1.
    """
    facts = text_facts(facts, "transformer")
    language_only(task, "transformer")
    targets = facts.targets if isinstance(facts, PairFacts) else None
    shared = shared and (not isinstance(facts, PairFacts) or facts.shared)
    net = Transformer(
        facts.vocabulary, width, layers, heads, inner or 4 * width, targets=targets,
        positions=positions or facts.length, dropout=dropout, shared=shared, pad=facts.pad,
    )  # fmt: skip
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight, generator=generator)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
            elif isinstance(part, nn.Embedding):
                part.weight.normal_(0.0, width**-0.5, generator=generator)
    return net
