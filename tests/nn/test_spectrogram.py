"""Spectrograms against the formulas, written out by hand in NumPy, and against scipy."""

import math

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import torch
from numpy.typing import NDArray

from glia.errors import GliaError
from glia.nn.spectrogram import LogMel, Mfcc, Scale, cosines, hertz_of_mel, mel_filters, mel_of_hertz, samples

Floats = NDArray[np.float64]


def slaney_hertz(mel: float) -> float:
    return 200 * mel / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def htk_hertz(mel: float) -> float:
    return 700 * (10 ** (mel / 2595) - 1)


def filters_by_hand(rate: int, size: int, bands: int, scale: str) -> Floats:
    """Triangle by triangle, frequency by frequency."""
    top = 2595 * math.log10(1 + rate / 2 / 700) if scale == "htk" else 15 + 27 * math.log(rate / 2000) / math.log(6.4)
    hertz = htk_hertz if scale == "htk" else slaney_hertz
    points = [hertz(top * i / (bands + 1)) for i in range(bands + 2)]
    out = np.zeros((bands, size // 2 + 1))
    for band in range(bands):
        left, centre, right = points[band : band + 3]
        for k in range(size // 2 + 1):
            f = k * rate / size
            if left < f < right:
                out[band, k] = (f - left) / (centre - left) if f <= centre else (right - f) / (right - centre)
        if scale == "slaney":
            out[band] *= 2 / (right - left)
    return out


def log_mel_by_hand(wave: Floats, rate: int, bands: int, window: int, hop: int, size: int) -> Floats:
    """Frame by frame: the discrete Fourier transform as a sum."""
    padded = np.concatenate([np.zeros(size // 2), wave, np.zeros(size // 2)])
    shape = np.zeros(size)
    start = (size - window) // 2
    shape[start : start + window] = [0.5 - 0.5 * math.cos(2 * math.pi * n / window) for n in range(window)]
    k, n = np.arange(size // 2 + 1)[:, None], np.arange(size)
    turn = np.exp(-2j * np.pi * k * n / size)
    frames = [turn @ (shape * padded[t * hop : t * hop + size]) for t in range(1 + len(wave) // hop)]
    power = np.abs(np.array(frames)) ** 2
    return np.log(np.maximum(power @ filters_by_hand(rate, size, bands, "slaney").T, 1e-6))


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_filters_are_the_formulas(scale: Scale) -> None:
    for rate, size, bands in ((8000, 256, 20), (16000, 512, 40)):
        ours = mel_filters(rate, size, bands, scale=scale).double().numpy()
        by_hand = filters_by_hand(rate, size, bands, scale)
        there = by_hand.sum(1) > 0  # where no frequency lies under a triangle ours takes the nearest
        assert there.sum() > bands - 3
        np.testing.assert_allclose(ours[there], by_hand[there], atol=1e-7)
        assert (ours.sum(1) > 0).all()


def test_mels_of_known_frequencies() -> None:
    """1 kHz is 15 mel with Slaney and 999.99 with HTK, by their definitions; both turn back."""
    assert mel_of_hertz(torch.tensor([1000.0, 6400.0]), "slaney").tolist() == pytest.approx([15, 42])
    assert mel_of_hertz(torch.tensor([700.0]), "htk").item() == pytest.approx(2595 * math.log10(2))
    hertz = torch.tensor([0.0, 80, 999, 1001, 5000, 8000], dtype=torch.float64)
    for scale in ("slaney", "htk"):
        np.testing.assert_allclose(hertz_of_mel(mel_of_hertz(hertz, scale), scale), hertz, atol=1e-9)


def test_log_mel_is_the_sum_by_hand() -> None:
    wave = np.random.default_rng(0).normal(size=1000) * 0.1
    made = LogMel(8000, 20, window=200, hop=80, size=256)
    ours, frames = made(torch.from_numpy(wave).float()[None])
    by_hand = log_mel_by_hand(wave, 8000, 20, 200, 80, 256)
    assert frames.tolist() == [len(by_hand)] == [13]
    np.testing.assert_allclose(ours[0].numpy(), by_hand, atol=1e-4)


def test_power_is_scipys() -> None:
    wave = np.random.default_rng(1).normal(size=800)
    made = LogMel(8000, 20, window=256, hop=64, size=256)
    shape = scipy.signal.get_window("hann", 256, fftbins=True)
    fft = scipy.signal.ShortTimeFFT(shape, hop=64, fs=8000)
    theirs = np.abs(fft.stft(wave, p0=0, p1=13)) ** 2
    ours = made.power(torch.from_numpy(wave).float()[None])[0].T.numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


def test_cepstra_are_scipys_cosine_transform() -> None:
    waves = torch.randn(2, 1600, generator=torch.Generator().manual_seed(0))
    front = LogMel.usual(16000)
    bands, _ = front(waves)
    ours, _ = Mfcc(front, 13)(waves)
    theirs = scipy.fft.dct(bands.numpy(), type=2, norm="ortho")[..., :13]
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-3)
    turn = cosines(40).double()
    np.testing.assert_allclose(turn @ turn.T, np.eye(40), atol=1e-5)


def test_a_row_is_as_if_alone() -> None:
    short, long = torch.randn(500), torch.randn(1100)
    both = torch.full((2, 1100), torch.nan)
    both[0, :500], both[1] = short, long
    front = LogMel.usual(8000)
    bands, frames = front(both)
    alone, count = front(short[None])
    assert samples(both).tolist() == [500, 1100] and frames.tolist() == [7, 14] and count.tolist() == [7]
    torch.testing.assert_close(bands[0, :7], alone[0])
    assert not bands[0, 7:].any()


def test_bands_out_of_range_are_refused() -> None:
    with pytest.raises(GliaError, match="within 0 to 4000"):
        mel_filters(8000, 256, 20, high=5000)
