"""Clipping: the promised bounds, torch's own figures, and no NaN spread about."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from glia.errors import GliaError
from glia.optim import clip
from glia.optim.beside import Beside

SHAPES = ((5,), (4, 3), (6, 2, 3, 3), ())


def parameters(size: float, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    made = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    for parameter in made:
        parameter.grad = torch.randn(parameter.shape, generator=generator) * size
    return [*made, nn.Parameter(torch.ones(3))]  # the last has no gradient


def gradients(made: list[Tensor]) -> list[Tensor]:
    return [parameter.grad for parameter in made if parameter.grad is not None]


@given(size=st.floats(1e-3, 1e3), limit=st.floats(1e-2, 1e2), seed=st.integers(0, 9))
def test_by_norm_is_torchs(size: float, limit: float, seed: int) -> None:
    ours, theirs = parameters(size, seed), parameters(size, seed)
    norm = clip.by_norm(ours, limit)
    expected = nn.utils.clip_grad_norm_(theirs, limit)
    torch.testing.assert_close(norm, expected, rtol=1e-6, atol=0.0)
    for a, b in zip(gradients(ours), gradients(theirs)):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=0.0)
    assert nn.utils.get_total_norm(gradients(ours)) <= limit * (1 + 1e-5)


def test_by_value() -> None:
    made = parameters(3.0)
    before = [gradient.clone() for gradient in gradients(made)]
    norm = clip.by_value(made, 0.5)
    torch.testing.assert_close(norm, torch.cat([g.flatten() for g in before]).norm())
    assert all(torch.equal(now, was.clamp(-0.5, 0.5)) for now, was in zip(gradients(made), before))


@given(size=st.floats(1e-4, 1e3), limit=st.floats(1e-3, 1.0), seed=st.integers(0, 9))
def test_adaptive_holds_each_unit(size: float, limit: float, seed: int) -> None:
    """Equation 3 of the paper, unit by unit with plain loops."""
    made = parameters(size, seed)
    before = [gradient.clone() for gradient in gradients(made)]
    clip.adaptive(made, limit, 1e-3)
    for parameter, was in zip(made, before):
        units = [...] if parameter.ndim < 2 else list(range(len(parameter)))
        for unit in units:
            allowed = limit * max(parameter[unit].norm().item(), 1e-3)
            norm = was[unit].norm().item()
            expected = was[unit] * (allowed / norm if norm > allowed else 1.0)
            assert parameter.grad is not None
            torch.testing.assert_close(parameter.grad[unit], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", [clip.by_norm, clip.by_value, clip.adaptive])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_bad_gradient_stays_where_it_is(method: Callable[[list[Tensor], float], Tensor], bad: float) -> None:
    made = parameters(0.001)
    whole = gradients(made)
    whole[1][0, 0] = bad
    before = [gradient.clone() for gradient in whole]
    norm = method(made, 1.0)
    assert not norm.isfinite()
    assert [bool(g.isfinite().all()) for g in whole] == [True, method is clip.by_value and bad == math.inf, True, True]
    assert all(torch.equal(now, was) for now, was in zip(whole[2:], before[2:]))


def test_nothing_to_clip() -> None:
    assert clip.by_norm([nn.Parameter(torch.ones(2))], 1.0) == 0
    zero = parameters(0.0)
    for method in (clip.by_norm, clip.by_value, clip.adaptive):
        assert method(zero, 1.0) == 0 and all((g == 0).all() for g in gradients(zero))


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_a_limit_is_above_0(limit: float) -> None:
    with pytest.raises(GliaError, match="clip"):
        clip.by_norm(parameters(1.0), limit)


@pytest.mark.parametrize("how", ["norm", "value", "adaptive"])
def test_a_model_is_clipped_by_name(how: str) -> None:
    def network() -> nn.Module:
        model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 4))
        generator = torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            parameter.data.normal_(generator=generator)
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        return model

    model, twin = network(), network()
    whole: list[Tensor] = list(twin.parameters())
    norm = clip.build(how, model, 0.01)()
    torch.testing.assert_close(norm, nn.utils.get_total_norm(gradients(whole)))
    if how == "adaptive":
        clip.adaptive(whole[:-2], 0.01)  # without the output layer's matrix and bias
    else:
        (clip.by_norm if how == "norm" else clip.by_value)(whole, 0.01)
    assert all(torch.equal(a, b) for a, b in zip(gradients([*model.parameters()]), gradients(whole)))


def test_other_ways_to_clip_are_refused() -> None:
    with pytest.raises(GliaError, match="unknown way to clip 'norms'.*'norm'"):
        clip.build("norms", nn.Linear(2, 1), 1.0)
    with pytest.raises(GliaError, match="clip; got 0"):
        clip.build("norm", nn.Linear(2, 1), 0.0)


@pytest.mark.parametrize("limit", [0.5, 1e6])
def test_gradients_side_by_side_are_clipped_alike(limit: float) -> None:
    """Bit for bit: a run that goes on makes its first steps the one way, which it once made the other."""
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(20, 7)).to(memory_format=torch.channels_last)
    clipped = clip.build("norm", model, limit)
    assert isinstance(clipped, clip.ByNorm)
    model(torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(0))).square().sum().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    together = Beside.like(list(model.parameters()))
    for part, gradient in zip(together.parts, gradients, strict=True):
        part.copy_(gradient)
    apart_norm, together_norm = clipped(), clipped.beside(together)
    assert apart_norm.item() == together_norm.item() > 1.0
    for part, gradient in zip(together.parts, gradients, strict=True):
        assert torch.equal(part, gradient) and part.stride() == gradient.stride()
        assert part.data_ptr() % 64 == 0
    whole = torch.linalg.vector_norm(together.whole).item()
    assert whole == pytest.approx(min(limit, apart_norm.item()), rel=1e-5)
