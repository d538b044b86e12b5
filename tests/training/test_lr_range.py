"""The range test against a loss whose limit is known: steps of gradient descent on a square with curvature c diverge
above a rate of 2 / c.
"""

import pytest
import torch
from torch import nn

from glia.training.feed import Feed
from glia.training.lr_range import about, choose_lr, lr_range
from glia.training.steps import supervised

CURVATURE = 2.0  # of the mean of (w - 1) ** 2
LIMIT = 2 / CURVATURE


def network() -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    return model


def chosen(usual: float, *, whole: bool) -> tuple[float, str]:
    ones = [(torch.ones(4, 1), torch.ones(4, 1))] * 8
    asked = {} if whole else about(usual)
    seen = lr_range(
        network(), Feed.of(ones, 4), supervised("mse"), lambda m: torch.optim.SGD(m.parameters(), 1.0), **asked
    )
    return choose_lr(seen, usual)


@pytest.mark.parametrize("usual", [LIMIT / 1000, LIMIT / 30, LIMIT / 5])
def test_a_usual_rate_below_the_limit_is_kept_by_the_short_test_too(usual: float) -> None:
    for whole in (True, False):
        rate, why = chosen(usual, whole=whole)
        assert rate == usual
        assert "the range test agrees" in why


def test_a_usual_rate_above_the_limit_is_lowered_below_it_by_the_short_test_too() -> None:
    """The loss must grow fourfold over all that it was, so the limit is seen some factors late."""
    short, why = chosen(5 * LIMIT, whole=False)
    assert "too near to where training blows up" in why
    assert LIMIT / 10 < short < LIMIT


def test_the_short_test_is_no_coarser() -> None:
    for usual in (1e-3, 0.15):
        ends = about(usual)
        assert (ends["high"] / ends["low"]) ** (1 / (ends["steps"] - 1)) == pytest.approx(3e6 ** (1 / 63), rel=1e-3)
        assert ends["high"] > 3 * usual
