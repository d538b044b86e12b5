"""Vision transformer: a picture is a text whose words are patches of 16 x 16 pixels.

Dosovitskiy et al. 2021, "An image is worth 16x16 words" (arXiv 2010.11929). Names are those of Hugging Face's files.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.bert import Dense, SelfAttention
from glia.models.keys import Rename
from glia.models.normalise import Pictures, image_facts
from glia.nn.stochastic_depth import StochasticDepth, rising

EPS = 1e-12  # of the norms, as in Hugging Face's files; the paper's program has 1e-6


class _Patches(nn.Module):
    """(N, C, H, W) -> (N, patches, width): one linear map of each patch. Zeros fill up what is not a whole patch."""

    def __init__(self, channels: int, width: int, patch: int):
        super().__init__()
        self.patch = patch
        self.projection = nn.Conv2d(channels, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        if height % self.patch or width % self.patch:
            x = F.pad(x, (0, -width % self.patch, 0, -height % self.patch))
        return self.projection(x).flatten(2).transpose(1, 2)


class _Embeddings(nn.Module):
    """A learned token before the patches; a learned vector is added at each place."""

    def __init__(self, channels: int, size: tuple[int, int], width: int, patch: int, dropout: float):
        super().__init__()
        self.size = size
        places = 1 + -(-size[0] // patch) * -(-size[1] // patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embeddings = nn.Parameter(torch.zeros(1, places, width))
        self.patch_embeddings = _Patches(channels, width, patch)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[2:]) != self.size:
            got, expected = ("{} x {}".format(*size) for size in (x.shape[2:], self.size))
            raise GliaError("pictures of another size than this vision transformer's", got=got, expected=expected)
        x = self.patch_embeddings(x)
        x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1).to(x.dtype), x), 1)
        return self.dropout(x + self.position_embeddings)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.attention, self.output = SelfAttention(width, heads, dropout), Dense(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.attention(x))


class Layer(nn.Module):
    """Attention and a feed-forward part with GELU, a norm before each (equations 2, 3). (N, L, width) -> the same."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float, depth: float = 0.0):
        super().__init__()
        self.attention = _Attention(width, heads, dropout)
        self.intermediate, self.output = Dense(width, inner), Dense(inner, width)
        self.layernorm_before, self.layernorm_after = nn.LayerNorm(width, EPS), nn.LayerNorm(width, EPS)
        self.drop, self.depth = nn.Dropout(dropout), StochasticDepth(depth)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.depth(self.drop(self.attention(self.layernorm_before(x))))
        inner = self.drop(F.gelu(self.intermediate(self.layernorm_after(x))))
        return x + self.depth(self.drop(self.output(inner)))


class _Encoder(nn.Module):
    def __init__(self, layers: list[Layer]):
        super().__init__()
        self.layer = nn.ModuleList(layers)


class ViT(nn.Module):
    """Normalised pictures (N, channels, *size) -> (N, outputs), from the vector of the token before the patches.

    Differs from the paper: sides that are no multiple of the patch are filled up with zeros; dropout stands on the
    attention's weights too.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {
        "huggingface": (
            Rename(r"^vit\.", ""),
            # as the library itself names them from version 5 on; its files keep the names above
            Rename(r"^layers\.", "encoder.layer."),
            Rename(r"\.attention\.q_proj\.", ".attention.attention.query."),
            Rename(r"\.attention\.k_proj\.", ".attention.attention.key."),
            Rename(r"\.attention\.v_proj\.", ".attention.attention.value."),
            Rename(r"\.attention\.o_proj\.", ".attention.output.dense."),
            Rename(r"\.mlp\.fc1\.", ".intermediate.dense."),
            Rename(r"\.mlp\.fc2\.", ".output.dense."),
        )
    }

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        outputs: int,
        width: int,
        layers: int,
        heads: int,
        *,
        inner: int | None = None,
        patch: int = 16,
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
    ):
        super().__init__()
        self.embeddings = _Embeddings(channels, size, width, patch, dropout)
        depths = rising(stochastic_depth, layers)
        self.encoder = _Encoder([Layer(width, heads, inner or 4 * width, dropout, depth) for depth in depths])
        self.layernorm = nn.LayerNorm(width, EPS)
        self.classifier = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embeddings(x)
        for layer in self.encoder.layer:
            x = layer(x)
        return self.classifier(self.layernorm(x[:, 0]))

    def stages(self) -> list[list[str]]:
        *layers, last = [[f"encoder.layer.{number}"] for number in range(len(self.encoder.layer))]
        return [["embeddings"], *layers, [*last, "layernorm"], ["classifier"]]


def vit(
    facts: ImageFacts,
    task: Task,
    generator: torch.Generator,
    *,
    width: int = 192,
    layers: int = 12,
    heads: int = 3,
    inner: int | None = None,
    patch: int | None = None,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> Pictures:
    """A vision transformer for these pictures.

    patch: pixels a side; when None 16 for pictures of at least 128 pixels a side, 8 from 64 on, 4 for smaller ones.
    inner: of the feed-forward part, 4 * width when None. stochastic_depth: how often the last layer's branches are left
    out in training, those before it less. Matrices and places begin with N(0, 0.02^2), cut off at twice
    that, the head with zeros (section 3.2).
    """
    facts = image_facts(facts, "vit")
    side = min(facts.height, facts.width)
    patch = patch or (16 if side >= 128 else 8 if side >= 64 else 4)
    if side < patch:
        size = f"{facts.height} x {facts.width}"
        raise GliaError(
            "pictures too small for vit", got=size, expected=f"at least {patch} pixels a side", hint="patch=2"
        )
    net = ViT(
        facts.channels, (facts.height, facts.width), task.outputs, width, layers, heads,
        inner=inner, patch=patch, dropout=dropout, stochastic_depth=stochastic_depth,
    )  # fmt: skip
    places = (net.embeddings.cls_token, net.embeddings.position_embeddings)
    layered = [part for part in net.modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    with torch.no_grad():
        for weight in (*(part.weight for part in layered), *places):
            nn.init.trunc_normal_(weight, std=0.02, a=-0.04, b=0.04, generator=generator)
        for bias in (part.bias for part in layered if part.bias is not None):
            nn.init.zeros_(bias)
        nn.init.zeros_(net.classifier.weight)
    return Pictures(facts, net)
