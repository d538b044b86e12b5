"""Series: noise and factors with the spread asked, slices that are slices; a row stands alone."""

import numpy as np
import pytest
import torch
from torch import Tensor

from glia.data.batches import Batches
from glia.data.series.augment import SeriesAugment, sliced
from glia.errors import GliaError

NAN = float("nan")
LENGTHS = (30, 12, 1, 20)
INDEX = torch.tensor([5, 2, 8, 0])
EVERYTHING = SeriesAugment(window=0.2, scale=0.1, jitter=0.05, std=(1.0, 10.0))


def rows() -> Tensor:
    x = torch.randn(4, 30, 2, generator=torch.Generator().manual_seed(0))
    for place, length in enumerate(LENGTHS):
        x[place, length:] = NAN
    return x


def test_noise_and_factors_have_the_spread_asked() -> None:
    x = torch.ones(400, 50, 2)
    index, targets = torch.arange(400), torch.zeros(400)
    noise = SeriesAugment(jitter=0.05, std=(1.0, 10.0))(x, targets, 0, 0, index)[0] - x
    assert noise[..., 0].std().item() == pytest.approx(0.05, rel=0.03)
    assert noise[..., 1].std().item() == pytest.approx(0.5, rel=0.03)
    assert abs(noise[..., 0].mean().item()) < 4 * 0.05 / 20_000**0.5
    scaled = SeriesAugment(scale=0.1)(x, targets, 0, 0, index)[0]
    assert (scaled == scaled[:, :1]).all()  # one factor for all steps of a channel
    assert scaled[:, 0].std().item() == pytest.approx(0.1, rel=0.12)
    assert scaled.mean().item() == pytest.approx(1, abs=4 * 0.1 / 800**0.5)


def test_slices_are_numpys_interpolation() -> None:
    x = rows()
    start, left = torch.tensor([0.0, 1.0, 0.5, 0.3]), torch.tensor([0.5, 0.8, 0.9, 0.6])
    made = sliced(x, torch.tensor(LENGTHS), start, left)
    assert torch.equal(made.isnan(), x.isnan())
    for place, length in enumerate(LENGTHS):
        span = (length - 1) * left[place].item()
        at = (length - 1 - span) * start[place].item() + np.linspace(0, span, length)
        for channel in range(2):
            expected = np.interp(at, np.arange(length), x[place, :length, channel].numpy())
            np.testing.assert_allclose(made[place, :length, channel].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_slice_of_a_line_is_a_line_with_a_lower_slope() -> None:
    x = torch.arange(41.0)[None, :, None].repeat(300, 1, 1)
    made, _ = SeriesAugment(window=0.25)(x, torch.zeros(300), 0, 0, torch.arange(300))
    slopes = torch.diff(made[..., 0], dim=1)
    torch.testing.assert_close(slopes, slopes[:, :1].expand_as(slopes), atol=1e-4, rtol=0)
    assert (
        slopes.min() >= 0.75 - 1e-4
        and slopes.max() <= 1.0001
        and slopes.mean().item() == pytest.approx(0.875, abs=0.02)
    )
    assert made.min() >= 0 and made.max() <= 40


def test_a_gap_stays_a_gap() -> None:
    x = torch.arange(11.0)[None, :, None].clone()
    x[0, 4] = NAN
    made = sliced(x, torch.tensor([11]), torch.zeros(1), torch.ones(1))
    torch.testing.assert_close(made, x, equal_nan=True)


def test_a_row_is_a_function_of_seed_epoch_and_row_alone() -> None:
    x, targets = rows(), torch.arange(4)
    first, labels = EVERYTHING(x, targets, 1, 2, INDEX)
    assert torch.equal(labels, targets)
    assert torch.equal(first.isnan(), x.isnan())
    torch.testing.assert_close(EVERYTHING(x, targets, 1, 2, INDEX)[0], first, equal_nan=True, rtol=0, atol=0)
    for place, length in enumerate(LENGTHS):
        alone, _ = EVERYTHING(x[place : place + 1, :length], targets[:1], 1, 2, INDEX[place : place + 1])
        torch.testing.assert_close(alone[0], first[place, :length], rtol=1e-6, atol=1e-6)
    for other in ((2, 2), (1, 3)):
        assert not torch.allclose(EVERYTHING(x, targets, *other, INDEX)[0], first, equal_nan=True)


def test_evaluation_never_sees_it() -> None:
    x = torch.randn(6, 30, 2)
    batches = Batches(x, torch.arange(6), torch.arange(6), EVERYTHING)
    assert torch.equal(torch.cat([batch.inputs for batch in batches.ordered(4)]), x)
    for batch in batches.epoch(0, 0, 3):
        assert not torch.isclose(batch.inputs, x[batch.index]).flatten(1).all(1).any()
    with pytest.raises(GliaError, match="std of SeriesAugment; got 2 numbers"):
        EVERYTHING(torch.zeros(1, 5, 3), torch.zeros(1), 0, 0, torch.zeros(1, dtype=torch.long))
