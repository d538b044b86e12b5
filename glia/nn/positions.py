"""Where a token stands: four ways to tell a network that would otherwise see a bag of tokens."""

import math

import torch
from torch import Tensor, nn

from glia.errors import GliaError


def check_length(length: int, positions: int) -> None:
    """Raises a GliaError when a sequence is longer than the table of positions."""
    if length > positions:
        raise GliaError("a sequence longer than the network's positions", got=length, expected=f"at most {positions}")


def sinusoidal(length: int, width: int) -> Tensor:
    """(length, width): sine and cosine by turns, sin(p / 10000^(2i / width)) and cos of the same.

    Vaswani et al. 2017, arXiv 1706.03762, section 3.5. An odd width ends in a sine.
    """
    place = torch.arange(length, dtype=torch.float64).unsqueeze(1)
    angle = place * torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10_000) / width))
    return torch.stack((angle.sin(), angle.cos()), -1).flatten(1)[:, :width].float()


class Sinusoidal(nn.Module):
    """Adds the sinusoids of its places to x: (N, L, width) -> (N, L, width). start: the place of the first."""

    table: Tensor

    def __init__(self, positions: int, width: int):
        super().__init__()
        self.register_buffer("table", sinusoidal(positions, width), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        end = start + x.shape[1]
        check_length(end, len(self.table))
        return x + self.table[start:end].to(x.dtype)


class PositionEmbedding(nn.Embedding):
    """A learned vector for each place: (length, start) -> (length, width), those of the places from `start` on."""

    def forward(self, length: int, start: int = 0) -> Tensor:  # type: ignore[override]  # places, not tokens
        check_length(start + length, self.num_embeddings)
        return self.weight[start : start + length]


class Rotary(nn.Module):
    """Turns each pair of numbers (i, i + d / 2) of place p by the angle p / base^(2i / d). (N, H, L, d) -> the same.

    The product of a turned query and a turned key depends on their distance only. Su et al. 2021, arXiv 2104.09864,
    equation 34. Differs from the paper, which pairs neighbours: halves are paired, as in Llama and its kin.
    """

    def __init__(self, width: int, base: float = 10_000.0):
        super().__init__()
        if width % 2:
            raise GliaError("rotary positions", got=f"{width} numbers a head", expected="an even number")
        self.width, self.base = width, base

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        pairs = torch.arange(0, self.width, 2, dtype=torch.float32, device=x.device)
        place = torch.arange(start, start + x.shape[-2], dtype=torch.float32, device=x.device)
        angle = torch.outer(place, self.base ** (-pairs / self.width))  # (L, d / 2)
        one, other = x.float().chunk(2, -1)
        sin, cos = angle.sin(), angle.cos()
        return torch.cat((one * cos - other * sin, other * cos + one * sin), -1).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.width}, base={self.base:g}"


def relative_buckets(
    queries: int,
    keys: int,
    *,
    both_ways: bool,
    buckets: int = 32,
    furthest: int = 128,
    device: torch.device | None = None,
) -> Tensor:
    """Number of the bucket that the distance from each query to each key falls in: int64 (queries, keys).

    The queries are the last of the keys' places. Half of the buckets hold one distance each, the others grow with the
    logarithm up to `furthest`, and the last takes all beyond. both_ways: half of all for keys that come later;
    otherwise those share the bucket of distance 0. Raffel et al. 2020, arXiv 1910.10683, section 2.1 (T5).
    """
    place = torch.arange(keys, device=device)
    distance = place[keys - queries :].unsqueeze(1) - place  # how far back the key lies
    later = torch.zeros_like(distance)
    if both_ways:
        buckets //= 2
        later = (distance < 0) * buckets
        distance = distance.abs()
    distance = distance.clamp_min(0)
    exact = buckets // 2
    share = torch.log(distance.clamp_min(1).float() / exact) / math.log(furthest / exact)
    far = (exact + (share * (buckets - exact)).long()).clamp_max(buckets - 1)
    return later + torch.where(distance < exact, distance, far)
