"""Stochastic depth, and everything else that acts in training alone: what evaluation must never see."""

import pytest
import torch
from torch import nn

from glia.errors import GliaError
from glia.nn.stochastic_depth import StochasticDepth, rising


def test_rows_are_dropped_whole_and_the_expectation_is_kept() -> None:
    torch.manual_seed(0)
    branch = torch.randn(20_000, 2, 3)
    out = StochasticDepth(0.3)(branch)
    kept = (out != 0).flatten(1).all(1)
    assert ((out == 0).flatten(1).all(1) | kept).all()
    assert kept.float().mean().item() == pytest.approx(0.7, abs=4 * (0.21 / 20_000) ** 0.5)
    torch.testing.assert_close(out[kept], branch[kept] / 0.7)


def test_dropped_rows_have_no_gradient() -> None:
    torch.manual_seed(0)
    branch = torch.full((8, 2), float("inf")).requires_grad_()  # 0 times infinity would not be 0
    out = StochasticDepth(0.5)(branch)
    assert not out.isnan().any() and (out == 0).any()
    out.sum().backward()
    assert branch.grad is not None and ((branch.grad == 0) == (out == 0)).all()


@pytest.mark.parametrize("layer", [StochasticDepth(0.5), nn.Dropout(0.5), nn.Dropout2d(0.5), nn.AlphaDropout(0.5)])
def test_evaluation_sees_nothing_of_it(layer: nn.Module) -> None:
    x = torch.randn(6, 4, 5, 5)
    state = torch.get_rng_state()
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(layer.train()(x), x)


def test_the_probabilities_rise_to_the_last() -> None:
    assert rising(0.5, 4) == pytest.approx([0.125, 0.25, 0.375, 0.5])
    with pytest.raises(GliaError, match="stochastic depth; got 1.0"):
        StochasticDepth(1.0)
