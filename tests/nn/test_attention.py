"""Attention: torch's own layer, the formula by hand, masks, and the cache."""

from collections.abc import Iterator
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from glia.errors import GliaError
from glia.nn.attention import Attention, Cache, attend, padding_mask

N, L, S, WIDTH, HEADS = 3, 5, 7, 12, 3


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pair(dropout: float = 0.0) -> tuple[Attention, nn.MultiheadAttention]:
    """Our layer, and torch's with the same weights."""
    torch.manual_seed(0)
    ours, theirs = Attention(WIDTH, HEADS, dropout=dropout), nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    projections = (ours.q_proj, ours.k_proj, ours.v_proj)
    for projection in (*projections, ours.out_proj):
        nn.init.normal_(projection.bias)
    joined = {
        "in_proj_weight": torch.cat([p.weight for p in projections]),
        "in_proj_bias": torch.cat([p.bias for p in projections]),
        "out_proj.weight": ours.out_proj.weight,
        "out_proj.bias": ours.out_proj.bias,
    }
    theirs.load_state_dict(joined)
    return ours, theirs


def test_self_cross_padded_and_causal_attention_are_torchs() -> None:
    ours, theirs = pair()
    x, context = normal(N, L, WIDTH), normal(N, S, WIDTH, seed=1)
    empty = torch.arange(S) >= torch.tensor([[7], [4], [1]])
    causal = torch.ones(L, L, dtype=torch.bool).triu(1)
    forms = [
        (ours(x), theirs(x, x, x)),
        (ours(x, context), theirs(x, context, context)),
        (ours(x, context, mask=~empty[:, None, None]), theirs(x, context, context, key_padding_mask=empty)),
        (ours(x, causal=True), theirs(x, x, x, attn_mask=causal)),
    ]
    for one, (other, _) in forms:
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.fixture(params=["autocast", "bfloat16", "onednn"])
def fast_on_cpus(request: pytest.FixtureRequest) -> Iterator[str]:
    """The ways in which attention is two products on a CPU."""
    matmul = torch.backends.mkldnn.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16" if request.param == "onednn" else before
    with torch.autocast("cpu", torch.bfloat16, enabled=request.param == "autocast"):
        yield request.param
    matmul.fp32_precision = before


@pytest.mark.parametrize(("mask", "causal"), [(None, True), (None, False), ("rows", False), ("bias", True)])
def test_two_products_are_torchs_kernel(fast_on_cpus: str, mask: str | None, causal: bool) -> None:
    length, (rows, heads) = 33, (2, 3)
    dtype = torch.bfloat16 if fast_on_cpus == "bfloat16" else torch.float32
    q, k, v = (normal(rows, heads, length, 8, seed=i).to(dtype).requires_grad_() for i in range(3))
    seen = {
        None: None,
        "rows": (torch.arange(length) < torch.tensor([[30], [5]]))[:, None, None],
        "bias": normal(1, heads, length, length),
    }[mask]
    with mock.patch("torch.nn.functional.scaled_dot_product_attention", side_effect=AssertionError):
        ours = attend(q, k, v, mask=seen, causal=causal)
    given = [x.detach().double().requires_grad_() for x in (q, k, v)]
    full = torch.ones(length, length, dtype=torch.bool).tril() if causal else None
    if mask == "bias":
        assert seen is not None
        full = seen.double().masked_fill(~torch.ones(length, length, dtype=torch.bool).tril(), -torch.inf)
    elif mask == "rows":
        full = seen
    with torch.autocast("cpu", enabled=False):
        theirs = nn.functional.scaled_dot_product_attention(*given, attn_mask=full)
        pull = normal(*theirs.shape, seed=9)
        ours.float().backward(pull)
        theirs.backward(pull.double())
    close = {"rtol": 1e-5, "atol": 1e-5} if fast_on_cpus == "onednn" else {"rtol": 0.05, "atol": 0.05}
    torch.testing.assert_close(ours.double(), theirs, **close)
    for mine, other in zip((q, k, v), given, strict=True):
        assert mine.grad is not None
        torch.testing.assert_close(mine.grad.double(), other.grad, **close)


@pytest.mark.parametrize("scale", [None, 1.0])
def test_attend_is_the_formula(scale: float | None) -> None:
    q, k, v = normal(2, 3, L, 4), normal(2, 3, S, 4, seed=1), normal(2, 3, S, 4, seed=2)
    bias = normal(1, 3, L, S, seed=3)
    later = torch.arange(S) > torch.arange(L).unsqueeze(1) + S - L
    scores = q @ k.mT * (0.5 if scale is None else scale) + bias
    torch.testing.assert_close(attend(q, k, v, mask=bias, scale=scale), scores.softmax(-1) @ v)
    hidden = scores.masked_fill(later, -torch.inf).softmax(-1) @ v
    torch.testing.assert_close(attend(q, k, v, mask=bias, causal=True, scale=scale), hidden)
    some = torch.arange(S) != 1
    hidden = (scores - bias).masked_fill(later | ~some, -torch.inf).softmax(-1) @ v
    torch.testing.assert_close(attend(q, k, v, mask=some, causal=True, scale=scale), hidden)


@pytest.mark.parametrize("rotary", [False, True])
def test_a_cache_gives_what_the_whole_sequence_gives(rotary: bool) -> None:
    torch.manual_seed(0)
    layer, x, cache = Attention(WIDTH, HEADS, rotary=rotary).eval(), normal(N, S, WIDTH), Cache()
    parts = [layer(x[:, start:end], causal=True, cache=cache) for start, end in ((0, 3), (3, 4), (4, 7))]
    torch.testing.assert_close(torch.cat(parts, 1), layer(x, causal=True), rtol=1e-5, atol=1e-5)
    assert cache.length == S


def test_a_cache_of_cross_attention_reads_its_context_once() -> None:
    layer, _ = pair()
    x, context, cache = normal(N, L, WIDTH), normal(N, S, WIDTH, seed=1), Cache()
    first = layer(x, context, cache=cache)
    assert torch.equal(layer(x, torch.full_like(context, torch.nan), cache=cache), first)
    torch.testing.assert_close(first, layer(x, context))


def test_rotary_attention_sees_the_order() -> None:
    torch.manual_seed(0)
    x = normal(1, L, WIDTH)
    for rotary in (False, True):
        layer = Attention(WIDTH, HEADS, rotary=rotary)
        assert torch.allclose(layer(x.flip(1)).flip(1), layer(x), atol=1e-5) == (not rotary)


def test_dropout_is_for_training_only() -> None:
    layer, theirs = pair(dropout=0.5)
    x = normal(N, L, WIDTH)
    assert not torch.allclose(layer(x), layer(x))
    torch.testing.assert_close(layer.eval()(x), theirs(x, x, x)[0], rtol=1e-5, atol=1e-5)


def test_a_row_of_nothing_but_pads_stays_finite() -> None:
    tokens = torch.tensor([[4, 0, 0], [0, 0, 0]])
    assert padding_mask(tokens, 0).tolist() == [[[[True, False, False]]], [[[True, True, True]]]]
    layer, _ = pair()
    assert layer(normal(2, 3, WIDTH), mask=padding_mask(tokens, 0)).isfinite().all()


def test_heads_that_do_not_fit_are_refused() -> None:
    with pytest.raises(GliaError, match="heads of attention; got 5; expected a divisor of the width 12"):
        Attention(12, 5)
