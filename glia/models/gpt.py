"""GPT-2: a decoder that reads from left to right and tells the next token at every place.

Radford et al. 2019, "Language models are unsupervised multitask learners". Names are Hugging Face's.
"""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.data.facts import TextFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.keys import Rename
from glia.models.transformer import text_facts
from glia.nn.attention import Cache, attend, check_heads, merge_heads, split_heads
from glia.nn.positions import PositionEmbedding


class _Attention(nn.Module):
    """Causal self attention; one matrix makes queries, keys and values."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        check_heads(width, heads, "gpt")
        self.heads, self.dropout = heads, dropout
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, cache: Cache | None) -> Tensor:
        q, k, v = (split_heads(part, self.heads) for part in self.c_attn(x).chunk(3, -1))
        if cache is not None:
            k, v = cache.extend(k, v)
        dropout = self.dropout if self.training else 0.0
        return self.c_proj(merge_heads(attend(q, k, v, causal=True, dropout=dropout)))


class _MLP(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    """Attention and a feed-forward part, a norm before each. (N, L, width) -> (N, L, width)."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(width), _Attention(width, heads, dropout)
        self.ln_2, self.mlp = nn.LayerNorm(width), _MLP(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        x = x + self.drop(self.attn(self.ln_1(x), cache))
        return x + self.drop(self.mlp(self.ln_2(x)))


class GPT2(nn.Module):
    """Tokens (N, L), at most `positions` -> logits of the next token at every place (N, L, vocabulary), with the
    embeddings' own matrix (tied). With outputs > 0 instead (N, outputs) from the last token that is not `pad`.

    A place sees those before it only, so pads at the end of a row change nothing before them.
    `step` goes on from a cache. Dropout stands on the embeddings, the attention's weights and each branch's end.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {
        "huggingface": (
            Rename(r"^transformer\.", ""),
            Rename(r"^lm_head\.weight$", "wte.weight"),  # the same, tied
            Rename(r"^(h\.\d+\.(?:attn|mlp)\.c_\w+\.weight)$", r"\1", transpose=True),
        )
    }

    def __init__(
        self,
        vocabulary: int,
        width: int,
        layers: int,
        heads: int,
        *,
        positions: int = 1024,
        outputs: int = 0,
        dropout: float = 0.1,
        pad: int = 0,
    ):
        super().__init__()
        self.pad = pad
        self.wte = nn.Embedding(vocabulary, width)
        self.wpe = PositionEmbedding(positions, width)
        self.drop = nn.Dropout(dropout)
        self.h = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        self.score = nn.Linear(width, outputs, bias=False) if outputs else None

    def hidden(self, tokens: Tensor, cache: list[Cache] | None = None) -> Tensor:
        """(N, L) -> (N, L, width): a vector for every token, those of the cache being before it."""
        start = cache[0].length if cache else 0
        x = self.drop(self.wte(tokens) + self.wpe(tokens.shape[1], start))
        for number, block in enumerate(self.h):
            x = block(x, cache[number] if cache else None)
        return self.ln_f(x)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.hidden(tokens)
        if self.score is None:
            return F.linear(x, self.wte.weight)
        last = ((tokens != self.pad).sum(1) - 1).clamp_min(0)
        # Its shape, not its length: that would be a fixed number in an exported graph.
        return self.score(x[torch.arange(x.shape[0], device=x.device), last])

    def step(self, tokens: Tensor, cache: list[Cache]) -> Tensor:
        """Logits (N, L, vocabulary) of the next L tokens, after those that the cache holds; it then holds these too.

        Raises a GliaError when all of them are more than the positions.
        """
        return F.linear(self.hidden(tokens, cache), self.wte.weight)

    def new_cache(self) -> list[Cache]:
        """Empty: what each layer will hold."""
        return [Cache() for _ in self.h]

    def stages(self) -> list[list[str]]:
        *layers, last = [[f"h.{number}"] for number in range(len(self.h))]
        end = [last, ["ln_f"]] if self.score is None else [[*last, "ln_f"], ["score"]]
        return [["wte", "wpe"], *layers, *end]


def gpt(
    facts: TextFacts,
    task: Task,
    generator: torch.Generator,
    *,
    width: int = 128,
    layers: int = 4,
    heads: int = 4,
    dropout: float = 0.0,
    positions: int | None = None,
) -> GPT2:
    """GPT-2 for these texts: the next token for task language, otherwise an answer from the last token.

    positions: the most tokens of a row, facts.length when None. Matrices begin with N(0, 0.02^2), the last one of each
    residual branch with 1 / sqrt(2 layers) of that (section 2.3 of the paper).
    """
    facts = text_facts(facts, "gpt")
    if positions is not None and facts.length > positions:
        raise GliaError("texts longer than gpt's positions", got=facts.length, expected=f"at most {positions}")
    net = GPT2(
        facts.vocabulary, width, layers, heads, positions=positions or facts.length,
        outputs=0 if task.kind == "language" else task.outputs, dropout=dropout, pad=facts.pad,
    )  # fmt: skip
    with torch.no_grad():
        for name, part in net.named_modules():
            if isinstance(part, nn.Linear | nn.Embedding):
                std = 0.02 / math.sqrt(2 * layers) if name.endswith("c_proj") else 0.02
                part.weight.normal_(0.0, std, generator=generator)
            if isinstance(part, nn.Linear) and part.bias is not None:
                nn.init.zeros_(part.bias)
    return net
