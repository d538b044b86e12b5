"""Augmentation of training sounds, as waves and as spectrograms. What happens to row i in epoch e is a function of
(seed, e, i) alone, as it is with pictures: neither of its batch nor of how far the batch is filled up.

Waves are floats (N, samples), shorter ones filled up at the end with NaN. The length of a row never changes.
"""

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

from glia.data.images.draws import uniform
from glia.seed import mix


@dataclass(frozen=True)
class SoundAugment:
    """What may happen to a wave, in this order; 0 (or None) turns a thing off. Labels are kept."""

    stretch: float = 0.0  # slower or faster by up to this share, at the same pitch
    shift: float = 0.0  # moved by up to this share of its length, either way, with silence before or after
    noise: tuple[float, float] | None = None  # white noise, at a signal-to-noise ratio between these, in dB

    def __call__(self, inputs: Tensor, targets: Tensor, seed: int, epoch: int, index: Tensor) -> tuple[Tensor, Tensor]:
        """The rows `index` as epoch `epoch` shows them."""
        lengths = _lengths(inputs)
        if self.stretch:
            rate = (1 + self.stretch) ** _around(index, seed, epoch, "stretch")
            rows = [_sized(stretched(row[:n], float(r)), n) for row, n, r in zip(inputs, lengths.tolist(), rate)]
            inputs = _joined(rows, inputs)
        if self.shift:
            steps = self.shift * _around(index, seed, epoch, "shift") * lengths.cpu()
            inputs = shifted(inputs, steps.round().long().to(inputs.device))
        if self.noise is not None:
            low, high = self.noise
            ratio = low + (high - low) * _draw(index, seed, epoch, "noise")
            dice = [torch.Generator().manual_seed(mix(seed, "augment", epoch, "white", row)) for row in index.tolist()]
            white = [torch.randn(n, generator=d) for n, d in zip(lengths.tolist(), dice, strict=True)]
            inputs = noisy(inputs, _joined(white, inputs), ratio.to(inputs))
        return inputs, targets


@dataclass(frozen=True)
class SpecAugment:
    """Bands and stretches of time painted over: spectrograms (N, frames, bands), NaN past the end; labels are kept.

    Park et al. 2019, arXiv 1904.08779, section 2, without the time warp, which the authors found to matter least. The
    paint is the row's own mean, the paper's 0 where rows have mean 0. Widths are drawn from 0 up to these.
    """

    bands: int = 27  # widest mask over bands; the paper's F
    frames: int = 100  # longest mask over time, the paper's T
    band_masks: int = 1
    frame_masks: int = 1
    most: float = 1.0  # longest mask over time as a share of the row's frames, the paper's p

    def __call__(self, inputs: Tensor, targets: Tensor, seed: int, epoch: int, index: Tensor) -> tuple[Tensor, Tensor]:
        """The rows `index` as epoch `epoch` shows them."""
        lengths = _lengths(inputs[..., 0])
        wide = torch.full_like(lengths, inputs.shape[2])
        hidden = torch.zeros(inputs.shape, dtype=torch.bool, device=inputs.device)
        for number in range(self.band_masks):
            widest = wide.clamp_max(self.bands)
            hidden |= _stripe(inputs.shape[2], wide, widest, (index, seed, epoch), f"band {number}")[:, None, :]
        for number in range(self.frame_masks):
            longest = (lengths * self.most).floor().long().clamp_max(self.frames)
            hidden |= _stripe(inputs.shape[1], lengths, longest, (index, seed, epoch), f"frame {number}")[:, :, None]
        mean = inputs.flatten(1).nanmean(1)[:, None, None]
        return torch.where(hidden & ~inputs.isnan(), mean, inputs), targets


def noisy(waves: Tensor, noise: Tensor, ratio: Tensor) -> Tensor:
    """waves (N, samples) plus noise (N, samples) of such a strength that the ratio of powers is `ratio` (N,) dB.

    Powers are those of the row, measured: 10 log10(mean(wave^2) / mean(noise^2)). Silence stays silent.
    """
    power, other = (x.square().nanmean(1) for x in (waves, noise))
    wanted = power / 10 ** (ratio / 10)
    return waves + noise * (wanted / other.clamp_min(torch.finfo(other.dtype).tiny)).sqrt()[:, None]


def shifted(waves: Tensor, steps: Tensor) -> Tensor:
    """Each row (N, samples) later by `steps` (N,) samples, earlier where below 0; silence where nothing is known."""
    place = torch.arange(waves.shape[1], device=waves.device)
    source = place - steps[:, None]
    inside = (source >= 0) & (source < _lengths(waves)[:, None])
    moved = waves.gather(1, source.clamp(0, waves.shape[1] - 1))
    return torch.where(waves.isnan(), waves, torch.where(inside, moved, 0.0))


def stretched(wave: Tensor, rate: float, window: int = 512) -> Tensor:
    """One wave (samples,) played `rate` times as fast at the same pitch: (round(samples / rate),).

    A phase vocoder: between the frames of the short-time Fourier transform magnitudes are mixed, and each frequency's
    phase goes on at the pace that it has between two frames. Frequencies around a peak keep their phases to the peak's,
    or they would drift apart and the tone grow faint. Laroche and Dolson 1999, IEEE Transactions on Speech and Audio
    Processing 7, sections II and III ("identity phase locking"; here a peak goes on from its own frequency's last phase
    as it would be without the locking, so that all frames are one sum). Waves shorter than the window stay as they are.
    """
    if rate == 1 or len(wave) < window:
        return wave
    hop, shape = window // 4, torch.hann_window(window, device=wave.device, dtype=wave.dtype)
    frames = torch.stft(wave, window, hop, window=shape, pad_mode="constant", return_complex=True)
    at = torch.arange(0, frames.shape[1], rate, device=wave.device, dtype=wave.dtype)
    frames = torch.nn.functional.pad(frames, (0, 2))
    before, after = frames[:, at.long()], frames[:, at.long() + 1]
    share = at - at.floor()
    size = before.abs() * (1 - share) + after.abs() * share
    usual = torch.linspace(0, pi * hop, len(frames), device=wave.device, dtype=wave.dtype)[:, None]
    ahead = after.angle() - before.angle() - usual
    pace = ahead - 2 * pi * (ahead / (2 * pi)).round() + usual
    phase = torch.cat((before.angle()[:, :1], pace[:, :-1]), 1).cumsum(1)
    peak = _nearest_peak(size)
    phase = phase.gather(0, peak) + before.angle() - before.angle().gather(0, peak)
    length = round(len(wave) / rate)
    return torch.istft(torch.polar(size, phase), window, hop, window=shape, length=length)


def _nearest_peak(size: Tensor) -> Tensor:
    """For each frequency of (frequencies, frames) that of the nearest peak: larger than two on either side."""
    count = len(size)
    wide = torch.nn.functional.pad(size, (0, 0, 2, 2), value=-1.0)
    peak = torch.stack([size > wide[2 + away : 2 + away + count] for away in (-2, -1, 1, 2)]).all(0)
    place = torch.arange(count, device=size.device)[:, None].expand_as(size)
    below = torch.where(peak, place, -count).cummax(0).values
    above = torch.where(peak, place, 2 * count).flip(0).cummin(0).values.flip(0)
    nearest = torch.where(place - below <= above - place, below, above)
    return torch.where(peak.any(0), nearest, place)


def _lengths(rows: Tensor) -> Tensor:
    """(N, L) -> (N,): up to the last that is a number."""
    return (~rows.isnan() * torch.arange(1, rows.shape[1] + 1, device=rows.device)).amax(1)


def _sized(wave: Tensor, length: int) -> Tensor:
    """Cut at its end, or silence added."""
    return torch.nn.functional.pad(wave[:length], (0, max(length - len(wave), 0)))


def _joined(rows: list[Tensor], like: Tensor) -> Tensor:
    """Rows of different lengths as one tensor of the shape of `like`, NaN past their ends."""
    made = torch.full_like(like, float("nan"))
    for place, row in enumerate(rows):
        made[place, : len(row)] = row
    return made


def _stripe(size: int, within: Tensor, widest: Tensor, which: tuple[Tensor, int, int], what: str) -> Tensor:
    """bool (N, size): True in one stripe a row, of 0 up to `widest` (N,), that lies inside `within` (N,)."""
    width = (_draw(*which, f"{what} width").to(widest.device) * (widest + 1)).floor()
    start = (_draw(*which, f"{what} start").to(widest.device) * (within - width + 1)).floor()
    place = torch.arange(size, device=widest.device)
    return (place >= start[:, None]) & (place < (start + width)[:, None])


def _draw(index: Tensor, seed: int, epoch: int, what: str) -> Tensor:
    """(N,) in [0, 1)."""
    return torch.from_numpy(uniform(mix(seed, "augment", epoch, what), index.cpu().numpy()))


def _around(index: Tensor, seed: int, epoch: int, what: str) -> Tensor:
    """(N,) in [-1, 1)."""
    return _draw(index, seed, epoch, what) * 2 - 1
