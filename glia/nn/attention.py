"""Attention: every place looks at all others (or at those before it) and takes a mean of what they hold.

Vaswani et al. 2017, "Attention is all you need" (arXiv 1706.03762), section 3.2. Families whose published weights have
names of their own hold their own linear maps and call `attend`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.errors import GliaError
from glia.nn.positions import Rotary
from glia.nn.precision import by_onednn

SPELLED_OUT = 512  # keys up to which half precision on a CPU takes two products


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    dropout: float = 0.0,
    scale: float | None = None,
) -> Tensor:
    """softmax(q k' * scale + mask) v, equation 1. q (N, H, L, d), k and v (N, H, S, d) -> (N, H, L, d).

    mask: of a shape that broadcasts to (N, H, L, S); bool, True where one may look, or float, added to the scores.
    causal: query i sees the keys up to place S - L + i: the queries are the last L of S places, as with a `Cache`.
    dropout: share of the weights that is dropped. scale: 1 / sqrt(d) when None.
    """
    queries, keys = q.shape[-2], k.shape[-2]
    spelled = _spelled_out(q, keys)
    if causal and queries > 1:  # a single query is the last place, and sees all
        if mask is None and queries == keys and not spelled:
            return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True, scale=scale)
        seen = torch.ones(queries, keys, dtype=torch.bool, device=q.device).tril(keys - queries)
        if mask is None:
            mask = seen
        else:
            mask = mask & seen if mask.dtype == torch.bool else mask.masked_fill(~seen, float("-inf"))
    if spelled:
        return _two_products(q, k, v, mask, dropout, q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.to(q.dtype)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale)


def _spelled_out(q: Tensor, keys: int) -> bool:
    """Are two plain products faster than torch's one kernel?

    On CPUs that kernel's way back is slow in bfloat16 (by 4 at 128 places, by 2 at 512), and slow in float32 where the
    small products go to oneDNN (by 5 at 128 places). The scores take N H L S numbers: beyond this many places the
    kernel, which never holds them all, is the better one again.
    """
    if q.device.type != "cpu" or torch.compiler.is_compiling():  # a compiler does as it likes, and cannot ask
        return False
    cast = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    if q.dtype == torch.bfloat16 or (cast and q.dtype == torch.float32):
        return keys <= SPELLED_OUT
    return by_onednn() and keys <= SPELLED_OUT // 2


def _two_products(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float, scale: float) -> Tensor:
    """softmax(q k' * scale + mask) v as two batched products, in the number format that autocast asks for."""
    if torch.is_autocast_enabled("cpu"):
        q, k, v = (given.to(torch.bfloat16) for given in (q, k, v))
    heads, queries, keys = q.shape[:2], q.shape[-2], k.shape[-2]
    with torch.autocast("cpu", enabled=False):  # which would take the softmax in float32: twice the time at 512 places
        if mask is None:
            bias = q.new_zeros(())
        elif mask.dtype == torch.bool:
            bias = torch.zeros_like(mask, dtype=q.dtype).masked_fill_(~mask, float("-inf"))
        else:
            bias = mask.to(q.dtype)
        bias = bias.expand(*heads, queries, keys) if bias.ndim > 2 else bias.expand(queries, keys)
        bias = bias.flatten(0, 1) if bias.ndim > 2 else bias
        scores = torch.baddbmm(bias, q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2), alpha=scale)
        weights = F.dropout(scores.softmax(-1), dropout) if dropout else scores.softmax(-1)
        return torch.bmm(weights, v.flatten(0, 1)).unflatten(0, heads)


def padding_mask(tokens: Tensor, pad: int) -> Tensor:
    """Where one may look: tokens (N, L) -> bool (N, 1, 1, L), False at `pad`.

    A row of nothing but `pad` may look everywhere, since a softmax over no place at all is not a number.
    """
    seen = tokens != pad
    return (seen | ~seen.any(1, keepdim=True))[:, None, None, :]


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(N, L, H * d) -> (N, H, L, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(N, H, L, d) -> (N, L, H * d)."""
    return x.transpose(1, 2).flatten(2)


def check_heads(width: int, heads: int, model: str = "attention") -> None:
    """Raises a GliaError when `heads` do not divide `width`."""
    if width % heads:
        raise GliaError(f"heads of {model}", got=heads, expected=f"a divisor of the width {width}")


class Cache:
    """Keys and values (N, H, S, d) that one attention layer has worked out so far, so that no place is read twice."""

    def __init__(self) -> None:
        self.held: tuple[Tensor, Tensor] | None = None

    @property
    def length(self) -> int:
        """Places held."""
        return 0 if self.held is None else self.held[0].shape[-2]

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Adds those of the next places, and gives all."""
        if self.held is not None:
            k, v = torch.cat((self.held[0], k), -2), torch.cat((self.held[1], v), -2)
        self.held = k, v
        return self.held


class Attention(nn.Module):
    """Multi-head attention with four linear maps, section 3.2.2. (N, L, width) -> (N, L, width).

    Without a context every place looks at its own sequence; a context (N, S, width) is looked at instead (cross
    attention). mask, causal: as in `attend`. cache: self attention takes x for the places that follow those held;
    cross attention reads its context on the first call only. rotary: queries and keys are turned by their place
    (Su et al. 2021), in self attention only.
    """

    def __init__(self, width: int, heads: int, *, bias: bool = True, dropout: float = 0.0, rotary: bool = False):
        super().__init__()
        check_heads(width, heads)
        self.heads, self.dropout = heads, dropout
        self.q_proj = nn.Linear(width, width, bias)
        self.k_proj = nn.Linear(width, width, bias)
        self.v_proj = nn.Linear(width, width, bias)
        self.out_proj = nn.Linear(width, width, bias)
        self.rotary = Rotary(width // heads) if rotary else None

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        cache: Cache | None = None,
    ) -> Tensor:
        q = split_heads(self.q_proj(x), self.heads)
        if context is not None and cache is not None and cache.held is not None:
            k, v = cache.held
        else:
            source = x if context is None else context
            k, v = (split_heads(project(source), self.heads) for project in (self.k_proj, self.v_proj))
            if self.rotary is not None and context is None:
                start = cache.length if cache is not None else 0
                q, k = self.rotary(q, start), self.rotary(k, start)
            if cache is not None:
                k, v = cache.extend(k, v)
        dropout = self.dropout if self.training else 0.0
        return self.out_proj(merge_heads(attend(q, k, v, mask=mask, causal=causal, dropout=dropout)))

    def weights(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """How much each place of x (N, L, width) looks at each of the context (N, S, width): (N, H, L, S), for people.

        mask: bool, as in `attend`. The sum over S is 1.
        """
        q, k = split_heads(self.q_proj(x), self.heads), split_heads(self.k_proj(context), self.heads)
        scores = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
        return (scores if mask is None else scores.masked_fill(~mask, float("-inf"))).softmax(-1)
