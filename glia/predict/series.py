"""Whole series as plain figures: brought to one length, and summed up, for simple models and small pictures."""

import torch
from torch import Tensor
from torch.nn import functional as F

from glia.data.facts import SeriesFacts
from glia.nn.lengths import lengths_of_series, mask, masked_mean

MOST_STEPS = 256  # of a series that neighbours are looked for in
BANDS = 8  # of the spectrum


def widths(facts: SeriesFacts) -> tuple[int, int]:
    """Columns of `resampled` and of `summary` as `figures` gives them."""
    return min(facts.length, MOST_STEPS) * facts.channels, (3 + BANDS) * facts.channels + 1


def figures(x: Tensor, facts: SeriesFacts) -> Tensor:
    """x (N, L, C), NaN past the end -> (N, sum of `widths`): resampled rows, then summary figures."""
    mean, std = (torch.tensor(values, dtype=torch.float32) for values in (facts.mean, facts.std))
    z = (x.float() - mean) / std
    lengths = lengths_of_series(x)
    z = z.masked_fill(z.isnan(), 0.0)  # a gap is the mean of its channel
    even = resampled(z, lengths, min(facts.length, MOST_STEPS))
    return torch.cat([even.flatten(1), summary(z, lengths, even)], 1)


def resampled(z: Tensor, lengths: Tensor, steps: int) -> Tensor:
    """(N, steps, C): the first `lengths` steps of each row, by straight lines between them."""
    last = (lengths - 1).clamp_min(0)[:, None].to(z.dtype)
    place = torch.linspace(0, 1, steps) * last
    low = place.floor()
    share = (place - low)[..., None]
    high = (low + 1).minimum(last)
    one, other = (z.gather(1, at.long()[..., None].expand(-1, -1, z.shape[2])) for at in (low, high))
    return torch.lerp(one, other, share)


def summary(z: Tensor, lengths: Tensor, even: Tensor) -> Tensor:
    """Of each channel mean, standard deviation, slope and the logarithm of the power in bands of the spectrum; length.

    z (N, L, C) without NaN, even (N, steps, C) -> (N, (3 + BANDS) C + 1).
    """
    there = mask(lengths, z.shape[1])
    mean = masked_mean(z, there)
    apart = (z - mean[:, None]) * there[..., None]
    std = masked_mean(apart.square(), there).sqrt()
    time = torch.linspace(-1, 1, even.shape[1])
    slope = (even * time[:, None]).sum(1) / time.square().sum().clamp_min(1e-6)
    power = torch.fft.rfft(even - even.mean(1, keepdim=True), dim=1).abs().square() / even.shape[1]
    bands = (
        F.adaptive_avg_pool1d(power[:, 1:].transpose(1, 2), BANDS)
        if power.shape[1] > 1
        else power.new_zeros(len(z), z.shape[2], BANDS)
    )
    spectrum = (bands + 1e-4).log().flatten(1)
    return torch.cat([mean, std, slope, spectrum, lengths[:, None].float()], 1)
